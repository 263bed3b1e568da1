"""Lines of a leaderboard: the runs of one method and arguments, pooled over base seeds and seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mubench.hub_builders.tasks import get_task
from mubench.trainers.evaluation.controls import FROM_SCRATCH
from mubench.trainers.evaluation.result import ORACLE_SELECTION, Result
from mubench.trainers.metrics.bootstrap import base_counts, interval

Array = npt.NDArray[np.floating[Any]]
# The largest standard deviation of S between seeds of one mini run that was measured; they go from .09 to .18.
ONE_SEED_SPREAD = 0.18
METRICS = ("row", "mean", "membership", "utility", "row_shifted", "gap", "kl_retrained")


@dataclass(frozen=True, eq=False, kw_only=True)
class Entry:
    """One line of a table: the runs of a method with its arguments.

    Attributes:
        name: Name of the line.
        rows: The runs.
        score: Mean S; ``None`` if a run has none.
        low: Lower end of its 95 % interval, by which the table is ordered.
        high: Upper end.
        metrics: Means of ``METRICS``; ``None`` for one that a run lacks.
        reported: Means of the metrics that the task reports beside S, likewise.
        seconds: Training time as a share of retraining's.
        passes: Examples forward plus twice those backward, as a share of retraining's.
        flags: Flags of its runs.
        rank: Rank; equal where the paired bootstrap cannot tell two lines apart; ``None`` if unranked.
        draws: S in every bootstrap draw, NaN where a draw has none of the base seeds, ``(J,)``.
    """

    name: str
    rows: tuple[Result, ...]
    score: float | None
    low: float | None
    high: float | None
    metrics: Mapping[str, float | None]
    reported: Mapping[str, float | None]
    seconds: float | None
    passes: float | None
    flags: tuple[str, ...]
    draws: Array
    rank: int | None = None

    @property
    def title(self) -> str:
        return f"{self.name} [{', '.join(self.flags)}]" if self.flags and not self.rows[0].control else self.name

    @property
    def seeds(self) -> str:
        """How many seeds, each a run, S stands on."""
        return "one seed" if len(self.rows) == 1 else str(len(self.rows))

    @property
    def oracle_selected(self) -> bool:
        """Whether the retrained models selected its epoch: such lines rank among themselves."""
        return self.flags == (ORACLE_SELECTION,)


def _average(values: Sequence[float], rows: Sequence[Result]) -> float | None:
    """Return the mean, or ``None`` if a row has no value."""
    return sum(values) / len(values) if len(values) == len(rows) else None


def _weights(row: Result) -> Array:
    """Return the weight of a run in each draw, ``(J,)``: how often its base seed was drawn."""
    if row.interval is None:
        raise ValueError(f"expected a row with draws, got {row.run_id!r}")
    draws = len(row.interval.draws)
    if row.method in FROM_SCRATCH:
        return np.ones(draws)
    if row.base_seed not in row.references.bases:
        raise ValueError(f"expected base seed {row.base_seed} of {row.run_id!r} among {row.references.bases}")
    counts: Array = base_counts(row.split, row.n_bases, draws)[:, row.references.bases.index(row.base_seed)]
    return counts


def pooled_draws(rows: Sequence[Result]) -> Array:
    """Return S of a group in every draw, ``(J,)``: the mean of its runs by the weight of their base seeds."""
    weights = [_weights(row) for row in rows]
    values = [np.asarray(row.interval.draws) for row in rows if row.interval is not None]
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN of draws without any of the bases
        pooled: Array = sum(map(np.multiply, weights, values)) / (1000 * sum(weights))
    return pooled


@cache
def _normals() -> Array:
    """Return ``2^20`` standard normal numbers, of which a line takes a stretch from a place that its runs decide."""
    return np.random.default_rng(0).standard_normal(2**20)


def seed_errors(rows: Sequence[Result], draws: int) -> Array:
    """Return by how much other seeds would move the mean over runs in each draw, ``(J,)``.

    Few seeds say little of their spread: its square is averaged with that of ``ONE_SEED_SPREAD``, which weighs as much
    as one degree of freedom. A control without a run has no seed and no such error.
    """
    count, scores = len(rows), [row.metrics["score"].value for row in rows]
    if rows[0].control and rows[0].method not in FROM_SCRATCH:
        return np.zeros(draws)
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
    names = ("score", *METRICS, *get_task(rows[0].task).reported)
    means = {name: _average([row.metrics[name].value for row in rows if name in row.metrics], rows) for name in names}
    score = means["score"]
    draws = np.full(1, np.nan)
    if score is not None:
        pooled = pooled_draws(rows)
        draws = np.clip(pooled + seed_errors(rows, len(pooled)), 0, 1, dtype=np.float32)
    low, high = (None, None) if score is None else interval(draws[np.isfinite(draws)])
    return Entry(
        name=name,
        rows=tuple(rows),
        score=score,
        low=low,
        high=high,
        metrics={name: means[name] for name in METRICS},
        reported={name: means[name] for name in get_task(rows[0].task).reported},
        seconds=_average([row.cost["seconds_share"] for row in rows if "seconds_share" in row.cost], rows),
        passes=_average([row.cost["passes_share"] for row in rows if "passes_share" in row.cost], rows),
        flags=tuple(sorted({flag for row in rows for flag in row.flags})),
        draws=draws,
    )
