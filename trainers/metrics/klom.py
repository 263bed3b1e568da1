"""KLoM: how much the margins of many unlearned models differ from those of many retrained ones, row by row.

arXiv:2410.23232. A margin is ``z_y - logsumexp_(k != y) z_k``, the log-odds of the true class.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mubench.trainers.inference.outputs import Array
from mubench.trainers.metrics.ensembles import Pools

BINS, MAX_MARGIN, FLOOR = 20, 100.0, 1e-5
# Rows at a time: bounds the memory.
CHUNK = 4096


def _bin_numbers(values: Array, edges: Array) -> npt.NDArray[np.int64]:
    """Return the bin of every value, ``(N, n)``, from 0; the upper edge itself is in bin ``BINS``.

    Args:
        values: ``(N, n)``.
        edges: ``(n, BINS + 1)``, equally spaced.
    """
    low, high = edges[:, 0], edges[:, -1]
    guess = np.clip((values - low) / (high - low) * BINS, 0, BINS - 1).astype(np.int64)
    rows = np.arange(values.shape[1])
    guess -= values < edges[rows, guess]
    return guess + (values >= edges[rows, guess + 1])


def _shares(numbers: npt.NDArray[np.int64]) -> Array:
    """Return the share of each row's values in each bin, ``(n, BINS)``; values beyond the last bin do not count."""
    rows = np.broadcast_to(np.arange(numbers.shape[1]), numbers.shape)
    inside = numbers < BINS
    places = rows[inside] * BINS + numbers[inside]
    counts = np.bincount(places, minlength=numbers.shape[1] * BINS).reshape(-1, BINS).astype(np.float64)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _klom_chunk(unlearned: Array, retrained: Array, *, drop_largest: bool) -> Array:
    both = [np.clip(one.astype(np.float64), -MAX_MARGIN, MAX_MARGIN) for one in (unlearned, retrained)]
    low = np.minimum(both[0].min(axis=0), both[1].min(axis=0))
    high = np.maximum(both[0].max(axis=0), both[1].max(axis=0))
    edges = np.linspace(low, np.where(high > low, high, low + 1), BINS + 1, axis=1)
    numbers = [_bin_numbers(one, edges) for one in both]
    p, q = (_shares(one if drop_largest else np.minimum(one, BINS - 1)) for one in numbers)
    ratio = np.where(p > 0, p, 1) / np.where(p > 0, np.maximum(q, FLOOR), 1)
    result: Array = (p * np.log(ratio)).sum(axis=1)
    return result


def klom(unlearned: Array, retrained: Array, *, drop_largest: bool = False) -> Array:
    """Return ``KL(unlearned || retrained)`` of every row's margins in nats, ``(n,)``.

    Margins are clipped to ±100 and counted in 20 equal bins between the smallest and the largest of both pools; a
    share of the retrained models below 1e-5 counts as 1e-5.

    Args:
        unlearned: Margins, ``(N, n)``.
        retrained: Margins, ``(M, n)``.
        drop_largest: Whether values equal to the largest of both pools are in no bin, as in the authors' code. Models
            that all share one value above all others would then be at distance 0.
    """
    starts = range(0, unlearned.shape[1], CHUNK)
    parts = [(unlearned[:, i : i + CHUNK], retrained[:, i : i + CHUNK]) for i in starts]
    return np.concatenate([_klom_chunk(u, r, drop_largest=drop_largest) for u, r in parts])


def klom_of(split: str, percentile: int | None = None) -> Callable[[Pools], float]:
    """Return the metric that is the mean of KLoM over the rows of a split, or a percentile."""

    def compute(pools: Pools) -> float:
        values = klom(*pools.margins(split))
        return float(values.mean() if percentile is None else np.percentile(values, percentile))

    return compute
