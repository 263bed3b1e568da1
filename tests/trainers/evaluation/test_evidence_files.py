"""Evidence as files: what is read is what was written, and S follows from it alone."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from mubench.trainers.evaluation.evidence_files import (
    EvidenceTable,
    read_evidence,
    shipped_evidence,
    update_evidence,
    write_evidence,
)
from mubench.trainers.evaluation.result import read_results
from mubench.trainers.metrics.evidence import EvidenceRows
from mubench.trainers.metrics.score import evidence_parts
from tests.fixtures.walk import BASES, RETRAINED, add_signal

RECOMPUTE = Path(__file__).resolve().parents[3] / "cards" / "evidence" / "recompute.py"
MODEL = "cifar10-mini-resnet-del10-neg-grad-s0"
SETTING = {"task": "cifar10", "ratio": 5, "recipe": {"epochs": 12}, "retrain_passes": 1.5}
PARTS = ("forget", "test", "shifted")
VALUES = ("log_odds", "entropy", "correct")


@pytest.fixture(scope="module")
def table(world):
    models = {f"retrain-s{seed}": views for seed, views in world.retrained().items()}
    models |= {f"base-s{seed}": views for seed, views in world.bases().items()}
    models["mine"] = {**(own := world.views(saw=0.4, seed=3)), "shifted": own["forget"]}
    rows = EvidenceRows.of(models["mine"], 0.1)
    hashes = dict.fromkeys(models, "a" * 64) | {"mine": None}
    return EvidenceTable(SETTING, rows, {name: rows.read(one) for name, one in models.items()}, hashes)


def same(one, other):
    """Whether two models have equal evidence, bit by bit."""
    if one.scores != other.scores or (one.shifted is None) != (other.shifted is None):
        return False
    pairs = [(getattr(one, part), getattr(other, part)) for part in PARTS if getattr(one, part) is not None]
    return all(np.array_equal(getattr(a, value), getattr(b, value)) for a, b in pairs for value in VALUES)


def test_evidence_is_read_as_it_was_written(table, tmp_path):
    write_evidence(tmp_path / "new" / "one.parquet", table)
    found = read_evidence(tmp_path / "new" / "one.parquet")
    assert found.setting == SETTING and found.outputs == table.outputs and {*found.models} == {*table.models}
    assert np.array_equal(found.rows.forget, table.rows.forget) and np.array_equal(found.rows.test, table.rows.test)
    assert (found.rows.chance, found.rows.is_probability) == (0.1, True)
    assert all(same(found.models[name], one) for name, one in table.models.items())
    references = ([0, 1, 2], [0, 1])
    own, read = (evidence_parts(one.models["mine"], one.reference(*references)) for one in (table, found))
    assert own == read and not same(found.models["mine"], found.models["base-s0"])


def test_an_update_keeps_other_models_and_replaces_those_of_the_same_name(table, tmp_path):
    path = tmp_path / "one.parquet"
    update_evidence(path, table)
    base = table.models["base-s0"]
    update_evidence(path, replace(table, models={"mine": base, "yours": base}, outputs={"mine": "b" * 64}))
    found = read_evidence(path)
    assert {*found.models} == {*table.models, "yours"}
    assert same(found.models["mine"], base) and same(found.models["yours"], base)
    assert same(found.models["retrain-s1"], table.models["retrain-s1"])
    assert (found.outputs["mine"], found.outputs["yours"], found.outputs["base-s0"]) == ("b" * 64, None, "a" * 64)
    assert not [name for name in tmp_path.iterdir() if name != path and not name.name.endswith(".lock")]


@pytest.mark.parametrize("other", ["setting", "rows"])
def test_evidence_of_another_setting_or_other_rows_is_replaced(table, tmp_path, other):
    path = tmp_path / "one.parquet"
    update_evidence(path, table)
    rows = replace(table.rows, forget=table.rows.forget[::-1]) if other == "rows" else table.rows
    setting = {**SETTING, "ratio": 6} if other == "setting" else SETTING
    update_evidence(path, EvidenceTable(setting, rows, {"base-s0": table.models["base-s0"]}))
    assert {*read_evidence(path).models} == {"base-s0"}


def test_a_missing_reference_is_one_line(table):
    with pytest.raises(ValueError, match=r"^expected evidence of base-s7, retrain-s9, got that of base-s0, .* mine"):
        table.reference([0, 9], [7])


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)


def drop_column(path):
    pq.write_table(pq.read_table(path).drop_columns("test_entropy"), path)


def drop_facts(path):
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)


def shorten(path):
    found = pq.read_table(path)
    lines = found.to_pylist()
    lines[0]["forget_log_odds"] = lines[0]["forget_log_odds"][1:]
    pq.write_table(type(found).from_pylist(lines, schema=found.schema), path)


def spoil_number(path):
    found = pq.read_table(path)
    lines = found.to_pylist()
    lines[1]["test_log_odds"][0] = np.float16("nan")
    pq.write_table(type(found).from_pylist(lines, schema=found.schema), path)


@pytest.mark.parametrize("damage", [cut, flip, drop_column, drop_facts, shorten, spoil_number])
def test_a_damaged_file_is_one_line(table, tmp_path, damage):
    path = tmp_path / "one.parquet"
    write_evidence(path, table)
    damage(path)
    with pytest.raises(ValueError, match=r"one\.parquet to be evidence of a table, got: ") as caught:
        read_evidence(path)
    assert "\n" not in str(caught.value)


def test_evidence_of_a_setting_is_found_among_others(table, tmp_path):
    write_evidence(tmp_path / "cifar10-a.parquet", replace(table, setting={**SETTING, "ratio": 6}))
    wanted = {"task": "cifar10", "ratio": 5}
    assert shipped_evidence(wanted, tmp_path) is None
    write_evidence(tmp_path / "cifar10-b.parquet", table)
    found = shipped_evidence(wanted, tmp_path)
    assert found is not None and found.setting == SETTING
    assert shipped_evidence({**wanted, "task": "imdb"}, tmp_path) is None


def test_what_a_judge_writes_recomputes_its_scores(own_walk, capsys):
    add_signal(own_walk, **{MODEL: 0.2})
    judge = own_walk.judge()
    judge.controls()
    judge.run(own_walk.models / MODEL)
    (path,) = (own_walk.results / "evidence").glob("*.parquet")
    found = read_evidence(path)
    references = {f"retrain-s{seed}" for seed in RETRAINED} | {f"base-s{seed}" for seed in BASES}
    rows = read_results(own_walk.results)
    assert {*found.models} == references | {row.run_id for row in rows if row.method not in ("base", "retrain")}
    mine = next(row for row in rows if row.method == "neg_grad")
    assert found.outputs[mine.run_id] == mine.outputs
    assert [found.outputs[f"retrain-s{seed}"] for seed in RETRAINED] == mine.references.outputs[:3]
    spec = importlib.util.spec_from_file_location("recompute", RECOMPUTE)
    recompute = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recompute)
    worst = recompute.main(str(own_walk.results), str(own_walk.results / "evidence"))
    scored = [row for row in rows if "score" in row.metrics]
    assert capsys.readouterr().out.startswith(f"{len(scored)} rows") and len(scored) == len(rows)
    assert worst < 1e-9 and 0 < mine.metrics["score"].value < 1
