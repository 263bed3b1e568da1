"""P, the proxy of S among the epochs of one run: its closed form, its order, and bases without signal."""

import numpy as np
import pytest

from mubench.trainers.evaluation.controls import constant
from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.metrics.attacks import auc
from mubench.trainers.metrics.case import NoSignal
from mubench.trainers.metrics.proxy import chance_advantage, proxy
from tests.trainers.conftest import World

ROWS = {"forget": 60, "retain": 500, "validation": 200, "test": 400}


@pytest.fixture(scope="module")
def proxy_world():
    return World(ROWS)


def two_class_outputs(right, labels=None, *, gap=2.0):
    """Outputs with these rows right, all equally confident."""
    labels = np.arange(len(right)) % 2 if labels is None else np.asarray(labels)
    logits = np.zeros((len(right), 2), dtype=np.float32)
    logits[np.arange(len(right)), np.where(right, labels, 1 - labels)] = gap
    return ClassOutputs(np.arange(len(right)).astype(str), logits, labels)


def views(forget, retain, validation):
    """Outputs of 20 rows a split with so many right ones, which are the last."""
    rights = {"forget": forget, "retain": retain, "validation": validation}
    return {name: two_class_outputs(np.arange(20) >= 20 - right) for name, right in rights.items()}


def test_p_is_made_of_its_three_parts():
    base, model = views(20, 20, 14), views(15, 18, 14)
    blind = chance_advantage(20, 20)
    # With equal confidence, 2 |AUC - 1/2| is the difference of accuracies, for losses and correctness alike.
    mean, membership = abs(15 - 14) / (20 - 14), max(1 / 20 - blind, 0) / (6 / 20 - blind)
    utility = (1 - 18 / 20) / (1 - 1 / 2)
    assert membership == 0 and proxy(model, base) == pytest.approx((1 - mean) * (1 - utility))
    # The attack outweighs the mean of 1/2, and lost validation rows the retain rows.
    attacked = views(17, 20, 12)
    membership, utility = (5 / 20 - blind) / (6 / 20 - blind), (2 / 20) / (14 / 20 - 1 / 2)
    assert membership > 0.5 and proxy(attacked, base) == pytest.approx((1 - membership) * (1 - utility))
    assert proxy(base, base) == proxy(views(14, 0, 14), base) == proxy(views(0, 20, 14), base) == 0
    assert proxy(views(14, 20, 14), base) == 1


def test_models_come_out_in_the_expected_order(proxy_world):
    base = proxy_world.views(saw=1.0, seed=100)
    forget = base["forget"]
    wrong = {**base, "forget": ClassOutputs(forget.ids, np.roll(forget.logits, 1, axis=1), forget.labels)}
    unseen, half = proxy_world.views(saw=0.0, seed=1), proxy_world.views(saw=0.5, seed=2)
    found = [proxy(model, base) for model in (unseen, half, base, constant(base), wrong)]
    assert found[0] > 0.7
    assert found[0] - 0.2 > found[1] > 0.2
    assert found[2:] == [0, 0, 0]


def test_no_test_row_is_read(proxy_world):
    base, model = proxy_world.views(saw=1.0, seed=100), proxy_world.views(saw=0.0, seed=1)
    without = [{name: one[name] for name in ("forget", "retain", "validation")} for one in (model, base)]
    assert proxy(*without) == proxy(model, base)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (views(12, 20, 12), r"no better on forget than on validation rows \(\+0.000\)"),
        (views(20, 20, 17), r"attacks on the base reach 0.150, no more than chance \(0.185\)"),
        (views(20, 10, 12), r"scores 0.500 on retain rows, no more than a guess \(0.500\)"),
        ({**views(20, 20, 14), "forget": two_class_outputs([1] * 20, [1] * 20), "retain": two_class_outputs([1], [0])},
         "no retain row has a label of the forget rows"),
    ],
)  # fmt: skip
def test_a_base_without_signal_is_refused(base, message):
    with pytest.raises(NoSignal, match=message):
        proxy(base, base)


def test_chance_is_the_standard_deviation_of_a_random_attack():
    generator = np.random.default_rng(0)
    areas = [auc(generator.random(50), generator.random(200)) for _ in range(2000)]
    assert np.std(2 * np.array(areas)) == pytest.approx(chance_advantage(50, 200), rel=0.05)
