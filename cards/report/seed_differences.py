"""Differences between lines of a table beside the spread over their seeds."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from mubench.cards.leaderboard.entries import Array, Entry, group_by_seed
from mubench.cards.leaderboard.formats import number
from mubench.trainers.evaluation.controls import FROM_SCRATCH
from mubench.trainers.metrics.bootstrap import LEVEL, interval

DIGITS = 3


@dataclass(frozen=True)
class Difference:
    """A difference of two means with its 95 % interval; its ends are infinite where a line has one seed.

    Attributes:
        value: The difference.
        low: Lower end.
        high: Upper end.
        pairs: Number of base models that both lines have, where a line has others as well.
    """

    value: float
    low: float
    high: float
    pairs: int | None = None

    def __str__(self) -> str:
        if self.low == self.high:
            ends = "the same in all seeds"
        elif math.isfinite(self.low):
            ends = f"{number(self.low, DIGITS)} to {number(self.high, DIGITS)}"
        else:
            ends = "one seed"
        over = f" over {self.pairs} shared base models" if self.pairs else ""
        return f"{number(self.value, DIGITS)} ({ends}){over}"


def seed_values(entry: Entry, metric: str) -> Array:
    """Return the mean of a metric over the runs of each seed that have it, ``(K,)``, see `group_by_seed`."""
    measured = [row for row in entry.rows if metric in row.metrics]
    return np.array([np.mean([row.metrics[metric].value for row in part]) for part in group_by_seed(measured)])


def compare_scores(first: Entry, second: Entry) -> Difference:
    """Return S of the first line less that of the second, with the interval of the bootstrap.

    Draws of one split are common random numbers: lines are paired in the rows and models of which both of their tables
    have as many. Tables of other splits share none.

    Raises:
        ValueError: If a line has no S.
    """
    if first.score is None or second.score is None:
        raise ValueError(f"expected lines with S, got {first.name} and {second.name}")
    draws = first.draws - second.draws
    return Difference(first.score - second.score, *interval(draws[np.isfinite(draws)]))


def compare_lines(first: Entry, second: Entry, metric: str) -> Difference:
    """Return the difference of two lines' means of a metric, both of which have it.

    Lines of runs that start from the same base models, two or more, are paired by these; others are independent.
    """
    one, other = _base_means(first, metric), _base_means(second, metric)
    shared = sorted(one.keys() & other.keys())
    if len(shared) > 1:
        found = subtract(np.array([one[seed] - other[seed] for seed in shared]), 0.0)
        return found if one.keys() == other.keys() else replace(found, pairs=len(shared))
    return subtract(seed_values(first, metric), seed_values(second, metric))


def _base_means(entry: Entry, metric: str) -> dict[int, float]:
    """Return the mean of a metric over the runs from each base model, by its seed; none for models from scratch."""
    values: dict[int, list[float]] = defaultdict(list)
    for row in entry.rows:
        if metric in row.metrics and row.method not in FROM_SCRATCH:
            values[row.base_seed].append(row.metrics[metric].value)
    return {seed: float(np.mean(found)) for seed, found in values.items()}


def subtract(first: Array, second: Array | float) -> Difference:
    """Return the first mean less the second, with Welch's t-interval over seeds.

    Infinitely wide with one seed: nothing is known of its spread.

    Args:
        first: Values by seed, ``(K,)``, at least 1.
        second: The same of another line, or a number without error.
    """
    from scipy.special import stdtrit  # noqa: PLC0415  (slow to import)

    value = float(np.mean(first) - np.mean(second))
    samples = [first] if isinstance(second, float) else [first, second]
    counts = np.array([len(one) for one in samples])
    if counts.min() < 2:
        return Difference(value, -math.inf, math.inf)
    squares = np.array([np.var(one, ddof=1) for one in samples]) / counts
    total = squares.sum()
    if total == 0:
        return Difference(value, value, value)
    freedom = total**2 / (squares**2 / (counts - 1)).sum()
    margin = float(stdtrit(freedom, (1 + LEVEL) / 2) * np.sqrt(total))
    return Difference(value, value - margin, value + margin)
