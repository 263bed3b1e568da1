"""Aggregate scores of papers at their worked values, and F1 against scikit-learn."""

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.metrics import METRICS, Case
from mubench.trainers.metrics.retraining_scores import nomus, zero_retrain_forgetting


def rows(right, count, prefix, classes=2):
    """Sure outputs of which the first rows are right; the class of all is 0."""
    logits = np.full((count, classes), -60, dtype=np.float32)
    logits[np.arange(count), np.where(np.arange(count) < right, 0, 1)] = 0
    return ClassOutputs(np.array([f"{prefix}{i}" for i in range(count)]), logits, np.zeros(count, dtype=np.int64))


def model(forget, retain, test):
    counts = {"forget": forget, "retain": retain, "test": test}
    return {split: rows(right, 20, split) for split, right in counts.items()}


def test_tow_is_the_product_of_three_closenesses():
    retrained = model(14, 20, 16)
    case = Case(model(18, 19, 12), [retrained, model(12, 20, 16)], [], 0.5)
    assert METRICS["tow"].compute(case) == pytest.approx((1 - 0.25) * (1 - 0.05) * (1 - 0.2))
    assert METRICS["tow"].compute(Case(retrained, [retrained], [], 0.5)) == 1
    assert METRICS["tow"].compute(Case(model(0, 20, 16), [model(20, 20, 16)], [], 0.5)) == 0


def test_tow_mia_has_the_attack_in_place_of_forget_accuracy(world):
    case = world.case(world.views(saw=0.6, seed=4))
    attack = METRICS["svc_confidence"].compute
    far = abs(attack(case) - np.mean([attack(replace(case, model=one)) for one in case.retrained]))
    share = METRICS["tow"].compute(case) / (
        1 - abs(METRICS["forget_score"].compute(case)
                - np.mean([one["forget"].correct.mean() for one in case.retrained]))
    )  # fmt: skip
    assert far > 0.1 and METRICS["tow_mia"].compute(case) == pytest.approx((1 - far) * share, abs=1e-9)
    assert METRICS["tow_mia"].compute(Case(case.retrained[0], [case.retrained[0]], [], 0.1)) == 1


def test_nomus_reproduces_the_published_value(world):
    assert nomus(0.5951, 0.5 + 0.2136) == nomus(0.5951, 0.5 - 0.2136) == pytest.approx(0.58395)
    assert nomus(1, 0.5) == 1 and nomus(0, 1) == 0
    case = world.case(world.views(saw=0.6, seed=4))
    expected = nomus(METRICS["test_score"].compute(case), METRICS["scrub_mia"].compute(case))
    assert METRICS["nomus"].compute(case) == expected


def test_the_knowledge_gap_is_the_auc_of_correctness(world):
    views = world.views(saw=0.6, seed=4)
    scores = [views[split].correct.astype(float) for split in ("retain", "forget")]
    expected = roc_auc_score(np.repeat([1, 0], [600, 60]), np.concatenate(scores))
    assert METRICS["knowledge_gap"].compute(world.case(views)) == pytest.approx(expected, abs=1e-6)


def test_zrf_is_1_for_the_teacher_itself_and_least_where_both_are_sure_of_different_classes():
    one, other = rows(8, 8, "r"), rows(0, 8, "r")
    assert zero_retrain_forgetting(one, one) == pytest.approx(1, abs=1e-12)
    assert zero_retrain_forgetting(one, other) == pytest.approx(1 - math.log(2), abs=1e-9)


@pytest.mark.parametrize(("classes", "published"), [(2, 0.78), (10, 0.47), (100, 0.33)])
def test_zrf_of_a_sure_model_and_a_uniform_teacher(classes, published):
    """The values of one-hot outputs against almost uniform teachers in MU-Bench."""
    case = Case({"forget": rows(8, 8, "r", classes)}, [], [], 0.5)
    p, q = np.eye(classes)[0], np.full(classes, 1 / classes)
    middle = (p + q) / 2
    divergence = (math.log(1 / middle[0]) + (q * np.log(q / middle)).sum()) / 2
    assert METRICS["zrf_uniform"].compute(case) == pytest.approx(1 - divergence, abs=1e-6)
    assert METRICS["zrf_uniform"].compute(case) == pytest.approx(published, abs=0.01)
    flat = replace(case.model["forget"], logits=np.zeros((8, classes), dtype=np.float32))
    assert METRICS["zrf_uniform"].compute(Case({"forget": flat}, [], [], 0.5)) == pytest.approx(1, abs=1e-12)


def test_macro_f1_equals_scikit_learns(world):
    views = world.views(saw=0.6, seed=4)
    cut = {**views, "forget": views["forget"].take(np.arange(6))}  # some classes are neither true nor predicted
    for split in ("forget", "test"):
        expected = f1_score(cut[split].labels, cut[split].predictions, average="macro", zero_division=0)
        assert METRICS[f"{split}_macro_f1"].compute(world.case(views) if split == "test" else Case(cut, [], [], 0.1)) \
            == pytest.approx(expected, abs=1e-6)  # fmt: skip


def test_overall_allows_neg_grad_twice_the_loss_on_test_rows():
    base, own = model(20, 20, 20), model(10, 20, 14)  # 30 % below the base
    case = Case(own, [], [base], 0.5)
    assert METRICS["overall"].compute(case) == METRICS["overall"].compute(replace(case, method="scrub")) == 0
    assert METRICS["overall"].compute(replace(case, method="neg_grad")) == pytest.approx(2 * 0.7 / 1.7)
    lost = Case(model(10, 20, 11), [], [base], 0.5, method="neg_grad")  # 45 % below
    assert METRICS["overall"].compute(lost) == 0
