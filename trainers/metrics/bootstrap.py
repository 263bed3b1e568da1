"""Bootstrap of S over base models, retrained models, forget rows and test rows, vectorised over the draws.

Draws are common random numbers: they depend only on the split's fingerprint and on sizes, so draw ``j`` resamples the
same base models, retrained models and rows for every run judged on one split. Differences of two runs are paired.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mubench.trainers.metrics.case import NoSignal
from mubench.trainers.metrics.evidence import Evidence, ReferenceEvidence
from mubench.trainers.metrics.score import WeightedReference, Weights

DRAWS = 2000
LEVEL = 0.95
# With a larger share of draws without signal, the interval would describe mostly the value that replaces them.
LOST_LIMIT = 0.05
CHUNK = 2**15  # items that are drawn at once: they fit the cache of a core

Counts = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """S in every draw.

    Attributes:
        draws: ``(J,)``; a draw without signal counts as 0, the most conservative value.
        lost: Number of draws without signal.
    """

    draws: npt.NDArray[np.float64]
    lost: int


def interval(draws: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the percentile interval with ``LEVEL`` of the draws."""
    ordered = np.sort(draws)
    place = (1 - LEVEL) / 2 * (len(ordered) - 1)
    first, part = int(place), place - int(place)
    low = ordered[first] + part * (ordered[min(first + 1, len(ordered) - 1)] - ordered[first])
    high = ordered[-1 - first] - part * (ordered[-1 - first] - ordered[max(-2 - first, -len(ordered))])
    return float(low), float(high)


def _generator(split: str, what: str, size: int) -> np.random.Generator:
    digest = hashlib.sha256(f"bootstrap:{split}:{what}:{size}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _multisets(generator: np.random.Generator, size: int, draws: int) -> Counts:
    """Return the counts of ``size`` items in ``size`` draws with replacement, ``(J, size)``."""
    counts = np.empty((draws, size))
    step = max(1, CHUNK // size)
    for start in range(0, draws, step):
        lines = min(step, draws - start)
        drawn = generator.integers(size, size=(lines, size), dtype=np.int32) + size * np.arange(lines)[:, None]
        counts[start : start + lines] = np.bincount(drawn.ravel(), minlength=lines * size).reshape(lines, size)
    return counts


@lru_cache(maxsize=4)
def row_weights(split: str, what: str, rows: int, draws: int = DRAWS) -> Counts:
    """Return the share of each forget or test row in each draw, ``(J, rows)``; ``what`` is "forget" or "test"."""
    counts = _multisets(_generator(split, what, rows), rows, draws)
    counts /= rows
    return counts


@lru_cache(maxsize=64)
def base_counts(split: str, bases: int, draws: int = DRAWS) -> Counts:
    """Return the count of each base model, by ascending seed, in each draw, ``(J, B)``."""
    return _multisets(_generator(split, "bases", bases), bases, draws)


def retrained_counts(split: str, retrained: int, draws: int = DRAWS) -> Counts:
    """Return the count of each retrained model in each draw, ``(J, K)``; every draw has at least two different ones.

    Raises:
        ValueError: If there are fewer than 2 retrained models.
    """
    if retrained < 2:
        raise ValueError(f"expected at least 2 retrained models, got {retrained}")
    generator = _generator(split, "retrained", retrained)
    counts = _multisets(generator, retrained, draws)
    while (alone := (counts > 0).sum(axis=1) < 2).any():
        counts[alone] = _multisets(generator, retrained, int(alone.sum()))
    return counts


def weights(reference: ReferenceEvidence, split: str, draws: int = DRAWS) -> Weights:
    """Return the weights of every draw for the references of a split with this fingerprint."""
    return Weights(
        forget=row_weights(split, "forget", len(reference.rows.forget), draws),
        test=row_weights(split, "test", len(reference.rows.test), draws),
        retrained=retrained_counts(split, len(reference.retrained), draws),
        bases=base_counts(split, len(reference.bases), draws),
    )


@lru_cache(maxsize=16)
def _weighted_reference(reference: ReferenceEvidence, split: str, draws: int) -> WeightedReference:
    return WeightedReference(reference, weights(reference, split, draws))


def bootstrap(model: Evidence, reference: ReferenceEvidence, split: str, draws: int = DRAWS) -> Bootstrap:
    """Return S in every draw. The attacks are those on all rows and references; a draw resamples their outcomes.

    Args:
        model: Evidence of the judged model.
        reference: Evidence of its references; what only they decide is computed once.
        split: Fingerprint of the split.
        draws: Number of draws ``J``.

    Raises:
        NoSignal: If base and retrained models are indistinguishable in more than one draw of twenty.
    """
    score = np.asarray(_weighted_reference(reference, split, draws).parts(model).score, dtype=np.float64)
    lost = ~np.isfinite(score)
    if lost.mean() > LOST_LIMIT:
        raise NoSignal(f"no signal in {int(lost.sum())} of {draws} bootstrap draws, more than {LOST_LIMIT:.0%}")
    return Bootstrap(draws=np.where(lost, 0.0, score), lost=int(lost.sum()))
