"""The score S against a second, naive implementation, its fixed points, and what it refuses."""

from dataclasses import astuple, replace

import numpy as np
import pytest

from mubench.trainers.evaluation.controls import constant
from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.metrics import Case, NoSignal
from mubench.trainers.metrics.score import Parts, judged_attacks, parts
from tests.trainers.conftest import leave_one_out, naive_areas


@pytest.mark.parametrize("saw", [0.0, 0.4, 1.0])
def test_parts_equal_a_naive_implementation(world, naive, saw):
    case = world.case(world.views(saw=saw, seed=61))
    expected = naive(case.model, list(case.retrained), list(case.bases), case.chance)
    np.testing.assert_allclose(astuple(parts(case)), expected, atol=1e-9)


def test_ood_rows_count_for_utility(world, naive):
    def with_ood(views):
        return {**views, "ood": views["test"]}

    case = world.case(world.views(saw=0.0, seed=61))
    model = {**case.model, "ood": constant(case.model)["test"]}
    wide = Case(model, list(map(with_ood, case.retrained)), list(map(with_ood, case.bases)), case.chance)
    assert parts(case).utility < 0.1 and parts(wide).utility > 0.9
    assert parts(wide).utility == pytest.approx(naive(model, list(wide.retrained), list(wide.bases), 0.1)[3])


def test_every_attack_equals_sklearns(world):
    case = world.case(world.views(saw=0.4, seed=61))
    areas = judged_attacks(case.evidence, case.reference).areas
    np.testing.assert_allclose(areas, naive_areas(case.model, list(case.retrained)), atol=1e-9)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0, 0, 0, 0), 1.0),
        ((-0.3, 0, 0, 0), 1.0),  # closer than retrained models are to each other is not better than retrained
        ((0.2, 0.5, 0.1, 0), 0.5),
        ((0.2, 0.1, 0.1, 0.5), 0.4),
        ((1.7, 0, 0, 0), 0.0),
        ((0, 0, 0, 2.5), 0.0),
        ((3.0, 0, 0, 3.0), 0.0),  # two negative factors do not make a score
    ],
)
def test_score_combines_the_parts(values, expected):
    assert float(Parts(*map(float, values)).score) == pytest.approx(expected)


def test_every_part_but_utility_is_1_for_the_base_models_on_average(world):
    case = world.case(world.bases()[0])
    both = [parts(replace(case, model=base)) for base in case.bases]
    for name in ("row", "mean", "membership"):
        assert np.mean([getattr(part, name) for part in both]) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_controls_come_out_in_order_with_the_noise_of_a_mini_task(seed, world):
    place = replace(world, seed=seed)
    retrained, bases = place.retrained(), place.bases()
    assert np.mean([views["forget"].true_probability.mean() for views in retrained.values()]) == pytest.approx(
        0.62, abs=0.06
    )

    def score(model, others=retrained):
        return float(parts(Case(model, list(others.values()), list(bases.values()), 0.1)).score)

    left_out = np.mean([score(*leave_one_out(retrained, k)) for k in retrained])
    half = np.mean([score(place.views(saw=0.5, seed=50 + k)) for k in range(3)])
    zero = max(score(model) for model in (constant(bases[0]), bases[0], bases[1]))
    assert left_out >= 0.8 and 0.2 < half < 0.65 and zero <= 0.1


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("row", lambda case: {"bases": list(case.retrained[:2])}),
        ("utility", lambda case: {"chance": 0.99}),
    ],
)
def test_a_part_that_would_divide_by_nothing_is_named(world, part, change):
    case = world.case(world.views(saw=0.4, seed=7))
    with pytest.raises(NoSignal, match=f"no signal for '{part}'"):
        parts(replace(case, **change(case)))


def with_forget(views, logits):
    one = views["forget"]
    return {**views, "forget": ClassOutputs(one.ids, logits.astype(np.float32), one.labels)}


def test_equal_mean_scores_leave_no_signal(world):
    case = world.case(world.views(saw=0.4, seed=7))
    # Sure and right on as many rows as the retrained models, but on other rows.
    target = case.retrained[0]
    same = [target, with_forget(target, target["forget"].logits * 1.01)]
    logits = case.bases[0]["forget"].logits.copy()
    order = np.argsort(target["forget"].correct)  # wrong rows of the retrained model first
    wrong = order[int(target["forget"].correct.sum()) :]
    logits[wrong, case.bases[0]["forget"].labels[wrong]] = -20
    base = with_forget(case.bases[0], logits)
    assert base["forget"].correct.mean() == target["forget"].correct.mean()
    with pytest.raises(NoSignal, match="no signal for 'mean': bases and retrained models have the same mean score"):
        parts(Case(case.model, same, [base], 0.1))


def test_bases_without_membership_leave_no_signal(world, surer):
    case = world.case(world.views(saw=0.4, seed=7))
    # All models are wrong on every test row: no attack on the base can be better than one on the retrained models.
    retrained = [surer(views, test=-40) for views in case.retrained]
    base = surer(retrained[0], forget=3)
    with pytest.raises(NoSignal, match="no signal for 'membership': the strongest attack"):
        parts(Case(case.model, retrained, [base], 0.1))


def test_too_few_references_are_refused(world):
    case = world.case(world.views(saw=0.4, seed=7))
    for retrained, bases in ((case.retrained[:1], case.bases), (case.retrained, [])):
        with pytest.raises(ValueError, match="at least 2 retrained models and 1 base, got"):
            parts(Case(case.model, retrained, bases, 0.1))


def test_models_with_other_rows_are_refused(world):
    case = world.case(world.views(saw=0.4, seed=7))
    forget = case.model["forget"]
    other = {**case.model, "forget": forget.select(forget.ids[::-1])}
    with pytest.raises(ValueError, match="retrained model 0 to have the judged model's rows of 'forget', got other"):
        Case(other, case.retrained, case.bases, 0.1)
    without = {split: outputs for split, outputs in case.bases[1].items() if split != "test"}
    with pytest.raises(ValueError, match="base model 1 to have outputs of split 'test', got forget, retain"):
        Case(case.model, case.retrained, [case.bases[0], without], 0.1)
