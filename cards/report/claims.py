"""The ledger of claims: statements of papers and other projects, tested on the suite's rows of real data.

A claim holds, fails or is undecided on each table. Tables of one task, such as those of two ratios, have one vote
together, that of most of them; the verdict is that of most tasks. Rows of tier mini test nothing.
"""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Annotated

import yaml
from pydantic import Field, TypeAdapter, model_validator

from mubench.cards.leaderboard import Table
from mubench.cards.report.claim_rules import Leads, Near, Observation, Order, Strict, Untestable, Verdict
from mubench.hub_builders.utils.tables import align_columns, markdown_table

HEAD = ("claim", "source", "replication", "here", "verdict")
# The figures are those of the claims on SalUn in `claims.yaml`.
WHY_S = (
    "S exists because an average gap to retraining is small where little was forgotten: the replication of SalUn's "
    "table (10 trials) finds 1.60 percentage points where .2 is claimed, with forget accuracy 12 % of the way to that "
    "of retrained models. Selection by the average gap picks settings that change nothing: see the claims on "
    "SalUn, gradient ascent and boundary methods below."
)
VERDICTS = (
    "A claim about numbers holds or fails on a table where the whole 95 % interval of the difference, over seeds, "
    "does; else it is undecided, as is one about the first rank where more than two thirds of the lines with default "
    "arguments share that. Claims on S or its parts need a table with a signal. "
    "Tables of one task have one vote together, that of most of them, and the verdict is that of most tasks. Mixed: "
    "as many hold as fail."
)


class Claim(Strict):
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
        """The verdict of most tasks, each of which has that of most of its tables."""
        if not self.observations:
            return "could not be tested"
        by_task: dict[str, list[Verdict]] = defaultdict(list)
        for one in self.observations:
            by_task[one.table.row.task].append(one.verdict)
        return _majority([_majority(votes) for votes in by_task.values()])

    @property
    def here(self) -> str:
        """The numbers of every table, or why there are none."""
        return "; ".join(self.lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """The same, a line for each table."""
        if not self.observations:
            tasks = ", ".join(self.claim.tasks) or "any task"
            return (self.claim.untested or "; ".join(self.missing) or f"no real rows of {tasks} that it is about",)
        rows = [(one.table.row, one) for one in self.observations]
        return tuple(f"{row.task} {row.backbone} {row.ratio} %, {one.verdict}: {one.values}" for row, one in rows)


def _majority(votes: Sequence[Verdict]) -> Verdict:
    held, failed = votes.count("held"), votes.count("did not hold")
    if held != failed:
        return "held" if held > failed else "did not hold"
    return "mixed" if held or "mixed" in votes else "undecided"


@cache
def read_claims() -> tuple[Claim, ...]:
    """Return the ledger."""
    text = files("mubench.cards.report").joinpath("claims.yaml").read_text(encoding="utf-8")
    return TypeAdapter(tuple[Claim, ...]).validate_python(yaml.safe_load(text))


def examine_claims(tables: Sequence[Table]) -> list[Finding]:
    """Return the results of all claims on tables."""
    return [examine_claim(claim, tables) for claim in read_claims()]


def examine_claim(claim: Claim, tables: Sequence[Table]) -> Finding:
    """Return the results of a claim on the tables that it is about."""
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
    """Return the ledger as a table, below why S exists and what a verdict is."""
    lines = [
        (one.claim.claim, one.claim.source, one.claim.replication or "none", one.here, one.verdict) for one in findings
    ]
    plain = [[cell.replace("|", "/") for cell in line] for line in lines]
    return f"{WHY_S}\n\n{VERDICTS}\n\n{markdown_table(HEAD, plain, left=range(len(HEAD)))}"


def as_text(findings: Sequence[Finding]) -> str:
    """Return verdicts and claims for a terminal, with the numbers of the suite's own rows below each.

    Why S exists and what a verdict is come first.
    """
    heads = align_columns([(one.verdict, one.claim.claim) for one in findings], left=(0, 1))
    parts = [textwrap.fill(WHY_S, 119), "", textwrap.fill(VERDICTS, 119), ""]
    for head, one in zip(heads, findings, strict=True):
        parts += [head, *(f"    {line}" for line in one.lines)]
    return "".join(f"{part}\n" for part in parts)
