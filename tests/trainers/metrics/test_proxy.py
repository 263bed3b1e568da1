"""P, the stand-in for S among the epochs of one run: its closed form, its order, and where it says nothing."""

import numpy as np
import pytest

from mubench.trainers.evaluation.controls import constant
from mubench.trainers.inference.storage import ClassOutputs
from mubench.trainers.metrics.attacks import auc
from mubench.trainers.metrics.case import NoSignal
from mubench.trainers.metrics.proxy import chance_advantage, proxy
from tests.trainers.conftest import World

ROWS = {"forget": 60, "retain": 500, "validation": 200, "test": 400}


@pytest.fixture(scope="module")
def seen():
    return World(ROWS)


def made(right, labels=None, *, gap=2.0):
    """Outputs of two classes that are right where told, all equally sure."""
    labels = np.arange(len(right)) % 2 if labels is None else np.asarray(labels)
    logits = np.zeros((len(right), 2), dtype=np.float32)
    logits[np.arange(len(right)), np.where(right, labels, 1 - labels)] = gap
    return ClassOutputs(np.arange(len(right)).astype(str), logits, labels)


def views(forget, retain, validation):
    """Outputs of 20 rows each, of which so many are right; the wrong ones are the first."""
    rights = {"forget": forget, "retain": retain, "validation": validation}
    return {name: made(np.arange(20) >= 20 - right) for name, right in rights.items()}


def test_p_is_made_of_its_three_parts():
    base, model = views(20, 20, 14), views(15, 18, 14)
    blind = chance_advantage(20, 20)
    # Of rows that are all equally sure, AUC - 1/2 is half the difference of scores, for losses and for hits alike.
    mean, membership = abs(15 - 14) / (20 - 14), max(1 / 20 - blind, 0) / (6 / 20 - blind)
    utility = (1 - 18 / 20) / (1 - 1 / 2)
    assert membership == 0 and proxy(model, base) == pytest.approx((1 - mean) * (1 - utility))
    stronger = views(17, 20, 11)
    expected = (6 / 20 - blind) / (6 / 20 - blind)
    assert proxy(stronger, base) == pytest.approx((1 - expected) * (1 - (3 / 20) / (4 / 20)))


def test_known_models_come_out_in_order(seen):
    base = seen.views(saw=1.0, seed=100)
    forget = base["forget"]
    wrong = {**base, "forget": ClassOutputs(forget.ids, np.roll(forget.logits, 1, axis=1), forget.labels)}
    found = [
        proxy(model, base)
        for model in (seen.views(saw=0.0, seed=1), seen.views(saw=0.5, seed=2), base, constant(base), wrong)
    ]
    assert found[0] > 0.7
    assert found[0] - 0.2 > found[1] > 0.2
    assert found[2:] == [0, 0, 0]


def test_no_test_row_is_read(seen):
    base, model = seen.views(saw=1.0, seed=100), seen.views(saw=0.0, seed=1)
    without = [{name: one[name] for name in ("forget", "retain", "validation")} for one in (model, base)]
    assert proxy(*without) == proxy(model, base)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (views(12, 20, 12), r"no better on forget than on validation rows \(\+0.000\)"),
        (views(20, 20, 17), r"attacks on the base reach 0.150, no more than chance \(0.185\)"),
        (views(20, 10, 12), r"scores 0.500 on retain rows, no more than a guess \(0.500\)"),
        ({**views(20, 20, 14), "forget": made(np.ones(20, bool), np.full(20, 1)), "retain": made([1] * 9, [0] * 9)},
         "no retain row has a label of the forget rows"),
    ],
)  # fmt: skip
def test_a_base_that_p_says_nothing_about_is_told(base, message):
    with pytest.raises(NoSignal, match=message):
        proxy(base, base)


def test_a_blind_attack_has_the_advantage_that_is_taken_off():
    generator = np.random.default_rng(0)
    areas = [auc(generator.random(50), generator.random(200)) for _ in range(2000)]
    assert np.std(2 * np.array(areas)) == pytest.approx(chance_advantage(50, 200), rel=0.05)
