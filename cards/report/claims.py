"""The ledger of claims: statements of papers and other projects, tested on the suite's rows of real data.

A test of a claim holds, fails or is undecided on each table; the verdict is that of most tables that decide it. Rows
of tier mini test nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from mubench.cards.entries import Entry, beats
from mubench.cards.formats import number
from mubench.cards.leaderboard import Table
from mubench.hub_builders.utils.tables import align_columns, markdown_table

Verdict = Literal["held", "did not hold", "could not be tested"]
HEAD = ("claim", "source", "replication", "here", "verdict")


class Untestable(LookupError):  # noqa: N818  a finding about rows, not a fault
    """A table lacks a method or a metric that a test is about; the message names it."""


class _Strict(BaseModel):
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


SHARED = 2 / 3


class Leads(_Strict):
    """One of the methods has rank 1; undecided where more than ``SHARED`` of all ranked lines have it."""

    rule: Literal["leads"]
    methods: tuple[str, ...]

    def observe(self, table: Table) -> Observation:
        if table.no_signal:
            raise Untestable("no ranks without signal")
        lines = [_line(table, name) for name in self.methods]
        ranks = ", ".join(f"{line.name}: rank {line.rank or '-'}" for line in lines)
        all_ranks = [entry.rank for entry in table.entries if entry.rank]
        shared, leads = all_ranks.count(1), any(line.rank == 1 for line in lines)
        words = f"{ranks} ({shared} of {len(all_ranks)} lines have rank 1)"
        return Observation(table, None if leads and shared > SHARED * len(all_ranks) else leads, words)


class Order(_Strict):
    """A metric of one line is at least ``by`` below that of another; S is compared by the paired bootstrap."""

    rule: Literal["order"]
    metric: str
    lower: str
    higher: str
    by: float = 0.0

    def observe(self, table: Table) -> Observation:
        lower, higher = _line(table, self.lower), _line(table, self.higher)
        values = _value(lower, self.metric), _value(higher, self.metric)
        words = f"{self.metric} {number(values[0])} ({lower.name}), {number(values[1])} ({higher.name})"
        if self.metric == "score":
            above, below = beats(higher.draws, lower.draws), beats(lower.draws, higher.draws)
        else:
            above, below = values[1] - values[0] >= self.by, values[1] <= values[0]
        return Observation(table, None if above == below else above, words)


class Near(_Strict):
    """A metric is within a distance of a number, of another line's value, or of chance."""

    rule: Literal["near"]
    method: str
    metric: str
    level: float | str
    within: float

    def observe(self, table: Table) -> Observation:
        value = _value(_line(table, self.method), self.metric)
        level = self._level(table)
        words = f"{self.metric} {number(value)} ({self.method}), {number(level)} ({self.level})"
        return Observation(table, abs(value - level) <= self.within, words)

    def _level(self, table: Table) -> float:
        if not isinstance(self.level, str):
            return self.level
        if self.level == "chance":
            labels = table.row.task_row.label_names(table.row.tier)
            if not labels:
                raise Untestable(f"no level of chance without classes ({table.row.task})")
            return 1 / len(labels)
        return _value(_line(table, self.level), self.metric)


class Claim(_Strict):
    """A claim, its source, somebody's replication, and the test.

    Attributes:
        claim: The claim.
        source: Where it is made.
        replication: Figures of others.
        tasks: Tasks to test it on; empty: all.
        ratios: Percentages of deleted rows to test it at; empty: all.
        test: The test on a table.
        untested: Why there is no test.
    """

    claim: str
    source: str
    replication: str = ""
    tasks: tuple[str, ...] = ()
    ratios: tuple[int, ...] = ()
    test: Annotated[Leads | Order | Near, Field(discriminator="rule")] | None = None
    untested: str = ""

    @model_validator(mode="after")
    def _has_test_or_reason(self) -> Claim:
        if (self.test is None) != bool(self.untested):
            raise ValueError(f"expected a test of {self.claim!r} or why there is none, got both or neither")
        return self

    def is_about(self, table: Table) -> bool:
        """Whether a table has real rows of its tasks and ratios."""
        row = table.row
        fits = (not self.tasks or row.task in self.tasks) and (not self.ratios or row.ratio in self.ratios)
        return fits and row.tier not in ("mini", "custom")


@dataclass(frozen=True)
class Finding:
    """A claim and its results on all tables.

    Attributes:
        claim: The claim.
        observations: One of each table that the claim can be tested on.
        missing: What the other tables lack.
    """

    claim: Claim
    observations: tuple[Observation, ...]
    missing: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """``"held"`` or ``"did not hold"`` by most tables that decide it.

        A tie is ``"could not be tested"``, as are no such tables.
        """
        decided = [one.holds for one in self.observations if one.holds is not None]
        if 2 * sum(decided) == len(decided):
            return "could not be tested"
        return "held" if 2 * sum(decided) > len(decided) else "did not hold"

    @property
    def here(self) -> str:
        """The numbers of every table, or why there are none."""
        if not self.observations:
            tasks = ", ".join(self.claim.tasks) or "any task"
            return self.claim.untested or "; ".join(self.missing) or f"no real rows of {tasks} that it is about"
        return "; ".join(f"{one.table.row.task} {one.table.row.ratio} %: {one.values}" for one in self.observations)


def _line(table: Table, method: str) -> Entry:
    """Return the line of a method with its defaults, or of a control."""
    lines = [line for line in (*table.entries, *table.controls) if line.rows[0].method == method]
    for line in lines:
        if line.rows[0].tuned == "default" or line.rows[0].control:
            return line
    raise Untestable(f"no rows of {method}{' with its defaults' if lines else ''}")


def _value(line: Entry, metric: str) -> float:
    values = [row.metrics[metric].value for row in line.rows if metric in row.metrics]
    if not values:
        raise Untestable(f"no {metric} of {line.name}")
    return sum(values) / len(values)


@cache
def read_claims() -> tuple[Claim, ...]:
    """Return the ledger."""
    text = files("mubench.cards.report").joinpath("claims.yaml").read_text(encoding="utf-8")
    return TypeAdapter(tuple[Claim, ...]).validate_python(yaml.safe_load(text))


def examine_claims(tables: Sequence[Table]) -> list[Finding]:
    """Return what tables say of every claim."""
    return [examine_claim(claim, tables) for claim in read_claims()]


def examine_claim(claim: Claim, tables: Sequence[Table]) -> Finding:
    """Return what tables say of a claim."""
    if claim.test is None:
        return Finding(claim, ())
    observations, missing = [], []
    for table in filter(claim.is_about, tables):
        try:
            observations.append(claim.test.observe(table))
        except Untestable as lack:
            missing.append(str(lack))
    return Finding(claim, tuple(observations), tuple(dict.fromkeys(missing)))


def as_markdown(findings: Sequence[Finding]) -> str:
    """Return the ledger as a table."""
    lines = [
        (one.claim.claim, one.claim.source, one.claim.replication or "none", one.here, one.verdict) for one in findings
    ]
    plain = [[cell.replace("|", "/") for cell in line] for line in lines]
    return markdown_table(HEAD, plain, left=range(len(HEAD)))


def as_text(findings: Sequence[Finding]) -> str:
    """Return verdicts and claims for a terminal, with the numbers of the suite's own rows below each."""
    heads = align_columns([(one.verdict, one.claim.claim) for one in findings], left=(0, 1))
    return "".join(f"{head}\n    {one.here}\n" for head, one in zip(heads, findings, strict=True))
