"""`mubench sequence` from its words to its file; what it refuses leaves nothing behind."""

import json

import numpy as np
import pytest

from mubench.hub_builders.hub.model_folder import read_run
from mubench.trainers.__main__ import main
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.runs import run as run_module
from mubench.trainers.sequences.sequence_result import read_sequences
from tests.fixtures.walk import FORGET, RATIO, add_signal


def words(walk, *more):
    where = ["--task=cifar10", f"--ratio={RATIO}", f"--results={walk.results}", *walk.flags()]
    return ["sequence", "--method=neg_grad", *where, "--disable_tqdm=true", "--save_strategy=no", *more]


def test_every_model_is_judged_on_all_rows_and_costs_add_up(own_walk, capsys):
    add_signal(own_walk)
    assert main(words(own_walk, "--steps=2")) == 0
    printed = capsys.readouterr().out
    (found,) = read_sequences(own_walk.results)
    assert f"sequence: {own_walk.results}/sequences/{found.sequence_id}.json" in printed
    assert [(one.ratio, one.rows) for one in (*found.steps, found.one_shot)] == [(5, 8), (10, 8), (10, FORGET)]
    assert found.steps[1].parent == found.steps[0].identity and found.steps[0].own is None
    assert found.steps[1].own == found.steps[1].whole and found.one_shot.whole.retrained == 3
    group = own_walk.judge().group
    outputs = group.outputs(own_walk.models / found.steps[0].folder)
    assert found.steps[0].scores.test == outputs["test"].correct.mean()
    first = own_walk.setting().train_ids[own_walk.setting().forget_mask(5)]
    assert found.steps[0].scores.requests[0] == outputs["forget"].select(first).correct.mean()
    retrained = [group.outputs(folder)["forget"].select(first).correct.mean() for folder in group.retrained.values()]
    assert found.retrained.requests[0] == pytest.approx(np.mean(retrained))
    whole = read_run(own_walk.models / found.one_shot.folder).cost["backward"]
    assert sum(one.cost["backward"] for one in found.steps) == whole == FORGET
    assert not list(own_walk.results.glob("*.json"))


@pytest.mark.slow
def test_a_ratio_with_models_of_its_own_is_judged_against_them(own_walk):
    for seed in (0, 1):
        own_walk.unlearn("retrain", ratio=5, base_seed=seed)
    assert main(words(own_walk, "--steps=2")) == 0
    (found,) = read_sequences(own_walk.results)
    assert (found.steps[0].own.ratio, found.steps[0].own.retrained, found.steps[0].whole.retrained) == (5, 2, 3)


def diverging(monkeypatch, requests):
    """Have requests diverge, by their ratio and the one deleted before."""
    make = run_module._make

    def fail(plan, callbacks):
        if (plan.request.ratio, plan.request.deleted_before) in requests:
            raise NonFiniteError("expected a finite loss, got nan at step 1")
        make(plan, callbacks)

    monkeypatch.setattr(run_module, "_make", fail)


@pytest.mark.parametrize("has_one_shot", [True, False])
def test_a_request_that_diverges_leaves_those_before_it_in_the_file(own_walk, capsys, monkeypatch, has_one_shot):
    diverging(monkeypatch, {(RATIO, 5), *([] if has_one_shot else [(RATIO, None)])})
    assert main(words(own_walk, "--steps=2", "--learning_rate=0.0001")) == 2  # no run of the walk
    (path,) = (own_walk.results / "sequences").glob("*-steps2.json")
    reason = "expected a finite loss, got nan at step 1"
    assert f"{reason}, in request 2 of 2; those before it are in {path}" in capsys.readouterr().err
    (found,) = read_sequences(own_walk.results)
    assert ([one.ratio for one in found.steps], found.planned, found.stopped) == ([5], 2, reason)
    assert (found.one_shot is not None) == has_one_shot


def test_a_first_request_that_diverges_leaves_no_file(own_walk, monkeypatch):
    diverging(monkeypatch, {(5, None)})
    assert main(words(own_walk, "--steps=2")) == 2
    assert not (own_walk.results / "sequences").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--steps=3"], "expected steps that divide 10 % into whole percentages (1, 2, 5, 10), got 3"),
        (["--method=retrain"], "expected a method that changes a model, got retrain, which starts from a fresh one"),
        (["--method=scrup"], "did you mean 'scrub'?"),
        (["--judge=false"], "expected a sequence that is judged after every request, got judge false"),
        (["--stpes=2"], "unrecognized arguments: --stpes=2"),
        (["--ratio=4", "--steps=2"], "expected 1 base and 2 retrained models of cifar10 resnet at 4 %, got 2 and 0"),
    ],
)
def test_a_mistake_is_one_line_and_trains_nothing(walked, capsys, more, message):
    before = set(walked.root.rglob("*"))
    try:
        code = main(words(walked, *more))
    except SystemExit as left:  # of a parser
        code = left.code
    error = capsys.readouterr().err
    assert code == 2 and message in error and error.count("\n") == 1
    assert set(walked.root.rglob("*")) == before


def test_a_method_of_ones_own_may_be_in_a_sequence(own_walk, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from mubench.trainers.methods.neg_grad import NegGradTrainer\n\n\n"
        'class MineTrainer(NegGradTrainer):\n    """Mine."""\n'
    )
    more = ["--method=mine", "--steps=1", f"--method_file={tmp_path / 'mine.py'}"]
    assert main(words(own_walk, *more)) == 0
    (path,) = (own_walk.results / "sequences").glob("*.json")
    found = json.loads(path.read_text())
    assert found["method"] == "mine" and len(found["method_file"]) == 64
