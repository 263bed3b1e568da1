"""Lines of a leaderboard: the runs of one method and arguments, pooled over base seeds and seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mubench.trainers.evaluation.controls import FROM_SCRATCH
from mubench.trainers.evaluation.result import ORACLE_SELECTION, Result
from mubench.trainers.metrics.bootstrap import base_counts, interval

Array = npt.NDArray[np.floating[Any]]
# The largest standard deviation of S between seeds of one mini run that was measured; they go from .09 to .18.
ONE_SEED_SPREAD = 0.18
METRICS = ("row", "mean", "membership", "utility", "row_shifted", "gap", "kl_retrained")


def find_origin(rows: Sequence[Result]) -> str:
    """Return the origin of the arguments that rows share: `tuned` where one row says so.

    Other runs with these arguments may have been made by hand before, and say `custom`.
    """
    return "tuned" if any(row.tuned == "tuned" for row in rows) else rows[0].tuned


@dataclass(frozen=True, eq=False, kw_only=True)
class Entry:
    """One line of a table: the runs of a method with its arguments.

    Attributes:
        name: Name of the line.
        rows: The runs.
        score: Mean S; ``None`` if a run has none.
        low: Lower end of its 95 % interval, by which the table is ordered.
        high: Upper end.
        draws: S in every bootstrap draw, NaN where a draw has none of the base seeds, ``(J,)``.
        rank: Rank; equal where the paired bootstrap cannot tell two lines apart; ``None`` if unranked.
    """

    name: str
    rows: tuple[Result, ...]
    score: float | None
    low: float | None
    high: float | None
    draws: Array
    rank: int | None = None

    @property
    def origin(self) -> str:
        """Origin of the arguments, see `find_origin`."""
        return find_origin(self.rows)

    @cached_property
    def metrics(self) -> Mapping[str, float | None]:
        """Means of ``METRICS``; ``None`` for one that a run lacks."""
        return {name: _mean(self.rows, name) for name in METRICS}

    @cached_property
    def reported(self) -> Mapping[str, float | None]:
        """Means of the metrics that the task reports beside S, likewise."""
        return {name: _mean(self.rows, name) for name in self.rows[0].task_row.reported}

    @cached_property
    def seconds(self) -> float | None:
        """Training time as a share of retraining's."""
        return _average([row.cost.get("seconds_share") for row in self.rows])

    @cached_property
    def passes(self) -> float | None:
        """Examples forward plus twice those backward, as a share of retraining's."""
        return _average([row.cost.get("passes_share") for row in self.rows])

    @cached_property
    def flags(self) -> tuple[str, ...]:
        """Flags of its runs."""
        return tuple(sorted({flag for row in self.rows for flag in row.flags}))

    @property
    def title(self) -> str:
        return f"{self.name} [{', '.join(self.flags)}]" if self.flags and not self.rows[0].control else self.name

    @property
    def seeds(self) -> str:
        """Number of seeds behind S in words, and of runs where these are more, see `group_by_seed`."""
        count, runs = len(group_by_seed(self.rows)), len(self.rows)
        return ("one seed" if count == 1 else str(count)) + (f" ({runs} runs)" if runs > count else "")

    @property
    def oracle_selected(self) -> bool:
        """Whether the retrained models selected its epoch: such lines rank among themselves."""
        return self.flags == (ORACLE_SELECTION,)


def _average(values: Sequence[float | None]) -> float | None:
    """Return the mean, or ``None`` if a value is missing."""
    numbers = [value for value in values if value is not None]
    return sum(numbers) / len(numbers) if len(numbers) == len(values) else None


def group_by_seed(rows: Sequence[Result]) -> list[list[Result]]:
    """Group the runs that count as one seed: those from one base model, where the references have several.

    They share most of their error, so that more of them say little about another base model. Where the references have
    a single base model, every run counts.
    """
    groups: dict[object, list[Result]] = {}
    for row in rows:
        groups.setdefault(row.base_seed if row.n_bases > 1 else row.run_id, []).append(row)
    return list(groups.values())


def _mean(rows: Sequence[Result], metric: str) -> float | None:
    """Return the mean over seeds of the means of their runs; ``None`` if a run lacks the metric."""
    values = [
        [row.metrics[metric].value if metric in row.metrics else None for row in part] for part in group_by_seed(rows)
    ]
    return _average([_average(part) for part in values])


def _base_position(row: Result) -> int | None:
    """Return the place of a run's base seed among those of its references; ``None`` without a base."""
    if row.method in FROM_SCRATCH:
        return None
    if row.base_seed not in row.references.bases:
        raise ValueError(f"expected base seed {row.base_seed} of {row.run_id!r} among {row.references.bases}")
    return row.references.bases.index(row.base_seed)


@lru_cache(maxsize=64)
def _weights(split: str, bases: int, draws: int, positions: tuple[int | None, ...]) -> Array:
    """Return the weight of each run in each draw, ``(runs, J)``: how often its base seed was drawn, over its runs.

    Weights are NaN in draws that have none of the base seeds.
    """
    counts = base_counts(split, bases, draws).T
    drawn = np.stack([np.ones(draws) if one is None else counts[one] / positions.count(one) for one in positions])
    total = drawn.sum(axis=0)
    weights: Array = drawn / np.where(total > 0, total, np.nan)
    return weights


def pooled_draws(rows: Sequence[Result]) -> Array:
    """Return S of a group in every draw, ``(J,)``: the mean of its runs by the weight of their base seeds."""
    values = [np.asarray(row.interval.draws) for row in rows if row.interval is not None]
    weights = _weights(rows[0].split, rows[0].n_bases, len(values[0]), tuple(map(_base_position, rows)))
    pooled: Array = sum(weight * value for weight, value in zip(weights, values, strict=True)) / 1000
    return pooled


@cache
def _normals() -> Array:
    """Return ``2^20`` standard normal numbers, of which a line takes a slice at an offset that depends on its runs."""
    return np.random.default_rng(0).standard_normal(2**20)


def seed_errors(rows: Sequence[Result], draws: int) -> Array:
    """Return by how much other seeds would move the mean over runs in each draw, ``(J,)``.

    Few seeds say little of their spread: its square is averaged with that of ``ONE_SEED_SPREAD``, which weighs as much
    as one degree of freedom. A control without a run has no seed and no such error.
    """
    if rows[0].control and rows[0].method not in FROM_SCRATCH:
        return np.zeros(draws)
    scores = [np.mean([row.metrics["score"].value for row in part]) for part in group_by_seed(rows)]
    count = len(scores)
    squares = (count - 1) * np.var(scores, ddof=1) if count > 1 else 0.0
    spread = np.sqrt((ONE_SEED_SPREAD**2 + squares) / count)
    digest = hashlib.sha256("\n".join(sorted(row.run_id for row in rows)).encode()).digest()
    start = int.from_bytes(digest[:8], "big") % (len(_normals()) - draws)
    errors: Array = spread / np.sqrt(count) * _normals()[start : start + draws]
    return errors


def beats(first: Array, second: Array) -> bool:
    """Whether the first is better by the paired bootstrap: the interval of the differences lies above 0.

    Draws resample forget rows and reference models, and include the errors of few seeds (`seed_errors`).
    """
    difference = first - second
    low, _ = interval(difference[np.isfinite(difference)])
    return low > 0


def make_entry(name: str, rows: Sequence[Result]) -> Entry:
    """Pool the runs of one line."""
    score, low, high, draws = _mean(rows, "score"), None, None, np.full(1, np.nan)
    if score is not None:
        pooled = pooled_draws(rows)
        draws = np.clip(pooled + seed_errors(rows, len(pooled)), 0, 1, dtype=np.float32)
        low, high = interval(draws[np.isfinite(draws)])
    return Entry(name=name, rows=tuple(rows), score=score, low=low, high=high, draws=draws)
