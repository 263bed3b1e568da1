from dataclasses import replace

import numpy as np
import pytest

from mubench.trainers.evaluation.controls import constant
from mubench.trainers.evaluation.judge import judge, judge_controls, reference_models
from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.metrics import METRICS
from mubench.trainers.metrics.score import parts
from tests.fixtures.walk import leave_out_fitted
from tests.trainers.conftest import leave_one_out


@pytest.fixture
def unfitted(monkeypatch):
    """Judge without the metrics that fit models."""
    leave_out_fitted(monkeypatch)


def test_a_row_holds_every_metric_the_splits_allow_and_what_it_was_judged_against(world, run_info):
    model = world.views(saw=0.3, seed=5)
    row = judge(run_info, model, world.retrained(), world.bases(), chance=0.1)
    of_written = {name for name, metric in METRICS.items() if not metric.rows(model["forget"])}
    assert {"rouge_l", "truth_ratio", "frechet_classifier", "min_k"} <= of_written
    assert set(row.metrics) == set(METRICS) - {"ood_score", "row_shifted", "zrf"} - of_written
    assert row.score_version == 2 and row.references.source == "own" and not row.outputs_only
    case = world.case(model)
    for name in ("score", "gap", "kl_retrained", "test_score"):
        assert row.metrics[name].value == METRICS[name].compute(case)
        left_out = [METRICS[name].compute(one) for one in case.leave_one_out]
        assert row.metrics[name].retrained == pytest.approx(np.mean(left_out))
    assert row.metrics["forget_score"].n == 60 and row.metrics["test_score"].n == 397
    assert row.references.retrained == [0, 1, 2] and row.references.bases == [0, 1]
    assert row.interval.low < row.metrics["score"].value < row.interval.high and len(row.interval.draws) == 2000
    assert row.provisional and row.row_spread is None and row.no_signal is None and row.flags == []
    assert row.method == run_info.method and row.cost == run_info.cost


def test_a_metric_without_a_value_is_absent_and_takes_no_other_with_it(world, run_info):
    few = replace(world, rows={**world.rows, "test": 9})
    row = judge(run_info, few.views(saw=0.3, seed=5), few.retrained(), few.bases(), chance=0.1)
    every = judge(run_info, world.views(saw=0.3, seed=5), world.retrained(), world.bases(), chance=0.1).metrics
    assert set(every) - set(row.metrics) == {"scrub_mia", "nomus"} and set(row.metrics) <= set(every)


def test_the_method_reaches_the_metrics(world, run_info, unfitted):
    views, bases = world.views(saw=0.3, seed=5), world.bases()
    test = views["test"]
    logits = test.logits.copy()
    logits[: int(0.3 * len(test))] = np.roll(test.logits, 1, axis=1)[: int(0.3 * len(test))]
    model = {**views, "test": ClassOutputs(test.ids, logits, test.labels)}
    rows = {
        method: judge(run_info.model_copy(update={"method": method}), model, world.retrained(), bases, chance=0.1)
        for method in ("scrub", "neg_grad")
    }
    assert rows["scrub"].metrics["overall"].value == 0 < rows["neg_grad"].metrics["overall"].value


def test_five_retrained_models_and_three_bases_are_enough(world, run_info, unfitted):
    row = judge(run_info, world.views(saw=0.3, seed=5), world.retrained(5), world.bases(3), chance=0.1)
    assert not row.provisional and row.row_spread < 0.1


def test_the_order_of_references_does_not_matter(world, run_info, unfitted):
    model = world.views(saw=0.3, seed=5)
    first = judge(run_info, model, world.retrained(), world.bases(), chance=0.1)
    retrained = dict(reversed(world.retrained().items()))
    assert judge(run_info, model, retrained, dict(reversed(world.bases().items())), chance=0.1) == first


def test_broken_models_are_flagged(world, run_info, unfitted):
    retrained, bases = world.retrained(), world.bases()
    broken = dict(world.views(saw=0.3, seed=5))
    logits = broken["retain"].logits.copy()
    logits[3, 1] = np.nan
    broken["retain"] = ClassOutputs(broken["retain"].ids, logits, broken["retain"].labels)
    row = judge(run_info, broken, retrained, bases, chance=0.1)
    assert row.flags == ["nan"] and row.metrics == {} and row.interval is None
    assert judge(run_info, constant(bases[0]), retrained, bases, chance=0.1).flags == ["constant_class"]
    assert judge(run_info, bases[1], retrained, bases, chance=0.1).flags == ["equals_base"]


def test_references_that_are_not_finite_are_refused(world, run_info):
    retrained = world.retrained()
    one = retrained[1]["test"]
    retrained[1] = {**retrained[1], "test": ClassOutputs(one.ids, np.full_like(one.logits, np.nan), one.labels)}
    with pytest.raises(ValueError, match="finite outputs of all reference models, got NaN of retrained s1"):
        judge(run_info, world.views(saw=0.3, seed=5), retrained, world.bases(), chance=0.1)


@pytest.mark.parametrize(("retrained", "bases"), [(1, 2), (0, 2), (3, 0)])
def test_missing_references_name_the_command_that_makes_them(world, run_info, retrained, bases):
    with pytest.raises(ValueError, match="mubench references --task cifar10 --backbone resnet --ratio 5 ") as caught:
        judge(run_info, world.bases()[0], world.retrained(retrained), world.bases(bases), chance=0.1)
    assert "\n" not in str(caught.value) and f"got {retrained} and {bases}" in str(caught.value)


def test_a_task_without_signal_is_a_row_with_the_reason(world, run_info, unfitted):
    retrained = world.retrained()
    row = judge(run_info, world.views(saw=0.3, seed=5), retrained, {0: retrained[0], 1: retrained[2]}, chance=0.1)
    assert "no signal for 'row'" in row.no_signal and row.interval is None and "score" not in row.metrics
    assert row.metrics["gap"].value >= 0


def test_two_retrained_models_judge_without_a_gate(world, run_info, unfitted):
    model, others = leave_one_out(world.retrained(), 0)
    row = judge(run_info, model, others, world.bases(), chance=0.1)
    assert row.metrics["score"].value > 0.8 and row.metrics["score"].retrained is None
    assert row.no_signal is None and row.row_spread is None and row.provisional


def test_controls_without_a_run_are_judged_for_every_base(world, run_info, unfitted):
    references = reference_models(run_info, world.retrained(), world.bases(), 0.1)
    rows = [row for row, _ in judge_controls(run_info, references)]
    assert [(row.method, row.base_seed) for row in rows] == [
        (name, seed) for seed in (0, 1) for name in ("base", "flip_cheat", "quantile_cheat", "constant")
    ]
    assert all(row.control and row.identity is None and row.cost == {} for row in rows)
    assert len({row.run_id for row in rows}) == 8
    assert max(row.metrics["score"].value for row in rows if row.method != "quantile_cheat") <= 0.1


def test_judging_does_not_change_what_it_is_given(world, run_info, unfitted):
    model = world.views(saw=0.3, seed=5)
    before = model["forget"].logits.copy()
    judge(run_info, model, world.retrained(), world.bases(), chance=0.1)
    np.testing.assert_array_equal(model["forget"].logits, before)
    assert float(parts(world.case(model)).score) > 0
