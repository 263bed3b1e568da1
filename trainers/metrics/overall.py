"""The MU-Bench paper's overall score, for comparison: its target is chance on forget rows, not a retrained model."""

from __future__ import annotations

import numpy as np

from mubench.trainers.metrics.accuracy import accuracy
from mubench.trainers.metrics.case import Case

TOLERANCE = 0.2


def harmonic_overall(forget: float, test: float, base_test: float, chance: float) -> float:
    """Return ``HM(1 - |test - base_test|, 1 - |forget - chance|)``, 0 outside the paper's two gates.

    The gates: the test score moved by over 20 % of the base's, or the forget score is over 20 % below chance.
    """
    if abs(test - base_test) > TOLERANCE * base_test or forget < (1 - TOLERANCE) * chance:
        return 0.0
    kept, forgot = 1 - abs(test - base_test), 1 - abs(forget - chance)
    return 2 * kept * forgot / (kept + forgot)


def overall(case: Case) -> float:
    """Return the paper's overall score against the mean test score of the bases."""
    base_test = float(np.mean([accuracy(views, "test") for views in case.bases]))
    return harmonic_overall(accuracy(case.model, "forget"), accuracy(case.model, "test"), base_test, case.chance)
