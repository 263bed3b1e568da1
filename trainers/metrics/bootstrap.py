"""Two-level bootstrap of S: base seeds, then retrained models and forget rows. No weights, no loop over draws.

Draws are common random numbers: they depend on the split's fingerprint and on sizes alone, so draw ``j`` resamples the
same seeds, models and rows for every run judged on one split. Differences of two runs' draws are paired.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mubench.trainers.metrics.case import Case, NoSignal
from mubench.trainers.metrics.score import Weights, weighted_parts

DRAWS = 2000
LEVEL = 0.95
# More draws than this without signal say that the interval would be about the gaps between them.
LOST_LIMIT = 0.05

Counts = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """S in every draw.

    Attributes:
        draws: ``(J,)``; a draw without signal counts as 0, the value that claims least.
        lost: How many draws had no signal.
    """

    draws: npt.NDArray[np.float64]
    lost: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % percentile interval."""
        return interval(self.draws)


def interval(draws: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the percentile interval that holds ``LEVEL`` of the draws."""
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _generator(split: str, what: str, size: int) -> np.random.Generator:
    digest = hashlib.sha256(f"bootstrap:{split}:{what}:{size}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def _multisets(generator: np.random.Generator, size: int, draws: int) -> Counts:
    """Return how often each of ``size`` things comes up when ``size`` are drawn with replacement, ``(J, size)``."""
    return generator.multinomial(size, np.full(size, 1 / size), size=draws).astype(np.float64)


def base_counts(split: str, bases: int, draws: int = DRAWS) -> Counts:
    """Return how often each base seed, in ascending order, is in each draw, ``(J, B)``."""
    return _multisets(_generator(split, "bases", bases), bases, draws)


def retrained_counts(split: str, retrained: int, draws: int = DRAWS) -> Counts:
    """Return how often each retrained model is in each draw, ``(J, K)``; at least two different ones are.

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


def weights(case: Case, split: str, draws: int = DRAWS) -> Weights:
    """Return the resampling of a case."""
    rows = len(case.model["forget"])
    return Weights(
        rows=_multisets(_generator(split, "rows", rows), rows, draws) / rows,
        retrained=retrained_counts(split, len(case.retrained), draws),
        bases=base_counts(split, len(case.bases), draws),
    )


def bootstrap(case: Case, split: str, draws: int = DRAWS) -> Bootstrap:
    """Return S in every draw.

    Args:
        case: What is judged.
        split: Fingerprint of the split.
        draws: How many times to resample.

    Raises:
        NoSignal: If base and retrained models cannot be told apart in more than one draw of twenty.
    """
    score = np.asarray(weighted_parts(case, weights(case, split, draws)).score, dtype=np.float64)
    lost = ~np.isfinite(score)
    if lost.mean() > LOST_LIMIT:
        raise NoSignal(f"no signal in {int(lost.sum())} of {draws} bootstrap draws, more than {LOST_LIMIT:.0%}")
    return Bootstrap(draws=np.where(lost, 0.0, score), lost=int(lost.sum()))
