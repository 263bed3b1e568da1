"""The check of mini tasks, on models that break one rule each."""

import numpy as np
import pytest

from tests.fixtures.mini_rules import Outputs, check

SIZES = {"forget": 60, "retain": 400, "test": 300}


def model(rates, *, seed=0, noise=0.01):
    """Return a model with given accuracies; the correct rows are fixed, its confidence depends on the seed."""
    made = {}
    for split, rate in rates.items():
        right = np.arange(SIZES[split]) < round(rate * SIZES[split])
        sure = np.random.default_rng([seed, SIZES[split]]).normal(0, noise, len(right))
        made[split] = Outputs(right.astype(float), np.clip(np.where(right, 0.9, 0.1) + sure, 0, 1))
    return made


BASE = {"forget": 1.0, "retain": 1.0, "test": 0.7}
RETRAINED = {"forget": 0.7, "retain": 1.0, "test": 0.7}


def both(base=BASE, retrained=RETRAINED, noise=0.01):
    return [model(base, seed=s) for s in (0, 1)], [model(retrained, seed=s, noise=noise) for s in (2, 3, 4)]


def test_a_valid_task_passes():
    found = check(*both())
    assert found["retrained forget"] == pytest.approx(0.7) and found["spread"] < 0.1


@pytest.mark.parametrize(
    ("base", "retrained", "noise"),
    [
        ({**BASE, "retain": 0.98}, RETRAINED, 0.01),
        ({**BASE, "forget": 0.9}, RETRAINED, 0.01),
        (BASE, {**RETRAINED, "forget": 0.5, "test": 0.5}, 0.01),
        (BASE, {**RETRAINED, "forget": 0.9, "test": 0.9}, 0.01),
        (BASE, {**RETRAINED, "test": 0.45}, 0.01),
    ],
)
def test_a_task_that_breaks_a_rule_fails(base, retrained, noise):
    with pytest.raises(AssertionError):
        check(*both(base, retrained, noise))


def test_retrained_models_that_disagree_fail_the_gate():
    bases, retrained = both()
    wild = model(RETRAINED, seed=9)
    wild["forget"] = Outputs(wild["forget"].score, wild["forget"].confidence[::-1].copy())
    with pytest.raises(AssertionError, match="spread"):
        check(bases, [*retrained[:2], wild])
