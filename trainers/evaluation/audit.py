"""Audit of the metrics: false alarms on held-out retrained models, power against controls, agreement with S.

All of it is computed from the rows of tables. A metric takes a model for not retrained where its value lies outside
the 95 % prediction interval of one further value, from a t distribution on the values of retrained models: on both
sides for a metric that is better near retrained, else on the worse side. A held-out retrained model is compared with
the other K - 1 (K - 2 degrees of freedom), any other model with all K.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mubench.hub_builders.tasks.names import DATASET, family_location
from mubench.hub_builders.utils.hints import command
from mubench.trainers.evaluation.result import ENOUGH_BASES, ENOUGH_RETRAINED, Result
from mubench.trainers.metrics import METRICS
from mubench.trainers.metrics.bootstrap import interval
from mubench.trainers.metrics.case import Better
from mubench.trainers.metrics.rank_correlation import kendall_tau
from mubench.trainers.metrics.score import SCORE_VERSION

Array = npt.NDArray[np.floating[Any]]
# The audit that is shipped, as `mubench.cards audit` wrote it.
SHIPPED = Path(__file__).resolve().parents[2] / "cards" / "audit" / "audit.json"
# Models that a metric should tell from retrained ones.
CAUGHT = ("base", "retrain_keep50", "flip_cheat")
# A metric is weak with more false alarms, or with less power on more than 2 tables of 11.
MOST_ALARMS, LEAST_POWER, LEAST_TABLES = 0.05, 0.8, 9 / 11
DRAWS = 1000
# Fewer rows of methods have no rank correlation worth a number.
_LEAST_ROWS = 3
# Differences below it are rounding.
_ROUNDING = 1e-9


class NotAudited(ValueError):  # noqa: N818  a finding about rows, which may still be ranked
    """Rows lack what an audit needs."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TableAudit:
    """One metric on one table.

    Attributes:
        alarms: Number of held-out retrained models that the metric takes for not retrained.
        retrained: Number of retrained models, ``K``.
        power: Share of models that it tells from retrained ones, by control.
        rows: Number of rows of methods.
        tau: Kendall's tau-b to S over them, with the metric turned so that higher is better; NaN where undefined.
        draws: Tau with the rows resampled, ``(J,)``.
    """

    alarms: int
    retrained: int
    power: Mapping[str, float]
    rows: int
    tau: float
    draws: Array

    @property
    def mean_power(self) -> float:
        """Mean of the powers against all controls."""
        return sum(self.power.values()) / len(self.power)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MetricAudit:
    """One metric on all tables that have it.

    Attributes:
        name: Its key in ``METRICS``.
        tables: What it does on each table, by title.
    """

    name: str
    tables: Mapping[str, TableAudit]

    @property
    def alarms(self) -> int:
        """Number of false alarms over all tables."""
        return sum(one.alarms for one in self.tables.values())

    @property
    def retrained(self) -> int:
        """Number of held-out retrained models over all tables."""
        return sum(one.retrained for one in self.tables.values())

    @property
    def alarm_interval(self) -> tuple[float, float]:
        """Binomial (Clopper-Pearson) 95 % interval of the false-alarm rate, as if comparisons were independent."""
        from scipy.stats import binomtest  # noqa: PLC0415  (slow to import)

        ends = binomtest(self.alarms, self.retrained).proportion_ci()
        return float(ends.low), float(ends.high)

    def power(self, control: str) -> float:
        """Return the mean power against a control over the tables that have the metric for it, NaN without any."""
        found = [one.power[control] for one in self.tables.values() if control in one.power]
        return float(np.mean(found)) if found else math.nan

    @property
    def strong_tables(self) -> int:
        """Number of tables where the mean power is at least ``LEAST_POWER``."""
        return sum(one.mean_power >= LEAST_POWER - _ROUNDING for one in self.tables.values())

    @property
    def tau(self) -> tuple[float, float, float] | None:
        """Mean of tau over the tables where it is defined, and its 95 % bootstrap interval; ``None`` without any."""
        found = [one for one in self.tables.values() if math.isfinite(one.tau)]
        if not found:
            return None
        draws = np.stack([one.draws for one in found])
        known = np.isfinite(draws)
        counts = known.sum(axis=0)
        means = np.where(known, draws, 0.0).sum(axis=0)[counts > 0] / counts[counts > 0]
        return float(np.mean([one.tau for one in found])), *interval(means)

    @property
    def weaknesses(self) -> list[str]:
        """What keeps the metric from passing: ``false alarms`` beyond those of chance, ``power``, both or nothing."""
        if not self.tables:
            return []
        faults = {
            "false alarms": self.alarm_interval[0] > MOST_ALARMS,
            "power": self.strong_tables < LEAST_TABLES * len(self.tables) - _ROUNDING,
        }
        return [name for name, wrong in faults.items() if wrong]


def audit(tables: Mapping[str, Sequence[Result]], **folders: object) -> list[MetricAudit]:
    """Audit every metric over tables of result rows, by title.

    The folders ``data``, ``models`` and ``results`` are those of the command in an error message.

    Raises:
        NotAudited: If the rows of a table lack a control or enough retrained models, or are of another version of S.
    """
    found: dict[str, dict[str, TableAudit]] = {name: {} for name in METRICS}
    for title, rows in tables.items():
        _check(title, rows, folders)
        for name, each in found.items():
            if (one := _audit_table(name, rows)) is not None:
                each[title] = one
    return [MetricAudit(name=name, tables=each) for name, each in found.items()]


def _check(title: str, rows: Sequence[Result], folders: Mapping[str, object]) -> None:
    versions = sorted({row.score_version for row in rows})
    if versions != [SCORE_VERSION]:
        raise NotAudited(f"expected rows with S of version {SCORE_VERSION} of {title}, got version {versions[0]}")
    counts = Counter(row.method for row in rows if row.control)
    least = {"retrain": ENOUGH_RETRAINED, **dict.fromkeys(CAUGHT, 1)}
    for name, needed in least.items():
        if counts[name] < needed:
            making = _making(rows[0], folders)
            raise NotAudited(
                f"expected at least {needed} rows of {name} of {title}, got {counts[name]}; make them with: {making}"
            )


def _making(row: Result, folders: Mapping[str, object]) -> str:
    place = {**folders, "data": family_location(str(folders.get("data", DATASET)), row.family, row.deletion_seed)}
    group = {"task": row.task, "ratio": row.ratio, "backbone": row.backbone, "family": row.family}
    seeds = {"base_seeds": _first(ENOUGH_BASES), "retrain_seeds": _first(ENOUGH_RETRAINED)}
    return command("sweep", **group, **seeds, eval_seed=row.eval_seed, **place)


def _first(count: int) -> str:
    return " ".join(map(str, range(count)))


def _audit_table(name: str, rows: Sequence[Result]) -> TableAudit | None:
    """Return what a metric does on a table, or ``None`` where retrained models, bases or keep-50 models lack it.

    Outputs that `flip_cheat` makes have no generated texts or images: power is then that against the other controls.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row.control and row.method in ("retrain", *CAUGHT):
            if name in row.metrics:
                values[row.method].append(row.metrics[name].value)
            elif row.method != "flip_cheat":
                return None
    retrained, better = np.array(values["retrain"]), METRICS[name].better
    methods = [row for row in rows if not row.control and {name, "score"} <= row.metrics.keys()]
    tau, draws = _correlation(name, methods, float(retrained.mean()))
    others = (np.delete(retrained, place) for place in range(len(retrained)))
    return TableAudit(
        alarms=sum(is_outside(value, rest, better) for value, rest in zip(retrained, others, strict=True)),
        retrained=len(retrained),
        power={
            one: float(np.mean([is_outside(v, retrained, better) for v in values[one]]))
            for one in CAUGHT
            if values[one]
        },
        rows=len(methods),
        tau=tau,
        draws=draws,
    )


def is_outside(value: float, retrained: Array, better: Better) -> bool:
    """Whether a value is worse than the 95 % prediction interval of one further value of retrained models.

    Args:
        value: The value.
        retrained: Values of retrained models, ``(K,)``, at least 2.
        better: Direction of better values: it decides which side is worse.
    """
    from scipy.special import stdtrit  # noqa: PLC0415  (slow to import)

    count = len(retrained)
    tail = MOST_ALARMS / 2 if better == "near retrained" else MOST_ALARMS
    spread = float(np.std(retrained, ddof=1)) * math.sqrt(1 + 1 / count)
    margin = float(stdtrit(count - 1, 1 - tail)) * spread + _ROUNDING
    difference = value - float(np.mean(retrained))
    worse = {"lower": difference, "higher": -difference, "near retrained": abs(difference)}
    return bool(worse[better] > margin)


def _correlation(name: str, rows: Sequence[Result], retrained: float) -> tuple[float, Array]:
    """Return tau-b to S over rows, and over resamples of them, ``(J,)``; NaN with too few rows."""
    if len(rows) < _LEAST_ROWS:
        return math.nan, np.full(DRAWS, math.nan)
    values, scores = (np.array([row.metrics[key].value for row in rows]) for key in (name, "score"))
    turned = {"higher": values, "lower": -values, "near retrained": -np.abs(values - retrained)}
    # The same resamples for every metric, so that metrics are compared on the same rows.
    shares = np.full(len(rows), 1 / len(rows))
    counts = np.random.default_rng(0).multinomial(len(rows), shares, size=DRAWS).astype(np.float64)
    taus = kendall_tau(turned[METRICS[name].better], scores, np.vstack([np.ones(len(rows)), counts]))
    return float(taus[0]), taus[1:]


@cache
def weak_metrics() -> frozenset[str]:
    """Return the metrics that the shipped audit calls weak.

    Raises:
        FileNotFoundError: If the suite comes without an audit.
    """
    found = json.loads(SHIPPED.read_text(encoding="utf-8"))
    return frozenset(name for name, one in found["metrics"].items() if one["weak"])
