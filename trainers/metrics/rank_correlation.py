"""Kendall's tau-b between two sets of numbers, also for many resamples of their rows at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]


def kendall_tau(first: Array, second: Array, counts: Array) -> Array:
    """Return tau-b of every resample, ``(J,)``, in [-1, 1]; NaN where one side has no two different values.

    It is ``scipy.stats.kendalltau`` on rows repeated by their counts: copies of a row are ties on both sides.

    Args:
        first: Numbers, ``(N,)``.
        second: Numbers of the same rows, ``(N,)``.
        counts: How often every resample has each row, ``(J, N)``.
    """
    one, two = (np.sign(values[:, None] - values[None, :]) for values in (first, second))
    agreement, pairs_one, pairs_two = (
        ((counts @ signs) * counts).sum(axis=1) for signs in (one * two, np.abs(one), np.abs(two))
    )
    scale = np.sqrt(pairs_one * pairs_two)
    found: Array = np.divide(agreement, scale, out=np.full(len(counts), np.nan), where=scale > 0)
    return found
