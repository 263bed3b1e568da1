"""The signal gate opens for a good task, closes for a noisy one, and needs five retrained models."""

from dataclasses import replace

import numpy as np
import pytest

from mubench.trainers.metrics import NoSignal
from mubench.trainers.metrics.signal_gate import SIGNAL_LIMIT, row_spread


def test_signal_gate_opens_for_a_good_task_and_closes_for_a_noisy_one(world, naive):
    case = world.case(world.bases()[0], retrained=5)
    rows = [
        naive(other.model, list(other.retrained), list(other.bases), 0.1, attack=False)[0]
        for other in case.leave_one_out
    ]
    assert row_spread(case) == pytest.approx(np.std(rows, ddof=1)) and row_spread(case) <= SIGNAL_LIMIT == 0.1
    # Retrained models that differ from each other as much as from the bases, on few rows.
    noisy = replace(world, rows={"forget": 12, "retain": 100, "test": 60}, noise=3.0, center=2.0)
    assert row_spread(noisy.case(noisy.bases()[0], retrained=5)) > SIGNAL_LIMIT


def test_signal_gate_does_not_depend_on_the_judged_model(world):
    one, other = (world.case(model, retrained=5) for model in (world.bases()[0], world.views(saw=0.3, seed=4)))
    assert row_spread(one) == row_spread(other)


def test_signal_gate_needs_five_retrained_models(world):
    with pytest.raises(NoSignal, match="at least 5 retrained models, got 4"):
        row_spread(world.case(world.bases()[0], retrained=4))
