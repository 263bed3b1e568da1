"""Accuracy, the task's score, per split; and two scores made of it, for comparison: `gap` and `overall`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.metrics.attacks import auc
from mubench.trainers.metrics.case import Case
from mubench.trainers.metrics.evidence import SplitOutputs
from mubench.trainers.metrics.row_values import class_outputs

# Of `overall`: the share of the base's test score by which a model's may differ, as MU-Bench's code has it.
TOLERANCE = 0.2
TOLERANCES = {"neg_grad": 0.4}


def accuracy(outputs: SplitOutputs, split: str) -> float:
    """Return the share of a split's rows whose most likely class is the true one, in [0, 1]."""
    return float(outputs[split].correct.mean())


def accuracy_on(split: str) -> Callable[[Case], float]:
    """Return the metric that computes the judged model's accuracy on one split."""
    return lambda case: accuracy(case.model, split)


def majority_baseline(outputs: Outputs) -> float:
    """Return the accuracy of the most frequent label as a constant prediction: the best guess without the input."""
    return float(outputs.constant(outputs.most_frequent()).correct.mean())


def _averages(model: SplitOutputs) -> np.ndarray:
    accuracies = (accuracy(model, split) for split in ("forget", "retain", "test"))
    return np.array([*accuracies, auc(model["forget"].log_odds, model["test"].log_odds)])


def gap(case: Case) -> float:
    """Return the mean absolute difference of four averages to those of the retrained models.

    The averages are the accuracies on forget, retain and test rows and the AUC of the loss attack. For comparison
    only: a base model with random forget rows flipped matches all four.
    """
    retrained = np.mean([_averages(model) for model in case.retrained], axis=0)
    return float(np.abs(_averages(case.model) - retrained).mean())


def harmonic_overall(
    forget: float, test: float, base_test: float, chance: float, tolerance: float = TOLERANCE
) -> float:
    """Return the harmonic mean ``HM(1 - |test - base_test|, 1 - |forget - chance|)``, or 0, in [0, 1].

    It is 0 if the test score differs by more than ``tolerance`` (20 %) of the base model's, or if the forget score is
    more than 20 % below chance.
    """
    if abs(test - base_test) > tolerance * base_test or forget < (1 - TOLERANCE) * chance:
        return 0.0
    kept, forgot = 1 - abs(test - base_test), 1 - abs(forget - chance)
    return 2 * kept * forgot / (kept + forgot)


def overall(case: Case) -> float:
    """Return the overall score of the MU-Bench paper, with the mean test score of the base models.

    Its target on forget rows is chance, not retraining. Its gate on test rows is wider for ``neg_grad``: 40 %.
    """
    base_test = float(np.mean([accuracy(model, "test") for model in case.bases]))
    tolerance = TOLERANCES.get(case.method or "", TOLERANCE)
    forget, test = (accuracy(case.model, split) for split in ("forget", "test"))
    return harmonic_overall(forget, test, base_test, case.chance, tolerance)


def macro_f1(split: str) -> Callable[[Case], float]:
    """Return the metric that is the mean F1 of all classes that are true or predicted in a split, in [0, 1]."""

    def compute(case: Case) -> float:
        outputs = class_outputs(case.model[split])
        size = outputs.logits.shape[1]
        true, predicted = (np.bincount(one, minlength=size) for one in (outputs.labels, outputs.predictions))
        right = np.bincount(outputs.labels[outputs.correct], minlength=size)
        there = true + predicted > 0
        return float((2 * right[there] / (true + predicted)[there]).mean())

    return compute
