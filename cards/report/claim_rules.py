"""Rules that test a claim on one table: who leads, which of two lines is lower, and what is near to what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from mubench.cards.leaderboard import Table, rank_lines
from mubench.cards.leaderboard.entries import Array, Entry
from mubench.cards.leaderboard.formats import number
from mubench.cards.report.seed_differences import (
    DIGITS,
    Difference,
    compare_lines,
    compare_scores,
    seed_values,
    subtract,
)
from mubench.trainers.evaluation.judge import SCORE_PARTS

Verdict = Literal["held", "did not hold", "mixed", "undecided", "could not be tested"]
SHARED = 2 / 3
FREQUENT = 1.5  # times the share of a class where all have as many rows


class Untestable(LookupError):  # noqa: N818  a finding about rows, not a fault
    """A table lacks a method or a metric that a test is about; the message names it."""


class Strict(BaseModel):
    """An entry of the ledger, without unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Observation:
    """Result of testing a claim on one table.

    Attributes:
        table: The table.
        holds: Whether the claim holds there; ``None`` where the rows do not decide it.
        values: The compared numbers, in words.
    """

    table: Table
    holds: bool | None
    values: str

    @property
    def verdict(self) -> Verdict:
        """The verdict of this table alone."""
        if self.holds is None:
            return "undecided"
        return "held" if self.holds else "did not hold"


class Leads(Strict):
    """All of the methods, or any of them, have rank 1 among the defaults.

    It is undecided where more than ``SHARED`` of these do. Lines with other arguments are left out: a claim is about
    methods, and a tuned line would take the place of its own defaults.
    """

    rule: Literal["leads"]
    needed: Literal["all", "any"]
    methods: tuple[str, ...]

    def observe(self, table: Table) -> Observation:
        if table.no_signal:
            raise Untestable("no ranks without signal")
        names = [_line(table, method).name for method in self.methods]
        rank = {line.name: line.rank for line in rank_lines(filter(_is_ranked_default, table.entries))}
        words = ", ".join(f"{name}: rank {rank.get(name, '-')}" for name in names)
        first, shared = [rank.get(name) == 1 for name in names], list(rank.values()).count(1)
        leads = all(first) if self.needed == "all" else any(first)
        words += f" (shared by {shared} of {len(rank)} defaults)" if shared > 1 else f" (of {len(rank)} defaults)"
        return Observation(table, None if leads and shared > SHARED * len(rank) else leads, words)


class Order(Strict):
    """A metric of one line is below that of another, by ``by`` or more over the whole interval of the difference.

    It fails where the whole interval is below ``by``, or at or below 0 without one, and is undecided in between. The
    interval is that of the paired bootstrap for S, and of `compare_lines` for any other metric.
    """

    rule: Literal["order"]
    metric: str
    lower: str
    higher: str
    by: float = 0.0

    def observe(self, table: Table) -> Observation:
        _check_signal(table, self.metric)
        lower, higher = _line(table, self.lower), _line(table, self.higher)
        values = _values(lower, self.metric), _values(higher, self.metric)
        is_score = self.metric == "score"
        gap = _score_difference(higher, lower) if is_score else compare_lines(higher, lower, self.metric)
        above = gap.low >= self.by and gap.low > 0
        below = gap.high < self.by if self.by else gap.high <= 0
        words = f"{_words(values[0])} ({lower.name}), {_words(values[1])} ({higher.name})"
        wanted = f"{self.by:g} or more" if self.by else "above 0"
        words = f"{self.metric} {words}, {higher.name} less {lower.name} {gap}, claimed {wanted}"
        return Observation(table, None if above == below else above, words)


class Near(Strict):
    """A metric is within a distance of a number, of another line's value, or of chance.

    It holds where the whole interval of the difference is (`subtract`), and fails where none of it is.
    """

    rule: Literal["near"]
    method: str
    metric: str
    level: float | str
    within: float

    def observe(self, table: Table) -> Observation:
        _check_signal(table, self.metric)
        line = _line(table, self.method)
        values, level = _values(line, self.metric), self._level(table)
        if isinstance(level, float):
            gap = subtract(values, level)
        else:
            gap = compare_lines(line, _line(table, str(self.level)), self.metric)
        inside = -self.within <= gap.low and gap.high <= self.within
        outside = gap.low > self.within or gap.high < -self.within
        beside = "" if isinstance(self.level, float) else f", {_words(level)} ({self.level})"
        less = f"less {self.level:g}" if isinstance(self.level, float) else f"less {self.level}"
        words = f"{self.metric} {_words(values)} ({self.method}){beside}, {self.method} {less} {gap}"
        return Observation(table, inside if inside or outside else None, f"{words}, claimed within {self.within:g}")

    def _level(self, table: Table) -> Array | float:
        if not isinstance(self.level, str):
            return self.level
        if self.level == "chance":
            return _chance(table)
        return _values(_line(table, self.level), self.metric)


def _chance(table: Table) -> float:
    """Return the score of guesses among classes that have about as many rows each.

    Raises:
        Untestable: If there are no classes, some may be missing, or the `constant` control shows that one is frequent.
    """
    row = table.row
    labels = row.task_row.label_names(row.tier)
    if not labels:
        raise Untestable(f"no level of chance without classes ({row.task})")
    if row.tier == "partial":
        raise Untestable(f"no level of chance where rows may lack classes ({row.task}, partial tier)")
    for control in table.controls:
        if control.rows[0].method == "constant" and (
            score := control.rows[0].metrics["test_score"].value
        ) > FREQUENT / len(labels):
            raise Untestable(f"no level of chance where one class scores {number(score, DIGITS)} ({row.task})")
    return 1 / len(labels)


def _is_ranked_default(entry: Entry) -> bool:
    """Whether a line ranks among models, with the defaults of its method."""
    among_models = entry.rank is not None and not entry.oracle_selected and not entry.rows[0].outputs_only
    return among_models and entry.origin == "default"


def _line(table: Table, method: str) -> Entry:
    """Return the line of a method or a control with its defaults."""
    lines = [line for line in (*table.entries, *table.controls) if line.rows[0].method == method]
    for line in lines:
        if line.origin == "default":
            return line
    raise Untestable(f"no rows of {method}{' with its defaults' if lines else ''}")


def _check_signal(table: Table, metric: str) -> None:
    if table.no_signal and metric in SCORE_PARTS:
        raise Untestable(f"no {metric} without signal")


def _values(line: Entry, metric: str) -> Array:
    values = seed_values(line, metric)
    if not len(values):
        raise Untestable(f"no {metric} of {line.name}")
    return values


def _score_difference(first: Entry, second: Entry) -> Difference:
    for line in (first, second):
        if line.score is None:
            raise Untestable(f"no score of {line.name}")
    return compare_scores(first, second)


def _words(values: Array | float) -> str:
    return number(float(np.mean(values)), DIGITS)
