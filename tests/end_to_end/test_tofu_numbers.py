"""The script that repeats TOFU's numbers on real rows, with a small model in place of SmolLM2."""

import argparse
import importlib
import os
from pathlib import Path

import pytest

script = importlib.import_module("tests.bench.tofu_numbers")
RAW = Path(os.environ.get("MUBENCH_DATA", "../shared/data")) / "raw"


@pytest.mark.nightly
def test_every_model_has_a_row_with_all_numbers(tmp_path, capsys):
    if not (RAW / "tofu.tar.xz").is_file():
        pytest.skip("needs tofu.tar.xz in MUBENCH_DATA/raw")
    options = {"authors": 13, "epochs": 1, "method_epochs": 1, "learning_rate": 3e-3, "method_rate": 1e-3, "seed": 0}
    script.run(argparse.Namespace(raw=RAW, backbone="llama", **options), tmp_path)
    first, *table = [line for line in capsys.readouterr().out.splitlines() if line]
    assert first == "forget 40, retain 180 rows, seed 0, cpu"
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert head == ["model", *script.COLUMNS, "seconds"]
    assert [row[0] for row in rows] == ["retrained", "base", *script.METHODS]
    found = {row[0]: dict(zip(script.COLUMNS, map(float, row[1:-1]), strict=True)) for row in rows}
    assert found["retrained"]["forget_quality"] == 1
    assert all(0 <= value <= 1 for numbers in found.values() for value in numbers.values())
    assert len({tuple(numbers.values()) for numbers in found.values()}) == len(rows)
