"""The scripts and the notebook in `trainers/examples` run as they are."""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mubench.hub_builders.dataset.build import build

EXAMPLES = Path(str(importlib.resources.files("mubench.trainers"))) / "examples"
NOTEBOOK = EXAMPLES / "quickstart.ipynb"
RESULT = r"^S = (\d\.\d\d) \(row [\d.]+, mean [\d.]+, membership [\d.]+, utility ([\d.]+)\)$"


def run(folder: Path, *command: str | Path) -> str:
    """Run a command in a folder where `mubench` is this one, and return what it prints."""
    (folder / "bin").mkdir(exist_ok=True)
    shim = folder / "bin" / "mubench"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mubench.cards.console "$@"\n')
    shim.chmod(0o755)
    environment = {**os.environ, "PATH": f"{shim.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_model_and_rows_of_ones_own_are_unlearned_and_judged(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "own_model.py"), run_name="__main__")
    found = re.search(RESULT, capsys.readouterr().out, re.MULTILINE)
    assert found and 0.1 < float(found[1]) < 1
    assert (tmp_path / "unlearned").is_dir()


@pytest.mark.nightly
def test_the_command_line_takes_a_method_with_the_options_of_a_file(tmp_path):
    printed = run(tmp_path, "sh", EXAMPLES / "command_line.sh")
    (row,) = [json.loads(path.read_text()) for path in (tmp_path / "results").glob("*.json")]
    assert row["method"] == "scrub" and row["arguments"]["num_train_epochs"] == 4 and row["tuned"] == "custom"
    assert row["references"]["source"] == "shipped"
    assert re.search(r"^ +1  scrub ", printed, re.MULTILINE)


@pytest.mark.slow
def test_plain_trainers_of_transformers_train_what_is_judged(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(build("cifar10", out=tmp_path).parent)
    monkeypatch.setattr(sys, "argv", ["plain_trainer.py"])
    runpy.run_path(str(EXAMPLES / "plain_trainer.py"), run_name="__main__")
    found = re.search(RESULT, capsys.readouterr().out, re.MULTILINE)
    assert found and 0 <= float(found[1]) < 1


def cells(kind: str) -> Iterator[str]:
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == kind:
            yield "".join(cell["source"])


def test_the_notebook_is_stored_without_outputs_and_paths():
    book = json.loads(NOTEBOOK.read_text())
    assert book["nbformat"] == 4 and len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
    assert all(
        cell["outputs"] == [] and cell["execution_count"] is None for cell in book["cells"] if "outputs" in cell
    )
    assert not re.search(r"/(home|tmp|root|work|Users)\b", NOTEBOOK.read_text())


@pytest.mark.slow
def test_the_cells_of_the_notebook_run_in_order(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt  # noqa: PLC0415  (slow)

    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for source in cells("code"):
        exec(compile(source, str(NOTEBOOK), "exec"), names)
    assert set(names["rows"]) == {"finetune", "neg_grad_plus"}
    bars = [bar.get_height() for bar in names["left"].patches]
    assert bars == [names["rows"][method].metrics["score"].value for method in names["methods"]]
    assert len(names["right"].lines) == 2
    plt.close("all")
