"""Accuracy, the task's score, per split."""

from __future__ import annotations

from collections.abc import Callable

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.metrics.case import Case, SplitOutputs


def accuracy(outputs: SplitOutputs, split: str) -> float:
    """Return the share of a split's rows whose most likely class is the true one, in [0, 1]."""
    return float(outputs[split].correct.mean())


def accuracy_on(split: str) -> Callable[[Case], float]:
    """Return the metric that computes the judged model's accuracy on one split."""
    return lambda case: accuracy(case.model, split)


def majority_baseline(outputs: Outputs) -> float:
    """Return the accuracy of the most frequent label as a constant prediction: the best guess without the input."""
    return float(outputs.constant(outputs.most_frequent()).correct.mean())
