"""Accuracy, the task's score, per split; and two scores made of it, for comparison: `gap` and `overall`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.metrics.attacks import loss_mia
from mubench.trainers.metrics.case import Case
from mubench.trainers.metrics.evidence import SplitOutputs

TOLERANCE = 0.2  # of `overall`


def accuracy(outputs: SplitOutputs, split: str) -> float:
    """Return the share of a split's rows whose most likely class is the true one, in [0, 1]."""
    return float(outputs[split].correct.mean())


def accuracy_on(split: str) -> Callable[[Case], float]:
    """Return the metric that computes the judged model's accuracy on one split."""
    return lambda case: accuracy(case.model, split)


def majority_baseline(outputs: Outputs) -> float:
    """Return the accuracy of the most frequent label as a constant prediction: the best guess without the input."""
    return float(outputs.constant(outputs.most_frequent()).correct.mean())


def _averages(case: Case, model: SplitOutputs) -> np.ndarray:
    accuracies = (accuracy(model, split) for split in ("forget", "retain", "test"))
    return np.array([*accuracies, loss_mia(replace(case, model=model))])


def gap(case: Case) -> float:
    """Return the mean absolute difference of four averages to those of the retrained models.

    The averages are the accuracies on forget, retain and test rows and the AUC of the loss attack. For comparison
    only: a base model with random forget rows flipped matches all four.
    """
    retrained = np.mean([_averages(case, model) for model in case.retrained], axis=0)
    return float(np.abs(_averages(case, case.model) - retrained).mean())


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
    """Return the overall score of the MU-Bench paper, with the mean test score of the base models.

    Its target on forget rows is chance, not retraining.
    """
    base_test = float(np.mean([accuracy(model, "test") for model in case.bases]))
    return harmonic_overall(accuracy(case.model, "forget"), accuracy(case.model, "test"), base_test, case.chance)
