"""The average gap: how far averages are from the retrained models' averages."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mubench.trainers.metrics.accuracy import accuracy
from mubench.trainers.metrics.attacks import loss_mia
from mubench.trainers.metrics.case import Case, SplitOutputs


def _averages(case: Case, views: SplitOutputs) -> np.ndarray:
    judged = replace(case, model=views)
    return np.array([*(accuracy(views, split) for split in ("forget", "retain", "test")), loss_mia(judged)])


def gap(case: Case) -> float:
    """Return the mean distance of forget, retain and test score and loss-MIA AUC to the retrained models' mean.

    For comparison only: a base model with random forget rows flipped matches all four averages.
    """
    retrained = np.mean([_averages(case, views) for views in case.retrained], axis=0)
    return float(np.abs(_averages(case, case.model) - retrained).mean())
