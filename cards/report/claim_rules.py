"""Rules that test a claim on one table: who leads, which of two lines is lower, and what is near to what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from mubench.cards.entries import Array, Entry
from mubench.cards.formats import number
from mubench.cards.leaderboard import Table
from mubench.cards.report.seed_differences import DIGITS, Difference, compare_lines, seed_values, subtract
from mubench.trainers.metrics.bootstrap import interval

Verdict = Literal["held", "did not hold", "mixed", "undecided", "could not be tested"]
SHARED = 2 / 3


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
    """All of the methods have rank 1, or any of them; undecided where more than ``SHARED`` of all ranked lines do."""

    rule: Literal["leads"]
    needed: Literal["all", "any"]
    methods: tuple[str, ...]

    def observe(self, table: Table) -> Observation:
        if table.no_signal:
            raise Untestable("no ranks without signal")
        lines = [_line(table, name) for name in self.methods]
        ranks = ", ".join(f"{line.name}: rank {line.rank or '-'}" for line in lines)
        all_ranks = [entry.rank for entry in table.entries if entry.rank]
        first, shared = [line.rank == 1 for line in lines], all_ranks.count(1)
        leads = all(first) if self.needed == "all" else any(first)
        words = f"{ranks} ({shared} of {len(all_ranks)} lines have rank 1)"
        return Observation(table, None if leads and shared > SHARED * len(all_ranks) else leads, words)


class Order(Strict):
    """A metric of one line is below that of another, by ``by`` or more over the whole interval of the difference.

    It fails where the whole interval is at or below 0, and is undecided in between. The interval is that of the paired
    bootstrap for S, and of `compare_lines` for any other metric.
    """

    rule: Literal["order"]
    metric: str
    lower: str
    higher: str
    by: float = 0.0

    def observe(self, table: Table) -> Observation:
        lower, higher = _line(table, self.lower), _line(table, self.higher)
        values = _values(lower, self.metric), _values(higher, self.metric)
        is_score = self.metric == "score"
        gap = _score_difference(higher, lower) if is_score else compare_lines(higher, lower, self.metric)
        above, below = gap.low >= self.by and gap.low > 0, gap.high <= 0
        words = f"{_words(values[0])} ({lower.name}), {_words(values[1])} ({higher.name})"
        return Observation(table, None if above == below else above, f"{self.metric} {words}, difference {gap}")


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
        line = _line(table, self.method)
        values, level = _values(line, self.metric), self._level(table)
        if isinstance(level, float):
            gap = subtract(values, level)
        else:
            gap = compare_lines(line, _line(table, str(self.level)), self.metric)
        inside = -self.within <= gap.low and gap.high <= self.within
        outside = gap.low > self.within or gap.high < -self.within
        words = f"{_words(values)} ({self.method}), {_words(level)} ({self.level}), difference {gap}"
        return Observation(table, inside if inside or outside else None, f"{self.metric} {words}")

    def _level(self, table: Table) -> Array | float:
        if not isinstance(self.level, str):
            return self.level
        if self.level == "chance":
            labels = table.row.task_row.label_names(table.row.tier)
            if not labels:
                raise Untestable(f"no level of chance without classes ({table.row.task})")
            return 1 / len(labels)
        return _values(_line(table, self.level), self.metric)


def _line(table: Table, method: str) -> Entry:
    """Return the line of a method with its defaults, or of a control."""
    lines = [line for line in (*table.entries, *table.controls) if line.rows[0].method == method]
    for line in lines:
        if line.rows[0].tuned == "default" or line.rows[0].control:
            return line
    raise Untestable(f"no rows of {method}{' with its defaults' if lines else ''}")


def _values(line: Entry, metric: str) -> Array:
    values = seed_values(line, metric)
    if not len(values):
        raise Untestable(f"no {metric} of {line.name}")
    return values


def _score_difference(first: Entry, second: Entry) -> Difference:
    if first.score is None or second.score is None:
        raise Untestable(f"no score of {(first if first.score is None else second).name}")
    draws = first.draws - second.draws
    return Difference(first.score - second.score, *interval(draws[np.isfinite(draws)]))


def _words(values: Array | float) -> str:
    return number(float(np.mean(values)), DIGITS)
