"""Judging folders: a row a run, and rows that are up to date stay."""

import os
import shlex
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mubench.hub_builders.hub.model_folder import REFERENCE, read_run
from mubench.hub_builders.tasks.names import fingerprint
from mubench.trainers import __main__ as trainers
from mubench.trainers.evaluation import judge_runs as judging
from mubench.trainers.evaluation.result import read_result, read_results, write_result
from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.inference.storage import read_outputs, write_outputs
from mubench.trainers.inference.token_outputs import TokenOutputs
from mubench.trainers.metrics.accuracy import majority_baseline
from mubench.trainers.metrics.retraining_scores import zero_retrain_forgetting
from tests.fixtures.walk import BASES, FORGET, RATIO, RETRAINED, files, quick

MODEL = "cifar10-mini-resnet-del10-neg-grad-s0"


@pytest.fixture(scope="module")
def controls(walked_once, tmp_path_factory):
    """Return the rows of all controls, which leave the models alone; tests only read them."""
    with quick():
        walk = walked_once.copy(tmp_path_factory.mktemp("controls"))
        before = files(walk.models)
        walk.judge().controls()
        assert files(walk.models) == before
    return read_results(walk.results)


def test_a_judged_model_is_one_row_named_after_folder_and_run(own_walk):
    run, before = read_run(own_walk.models / MODEL), files(own_walk.models)
    path = own_walk.judge().run(own_walk.models / MODEL)
    assert files(own_walk.models) == before
    assert path == own_walk.results / f"{MODEL}-{run.identity[:8]}.json"
    row = read_result(path)
    assert (row.method, row.ratio, row.seed, row.identity) == ("neg_grad", RATIO, 0, run.identity)
    assert (row.references.retrained, row.references.bases) == (list(RETRAINED), list(BASES))
    assert row.arguments == run.arguments and row.tuned == "default" and not row.control
    assert row.cost["forward"] == run.cost["forward"]
    assert "gap" in row.metrics and "nan" not in row.flags
    own, random = (read_outputs(own_walk.models / name / REFERENCE) for name in (MODEL, "cifar10-mini-resnet"))
    forget = own["train"].select(random["random"].ids)
    assert row.metrics["zrf"].value == zero_retrain_forgetting(forget, random["random"])
    assert row.metrics["zrf"].retrained is not None and row.metrics["zrf"].n == FORGET


def test_judging_again_writes_nothing(own_walk, monkeypatch):
    path = own_walk.judge().run(own_walk.models / MODEL)
    os.utime(path, (1, 1))
    monkeypatch.setattr(judging, "judge_against", None)
    assert own_walk.judge().run(own_walk.models / MODEL) == path
    assert path.stat().st_mtime == 1


def test_more_references_than_a_row_may_name_are_one_line(own_walk):
    group = own_walk.judge().group
    many = replace(group, retrained=dict.fromkeys(range(65), group.retrained[0]))
    with pytest.raises(ValueError, match=r"^expected at most 64 retrained and base models each, got 65$"):
        judging.Judge(many, own_walk.results)


def test_another_set_of_references_is_judged_anew(own_walk):
    path = own_walk.judge().run(own_walk.models / MODEL)
    own_walk.unlearn("retrain", base_seed=3)
    assert own_walk.judge().run(own_walk.models / MODEL) == path
    assert read_result(path).references.retrained == [0, 1, 2, 3]


def train_elsewhere(folder):
    """Replace a model's outputs by slightly others, as the same run gives on another machine."""
    splits = read_outputs(folder / REFERENCE)
    splits["test"] = replace(splits["test"], logits=splits["test"].logits * np.float32(1 + 1e-4))
    read_run(folder).finished(outputs=write_outputs(folder / REFERENCE, splits)).write(folder)


def test_a_row_names_the_outputs_it_is_about(own_walk):
    row = read_result(own_walk.judge().run(own_walk.models / MODEL))
    assert row.outputs == fingerprint(read_run(own_walk.models / MODEL).outputs)
    names = [f"-del10-retrain-s{seed}" for seed in RETRAINED] + ["", "-s1"]
    runs = [read_run(own_walk.models / f"cifar10-mini-resnet{name}") for name in names]
    assert row.references.identities == [run.identity for run in runs]
    assert row.references.outputs == [fingerprint(run.outputs) for run in runs]


def test_so_do_rows_of_controls(controls):
    assert all(row.references.outputs for row in controls)


REFERENCES = ("cifar10-mini-resnet-del10-retrain-s1", "cifar10-mini-resnet-s1")


@pytest.mark.parametrize("changed", [MODEL, *(pytest.param(name, marks=pytest.mark.slow) for name in REFERENCES)])
def test_other_outputs_of_the_same_runs_are_judged_anew(own_walk, changed):
    judge = own_walk.judge()
    paths = [judge.run(own_walk.models / MODEL), *sorted(judge.controls())]
    before = [read_result(path) for path in paths]
    train_elsewhere(own_walk.models / changed)
    judge = own_walk.judge()
    assert [judge.run(own_walk.models / MODEL), *sorted(judge.controls())] == paths
    after = [read_result(path) for path in paths]
    assert after[0].identity == before[0].identity and after[0] != before[0]
    assert (after[0].outputs != before[0].outputs) == (changed == MODEL)
    renewed = [one for one, other in zip(after[1:], before[1:], strict=True) if one != other]
    assert len(renewed) == (0 if changed == MODEL else len(before) - 1)


def test_a_row_that_names_no_outputs_is_judged_anew(own_walk):
    path = own_walk.judge().run(own_walk.models / MODEL)
    row = read_result(path)
    write_result(row.model_copy(update={"outputs": None}), own_walk.results)
    own_walk.judge().run(own_walk.models / MODEL)
    assert read_result(path) == row


@pytest.mark.parametrize("judged", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [MODEL, "cifar10-mini-resnet-del10-retrain-s1", "cifar10-mini-resnet"])
def test_damaged_outputs_name_the_command_that_makes_them_anew(own_walk, name, judged):
    if judged:
        own_walk.judge().run(own_walk.models / MODEL)
    path = own_walk.models / name / REFERENCE / "test.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"test\.parquet as it was written, got") as caught:
        own_walk.judge().run(own_walk.models / MODEL)
    message = str(caught.value)
    assert "\n" not in message and f"remove {own_walk.models / name} and make it anew with: " in message
    shutil.rmtree(own_walk.models / name)
    assert trainers.main(shlex.split(message.partition(": mubench ")[2]) + ["--judge=false"][: name.count("del")]) == 0
    own_walk.judge().run(own_walk.models / MODEL)


def test_outputs_are_read_once(own_walk, monkeypatch):
    read, reads = Path.read_bytes, []
    monkeypatch.setattr(Path, "read_bytes", lambda path: [reads.append(path), read(path)][1])
    judge = own_walk.judge()
    judge.controls()
    judge.run(own_walk.models / MODEL)
    files = [path for path in reads if path.suffix == ".parquet"]
    assert len(files) == len(set(files)) == 6 * 4 + 2  # beside a base lie those of an untrained model


def test_controls_are_rows_for_every_base_and_every_retrained_model(controls):
    assert all(row.control for row in controls)
    assert Counter(row.method for row in controls) == {
        "retrain": 3, "base": 2, "flip_cheat": 2, "quantile_cheat": 2, "constant": 2,
    }  # fmt: skip
    assert {row.base_seed for row in controls if row.method == "base"} == set(BASES)


def test_a_retrained_model_is_never_among_its_own_references(controls):
    rows = [row for row in controls if row.method == "retrain"]
    assert {row.seed: row.references.retrained for row in rows} == {0: [1, 2], 1: [0, 2], 2: [0, 1]}


def test_two_retrained_models_are_too_few_to_judge_each_other(own_walk):
    (own_walk.models / "cifar10-mini-resnet-del10-retrain-s2" / "run.json").unlink()
    own_walk.judge().controls()
    assert {row.method for row in read_results(own_walk.results)} == {
        "base",
        "flip_cheat",
        "quantile_cheat",
        "constant",
    }


def test_a_control_that_is_a_run_is_judged_like_one_and_marked(own_walk):
    row = read_result(own_walk.judge().run(own_walk.unlearn("retrain_keep50", base_seed=0)))
    assert row.control and row.method == "retrain_keep50" and row.references.retrained == list(RETRAINED)


def test_an_untouched_base_model_is_flagged_and_the_constant_too(controls):
    flags = {row.method: row.flags for row in controls if row.base_seed == 0}
    assert "equals_base" in flags["base"] and "constant_class" in flags["constant"]


def test_nothing_is_judged_without_references(own_walk):
    for seed in RETRAINED:
        (own_walk.models / f"cifar10-mini-resnet-del10-retrain-s{seed}" / "run.json").unlink()
    with pytest.raises(FileNotFoundError, match="mubench references --task cifar10"):
        own_walk.judge()
    assert not own_walk.results.exists()


def test_a_row_is_judged_anew_after_a_reference_was_trained_anew(own_walk):
    path = own_walk.judge().run(own_walk.models / MODEL)
    before = read_result(path).references
    folder = own_walk.models / "cifar10-mini-resnet-del10-retrain-s0"
    replace(read_run(folder), arguments={"changed": True}).write(folder)
    own_walk.judge().run(own_walk.models / MODEL)
    after = read_result(path).references
    assert after.retrained == before.retrained and after.identities != before.identities


def test_the_row_of_a_folders_earlier_run_is_removed(own_walk):
    path = own_walk.judge().run(own_walk.models / MODEL)
    old = path.with_name(f"{MODEL}-00000000.json")
    old.write_text(path.read_text().replace(path.stem, old.stem))
    other = path.with_name(f"{MODEL}-00000000-more.json")
    other.write_text("another name")
    path.unlink()
    own_walk.judge().run(own_walk.models / MODEL)
    assert path.is_file() and other.is_file() and not old.exists()


def test_retrained_rows_carry_no_gate_of_their_own(controls):
    rows = [row for row in controls if row.method == "retrain"]
    assert rows and all("the gate needs" not in (row.no_signal or "") for row in rows)


def test_chance_is_the_score_of_the_most_frequent_answer():
    labels = np.array([0, 0, 0, 1, 2])
    uneven = ClassOutputs(np.array(list("abcde")), np.zeros((5, 3), dtype=np.float32), labels)
    assert majority_baseline(uneven) == 0.6
    tokens = TokenOutputs(
        np.array(["a", "b"]), np.array([1, 3]), np.array([7, 7, 8, 9], dtype=np.int32), np.zeros(4, dtype=np.float32),
        np.ones(4, dtype=bool), np.zeros((4, 2), dtype=np.int32), np.zeros((4, 2), dtype=np.float32),
    )  # fmt: skip
    assert majority_baseline(tokens) == (1 + 1 / 3) / 2
