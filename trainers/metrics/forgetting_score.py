"""The score of the NeurIPS 2023 unlearning competition (arXiv:2406.09073), as its evaluation code computes it.

Two equal distributions do not get 1: F is about .31 for 32 models and .35 for 512, so it is read beside the value of
retrained models against retrained models. Letters: ``N`` models of a pool, ``n`` rows, ``t`` thresholds.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mubench.trainers.inference.outputs import Array
from mubench.trainers.metrics.ensembles import Pools

DELTA, CAP = 1e-5, 50.0
# Width of a bin of epsilon, the grid of thresholds (100 a unit of log-odds), and how far beyond the narrower pool.
BIN, PER_UNIT, BEYOND = 0.5, 100, 2
# A pool this much narrower than the other has collapsed.
MIN_WIDTH_RATIO = 0.01

Rates = tuple[Array, Array]
Counts = npt.NDArray[np.int64]


def _largest_epsilon(false_positives: Array, false_negatives: Array) -> float | None:
    """Return the largest epsilon over attacks with these rates; ``None`` if all have exactly one rate of 0."""
    if ((false_positives == 0) & (false_negatives == 0)).any():
        return CAP
    use = (false_positives > 0) & (false_negatives > 0)
    fp, fn = false_positives[use], false_negatives[use]
    if not len(fp):
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        both = np.concatenate([np.log(1 - DELTA - fp) - np.log(fn), np.log(1 - DELTA - fn) - np.log(fp)])
    finite = both[~np.isnan(both)]
    return float(np.clip(finite.max(initial=0), 0, CAP))


def _one_threshold(unlearned: Array, retrained: Array) -> Rates:
    """Return false-positive and false-negative rates of thresholds, ``(t,)``; arguments are sorted, ``(N,)``."""
    above = np.median(retrained) > np.median(unlearned)
    positive, negative = (retrained, unlearned) if above else (unlearned, retrained)
    low, high = min(positive[0], negative[0]), max(positive[-1], negative[-1])
    thresholds = np.linspace(low, high, max(1, math.ceil((high - low) * PER_UNIT)))
    missed = np.searchsorted(positive, thresholds) / len(positive)
    return 1 - np.searchsorted(negative, thresholds) / len(negative), missed


def _steps(
    counts: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the distinct pairs in ``(2, t)`` ascending counts, and the first and last place of each."""
    changes = np.flatnonzero((np.diff(counts, axis=1) != 0).any(axis=0)) + 1
    first = np.concatenate([[0], changes])
    last = np.concatenate([changes - 1, [counts.shape[1] - 1]])
    return counts[:, first], first, last


def _two_thresholds(unlearned: Array, retrained: Array) -> Rates:
    """Return the rates of intervals that mean the narrower pool; arguments are sorted, ``(N,)``.

    Right ends lie on a grid around the largest value of the narrower pool, left ends within ±2 of a right end minus
    the pool's width: the left ends of all are one grid, of which each right end has a window of 400.
    """
    narrow, wide = sorted((unlearned, retrained), key=lambda pool: float(pool[-1] - pool[0]))
    size = 2 * BEYOND * PER_UNIT
    right = np.linspace(narrow[-1] - BEYOND, narrow[-1] + BEYOND, size)
    left = np.linspace(narrow[0] - 2 * BEYOND, narrow[0] + 2 * BEYOND, 2 * size - 1)
    up_to = np.stack([np.searchsorted(pool, right, "right") for pool in (narrow, wide)])
    below = np.stack([np.searchsorted(pool, left, "left") for pool in (narrow, wide)])
    (ends, first_end, last_end), (starts, first_start, last_start) = _steps(up_to), _steps(below)
    near = (last_start >= first_end[:, None]) & (first_start <= last_end[:, None] + size - 1)
    inside = np.maximum(ends[:, :, None] - starts[:, None, :], 0)[:, near]
    return inside[1] / len(wide), 1 - inside[0] / len(narrow)


def epsilon(unlearned: Array, retrained: Array, *, two_thresholds: bool = True) -> float:
    """Return how far attacks separate two pools of log-odds on one row, in [0, 50].

    ``max over attacks of ln(1 - δ - FPR) - ln FNR and ln(1 - δ - FNR) - ln FPR``, δ = 1e-5. An attack with exactly one
    rate of 0 does not count; one without errors, a collapsed pool, or no attack that counts give 50.

    Args:
        unlearned: ``(N,)``.
        retrained: ``(M,)``.
        two_thresholds: Whether to use attacks with two thresholds beside those with one.
    """
    pools = np.sort(unlearned), np.sort(retrained)
    narrow, wide = sorted(float(pool[-1] - pool[0]) for pool in pools)
    if wide == 0 and pools[0][0] == pools[1][0]:
        return 0.0
    if narrow <= MIN_WIDTH_RATIO * wide:
        return CAP
    rates = [_one_threshold(*pools), *([_two_thresholds(*pools)] if two_thresholds else [])]
    found = _largest_epsilon(*(np.concatenate(one) for one in zip(*rates, strict=True)))
    return CAP if found is None else found


def row_quality(value: float, models: int) -> float:
    """Return ``H = 2^(1 - b)`` of an epsilon in its ``b``-th bin of width ½, 0 from ``ceil(ln(models - 1))`` on."""
    if models < 3 or value >= math.ceil(math.log(models - 1)):
        return 0.0
    return float(2.0 ** -math.floor(value / BIN))


def forgetting_quality(unlearned: Array, retrained: Array, *, two_thresholds: bool = True) -> float:
    """Return F, the mean of `row_quality` over rows, in [0, 1].

    Args:
        unlearned: Log-odds, ``(N, n)``.
        retrained: Log-odds, ``(M, n)``; the smaller pool bounds epsilon.
        two_thresholds: Whether to use attacks with two thresholds beside those with one.
    """
    models = min(len(unlearned), len(retrained))
    values = (epsilon(u, r, two_thresholds=two_thresholds) for u, r in zip(unlearned.T, retrained.T, strict=True))
    return float(np.mean([row_quality(value, models) for value in values]))


def neurips_forgetting(pools: Pools) -> float:
    """Return F of forget rows."""
    return forgetting_quality(*pools.margins("forget"))


def neurips_score(pools: Pools) -> float:
    """Return ``F · RA_u / RA_R · TA_u / TA_R``, with the pools' mean scores on retain and test rows."""
    shares = [
        float(pools.unlearned.scores[split].mean() / pools.retrained.scores[split].mean())
        for split in ("retain", "test")
    ]
    return neurips_forgetting(pools) * math.prod(shares)
