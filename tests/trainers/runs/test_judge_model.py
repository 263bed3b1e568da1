"""`judge`: models and outputs of any origin become rows, and what does not fit is one line."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from transformers import BertConfig, BertForSequenceClassification, ResNetConfig, ResNetForImageClassification

from mubench.hub_builders.hub.model_folder import REFERENCE, read_run
from mubench.trainers import __main__ as trainers
from mubench.trainers.evaluation import evidence_files
from mubench.trainers.evaluation.result import Result, read_result
from mubench.trainers.inference.storage import read_outputs, write_outputs
from mubench.trainers.metrics import METRICS
from mubench.trainers.models import model_files
from tests.fixtures.plain_training import train
from tests.fixtures.walk import BASES, RATIO, RETRAINED, Walk, add_signal

MODEL = "cifar10-mini-resnet-del10-neg-grad-s0"
NAMED = f"cifar10-mini-resnet-del{RATIO}"


def judge(walk: Walk, source: Path | str, name: str = "mine", *more: str) -> int:
    where = ["--task=cifar10", f"--ratio={RATIO}", "--backbone=resnet", f"--results={walk.results}", *walk.flags()]
    return trainers.main(["judge", str(source), f"--name={name}", *where, *more])


def row_of(walk: Walk, name: str) -> Result:
    (path,) = walk.results.glob(f"{NAMED}-{name}-s0-*.json")
    return read_result(path)


@pytest.fixture
def one_file(own_walk: Walk, tmp_path: Path):
    """Return a function that writes a model's outputs as one parquet file, as another program would."""

    def write(change=lambda table: table, folder: str = MODEL) -> Path:
        outputs = own_walk.judge().group.outputs(own_walk.models / folder)
        parts = []
        for split, one in outputs.items():
            table = one.to_table()
            logits = pa.array(table["logits"].to_pylist(), pa.list_(pa.float64()))
            named = table.set_column(2, "logits", logits).append_column("split", pa.array([split] * len(table)))
            parts.append(named.take(np.random.default_rng(0).permutation(len(table))))
        path = tmp_path / "outputs.parquet"
        pq.write_table(change(pa.concat_tables(parts)), path)
        return path

    return write


@pytest.mark.slow
def test_a_plain_transformers_model_gives_a_row(own_walk, tmp_path, capsys):
    accuracy = train(own_walk.data, f"cifar10_del{RATIO}", tmp_path / "plain")
    assert judge(own_walk, tmp_path / "plain") == 0
    row = row_of(own_walk, "mine")
    assert row.metrics["test_score"].value == pytest.approx(accuracy)
    assert {"row", "mean", "membership", "utility", "kl_retrained"} <= set(row.metrics)
    assert (row.method, row.tuned, row.control, row.outputs_only, row.cost) == ("mine", "custom", False, False, {})
    assert (row.references.retrained, row.references.bases) == (list(RETRAINED), list(BASES))
    assert row.references.source == "own" and row.device == "cpu" and "torch" in row.versions
    assert {read_result(path).method for path in own_walk.results.glob("*.json")} > {"mine", "neg_grad", "retrain"}
    assert str(own_walk.results / f"{row.run_id}.json") in capsys.readouterr().out


@pytest.mark.slow
def test_outputs_give_the_row_of_the_model_to_the_last_bit(own_walk, one_file):
    add_signal(own_walk)
    folder = own_walk.models / MODEL
    assert judge(own_walk, folder, "weights") == 0
    assert judge(own_walk, folder / REFERENCE, "folder") == 0
    assert judge(own_walk, one_file(), "file") == 0
    rows = [row_of(own_walk, name) for name in ("weights", "folder", "file")]
    assert [row.outputs_only for row in rows] == [False, True, True]
    own = read_result(own_walk.judge().run(folder))
    assert rows[0].cost == own.cost and not rows[1].cost and not rows[2].cost
    for row in rows:
        assert row.metrics == {name: value for name, value in own.metrics.items() if name in row.metrics}
        assert (row.interval, row.flags, row.no_signal) == (own.interval, own.flags, own.no_signal)
    assert "score" in own.metrics and own.interval is not None
    assert rows[0].metrics.keys() == own.metrics.keys() and rows[0].outputs == rows[1].outputs == rows[2].outputs


@pytest.mark.slow
def test_a_hub_id_is_fetched(own_walk, tmp_path, monkeypatch):
    shutil.copytree(own_walk.models / MODEL, tmp_path / "fetched" / "me" / "model")
    monkeypatch.setattr(model_files, "fetch_model", lambda repository: tmp_path / "fetched" / repository)
    assert judge(own_walk, "me/model") == 0
    assert not row_of(own_walk, "mine").outputs_only


@pytest.mark.slow
def test_judging_under_the_same_name_replaces_the_row(own_walk, one_file):
    assert judge(own_walk, own_walk.models / MODEL) == 0
    assert judge(own_walk, one_file()) == 0
    assert row_of(own_walk, "mine").outputs_only


def test_shipped_evidence_stands_for_missing_references(own_walk, tmp_path, monkeypatch):
    add_signal(own_walk)
    own = read_result(own_walk.judge().run(own_walk.models / MODEL))
    monkeypatch.setattr(evidence_files, "SHIPPED", shutil.move(own_walk.results / "evidence", tmp_path / "shipped"))
    references = [f"-del10-retrain-s{seed}" for seed in RETRAINED] + ["", "-s1"]
    plain = shutil.copytree(own_walk.models / MODEL, tmp_path / "plain")
    (plain / "run.json").unlink()
    for name in references:
        shutil.rmtree(own_walk.models / f"cifar10-mini-resnet{name}")
    assert judge(own_walk, plain) == 0
    row = row_of(own_walk, "mine")
    assert row.references.source == "shipped" and row.references.outputs == own.references.outputs
    assert {name for name in row.metrics if METRICS[name].references or METRICS[name].bases} == {
        name for name in own.metrics if METRICS[name].evidence
    }
    for name, value in row.metrics.items():
        assert value.value == own.metrics[name].value
    assert "score" in row.metrics and row.interval == own.interval
    assert "zrf" in own.metrics and "zrf" not in row.metrics


def change_column(name, change):
    """Return a function that changes one column of a table."""

    def apply(table):
        values = change(table[name].to_pylist())
        return table.set_column(table.column_names.index(name), name, pa.array(values))

    return apply


def nan(values):
    values[3][0] = float("nan")
    return values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.slice(1), "split forget: expected outputs of all 16 rows, got none for 1 of them"),
        (change_column("example_id", lambda ids: ["x", *ids[1:]]), "in split forget, got 1 unknown example ids"),
        (change_column("example_id", lambda ids: [ids[1], *ids[1:]]), "expected 16 different example ids, got 15"),
        (change_column("label", lambda labels: [(labels[0] + 1) % 10, *labels[1:]]), "got others in 1 of 16 rows"),
        (change_column("label", lambda labels: [None, *labels[1:]]), "got none in some of label"),
        (change_column("label", lambda labels: [99] * len(labels)), r"expected labels in 0\.\.9, got 99"),
        (change_column("logits", nan), "expected finite outputs, got NaN or infinity in split forget"),
        (change_column("logits", lambda rows: [[*row, 0.0] for row in rows]), "logits of 10 classes .*, got 11"),
        (change_column("logits", lambda rows: [rows[0][:9], *rows[1:]]), "expected logits of one length in every row"),
        (change_column("split", lambda names: ["train" if n == "forget" else n for n in names]), "train and retain"),
        (change_column("split", lambda names: ["train" if n == "test" else n for n in names]), "train and forget"),
        (change_column("split", lambda names: ["half" if n == "test" else n for n in names]), "got none of test"),
        (lambda table: table.filter(pc.not_equal(table["split"], "retain")), "got none of retain"),
        (lambda table: table.drop_columns("split"), "expected a column split beside"),
        (lambda table: table.drop_columns("logits"), "got the columns example_id, label"),
    ],
)  # fmt: skip
def test_outputs_that_do_not_fit_are_refused_in_one_line(own_walk, one_file, capsys, change, message):
    assert judge(own_walk, one_file(change)) == 2
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count("\n") == 1
    assert not list(own_walk.results.glob("*mine*"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "0" * 64}, "expected a model of split "),
        ({"tier": "full"}, "expected a model of tier mini"),
        ({"ratio": 5}, "expected a model of ratio 10"),
        ({"base_seed": 1}, "expected a model of base_seed 0"),
        ({"backbone": "vit"}, "expected a model of backbone resnet"),
        ({"deleted_before": 5}, "expected a model of one request, since its cost is that of one, got the model of a "),
    ],
)
@pytest.mark.parametrize("part", ["", REFERENCE])
def test_a_folder_of_ours_about_something_else_is_refused(own_walk, capsys, changes, message, part):
    folder = own_walk.models / MODEL
    replace(read_run(folder), **changes).write(folder)
    assert judge(own_walk, folder / part) == 2
    assert message in capsys.readouterr().err


def test_damaged_outputs_of_a_folder_of_ours_are_refused(own_walk, capsys):
    folder = own_walk.models / MODEL / REFERENCE
    splits = read_outputs(folder)
    splits["test"] = replace(splits["test"], logits=splits["test"].logits * 2)
    write_outputs(folder, splits)
    assert judge(own_walk, folder) == 2
    assert "test.parquet as it was written" in capsys.readouterr().err


def test_a_reference_is_not_judged_against_itself(own_walk, capsys):
    assert judge(own_walk, own_walk.models / "cifar10-mini-resnet-del10-retrain-s0") == 2
    assert "expected another model than the references" in capsys.readouterr().err


def other_classes(folder):
    names = {i: f"class {i}" for i in range(10)}
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], id2label=names)
    ResNetForImageClassification(config).save_pretrained(folder)


def fewer_classes(folder):
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], num_labels=3)
    ResNetForImageClassification(config).save_pretrained(folder)


def another_kind(folder):
    config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertForSequenceClassification(config).save_pretrained(folder)


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (other_classes, "got one of 10 classes (class 0, class 1, class 2, ...)"),
        (fewer_classes, "got one of 3 classes"),
        (another_kind, "expected a whole model in"),
    ],
)
def test_a_model_of_other_classes_or_another_kind_is_refused(own_walk, tmp_path, capsys, save, message):
    processor = own_walk.models / MODEL / "preprocessor_config.json"
    save(tmp_path / "other")
    shutil.copy(processor, tmp_path / "other")
    assert judge(own_walk, tmp_path / "other") == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (MODEL, ["scrub"], "scrub is a method or control of the suite"),
        (MODEL, ["Neg-Grad"], "neg_grad is a method or control of the suite"),
        (MODEL, ["flip-cheat"], "flip_cheat is a method or control"),
        (MODEL, ["a name"], "expected a name of 1 to 64 letters"),
        (MODEL, ["mine", "--base_seed=5"], "expected base_seed of a reference, 0, 1, got 5"),
        (MODEL, ["mine", "--ratio=11"], "ratio must be a whole percentage"),
        ("nothing", ["mine"], "expected a model folder, a Hub id, or outputs as parquet, got nothing at"),
    ],
)
def test_wrong_options_are_refused_in_one_line(own_walk, capsys, source, options, message):
    assert judge(own_walk, own_walk.models / source, *options) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not own_walk.results.exists()
