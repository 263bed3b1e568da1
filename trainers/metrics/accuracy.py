"""The task's score per split."""

from __future__ import annotations

from collections.abc import Callable

from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.metrics.case import Case, SplitOutputs


def accuracy(views: SplitOutputs, split: str) -> float:
    """Return the share of a split's rows whose most likely class is the true one."""
    return float(views[split].correct.mean())


def accuracy_on(split: str) -> Callable[[Case], float]:
    """Return the metric that scores the judged model on one split."""
    return lambda case: accuracy(case.model, split)


def guessed(outputs: Outputs) -> float:
    """Return the score of the most frequent answer given everywhere, which no uniform guess beats."""
    return float(outputs.fixed(outputs.most_frequent()).correct.mean())
