"""The average gap: distance of average scores to those of the retrained models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mubench.trainers.metrics.accuracy import accuracy
from mubench.trainers.metrics.attacks import loss_mia
from mubench.trainers.metrics.case import Case, SplitOutputs


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
