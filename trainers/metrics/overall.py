"""The overall score of the MU-Bench paper, for comparison: its target on forget rows is chance, not retraining."""

from __future__ import annotations

import numpy as np

from mubench.trainers.metrics.accuracy import accuracy
from mubench.trainers.metrics.case import Case

TOLERANCE = 0.2


def harmonic_overall(forget: float, test: float, base_test: float, chance: float) -> float:
    """Return the harmonic mean ``HM(1 - |test - base_test|, 1 - |forget - chance|)``, or 0, in [0, 1].

    It is 0 if the test score differs by more than 20 % of the base model's, or if the forget score is more than 20 %
    below chance.
    """
    if abs(test - base_test) > TOLERANCE * base_test or forget < (1 - TOLERANCE) * chance:
        return 0.0
    kept, forgot = 1 - abs(test - base_test), 1 - abs(forget - chance)
    return 2 * kept * forgot / (kept + forgot)


def overall(case: Case) -> float:
    """Return the overall score, with the mean test score of the base models."""
    base_test = float(np.mean([accuracy(model, "test") for model in case.bases]))
    return harmonic_overall(accuracy(case.model, "forget"), accuracy(case.model, "test"), base_test, case.chance)
