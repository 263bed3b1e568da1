"""The leaderboard: shipped rows, those of ``./results``, a visitor's own runs, and rows that somebody sent in."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from charts.tables import table
from jobs.paths import RESULTS

from handlers.checks import one_of, shown
from handlers.runs import known
from mubench.cards.entries import Entry, make_entry
from mubench.cards.formats import cells
from mubench.cards.leaderboard import Table, tables
from mubench.cards.shipped import shipped_tables
from mubench.hub_builders.tasks import BACKBONES, TASKS, TIERS
from mubench.hub_builders.tasks.names import RATIOS
from mubench.trainers.evaluation.controls import CONTROLS
from mubench.trainers.evaluation.result import Result
from mubench.trainers.evaluation.result_files import read_result
from mubench.trainers.methods import METHODS

PARTS = ("tier", "task", "backbone", "ratio", "method")
FILTERS = (*PARTS, "origin")
SHIPPED, HERE, YOURS, SUBMITTED, CONTROL = "shipped", "here", "yours", "submitted", "control"
RANKED = (SHIPPED, HERE)
ORIGINS = (SHIPPED, HERE, YOURS, SUBMITTED)
KINDS = (*ORIGINS, CONTROL)
# What lines may be filtered by, beside what rows from elsewhere bring.
KNOWN: dict[str, tuple[str, ...]] = {
    "tier": TIERS, "task": tuple(TASKS), "backbone": tuple(BACKBONES), "ratio": tuple(map(str, RATIOS)),
    "method": (*METHODS, *CONTROLS), "origin": ORIGINS,
}  # fmt: skip
MEANING = {
    "rank": "By the lower end of S's interval; lines that a paired bootstrap cannot tell from the first of their rank "
    "share it (=). * provisional: fewer than 5 retrained models or 3 base seeds. apart: the retrained "
    "models chose the epoch, and such lines rank among themselves. Controls, your own runs and "
    "submitted rows are never ranked.",
    "method": "The method, and the arguments that tell it from others of the same method.",
    "runs": "Runs that the line is the mean of.",
    "S": "1 = retrained, 0 = untouched or destroyed; higher is better.",
    "95 % interval": "Two-level bootstrap over base seeds, retrained models and forget rows.",
    "row": "How far the confidence in each forget row is from the retrained models'; 0 = retrained, 1 = base.",
    "mean": "How far the mean score on forget rows is from the retrained models'; lower is better.",
    "memb.": "Advantage of the strongest membership attack over that on retrained models; lower is better.",
    "util.": "Share of the retrained score lost on retain, test or ood rows; lower is better.",
    "gap": "Mean distance of averages to retrained; can be cheated, for comparison only.",
    "KL": "KL divergence to retrained on forget rows, in nats; lower is better.",
    "time": "Training seconds as a share of retraining's; lower is better.",
    "passes": "Forward and twice backward examples as a share of retraining's; lower is better.",
    "setting": "Tier, task, backbone and the percentage that was deleted.",
    "origin": "Measured and shipped with the suite, made here in this Space's folder, a run of yours, or submitted by "
    "you and not checked by anybody. What was made here is ranked apart from what was shipped.",
}
HEAD = tuple(MEANING)
# One visitor at a time: what several would make at once is made once.
MAKING = Lock()


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """A line of the leaderboard."""

    entry: Entry
    origin: str
    tied: bool = False

    @property
    def row(self) -> Result:
        """Any of its runs."""
        return self.entry.rows[0]

    @property
    def kind(self) -> str:
        """Its origin, unless it is a control."""
        return CONTROL if self.row.control else self.origin

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Its cells, as in ``HEAD``."""
        rank, name, *rest = cells(self.entry)
        if self.kind not in RANKED:
            rank = self.kind
        elif self.tied:
            rank = f"={rank}"
        row = self.row
        place = f"{row.task} ({row.tier}), {row.backbone}, {row.ratio} %"
        place += "" if row.family == "canonical" else f", {row.family}"
        place += f", deletion seed {row.deletion_seed}" if row.deletion_seed else ""
        place += f", evaluation seed {row.eval_seed}" if row.eval_seed else ""
        return (rank, name, *rest, place, self.origin)


def lines(own: Any = None, submitted: Sequence[Result] = ()) -> list[Line]:
    """Return every line: of each setting the shipped ones, those made here, then a visitor's, then controls.

    Args:
        own: Names of a visitor's runs.
        submitted: Rows that were sent in.

    Raises:
        FileNotFoundError: If the suite came without its shipped rows.
        ValueError: If a row is damaged, or rows of one table were judged against different models.
    """
    with MAKING:
        found = [*_shipped(shipped_tables()), *_made_here(_stamp())]
    theirs = {run.row.run_id: run.row for run in known(own) if run.row is not None}
    found += [Line(make_entry(row.method, [row]), YOURS) for row in theirs.values()]
    found += [Line(make_entry(row.method, [row]), SUBMITTED) for row in submitted]

    def place(line: Line) -> tuple[Any, ...]:
        row = line.row
        return (row.tier, row.task, row.backbone, row.ratio, row.family, row.split, KINDS.index(line.kind))

    return sorted(found, key=place)  # a stable sort: ranks stay in order


@lru_cache(maxsize=1)
def _shipped(found: tuple[Table, ...]) -> tuple[Line, ...]:
    return tuple(line for each in found for line in _lines(each, SHIPPED))


@lru_cache(maxsize=1)
def _made_here(stamp: tuple[tuple[str, int, int], ...]) -> tuple[Line, ...]:
    """Return the lines of files that are named with their time and size: who asks again gets the same ones."""
    found = tables(read_result(Path(name)) for name, _, _ in stamp)
    return tuple(line for each in found for line in _lines(each, HERE))


def _stamp() -> tuple[tuple[str, int, int], ...]:
    if not RESULTS.is_dir():
        return ()
    with os.scandir(RESULTS.absolute()) as found:
        seen = [(each.path, each.stat()) for each in found if each.name.endswith(".json")]
    return tuple(sorted((path, at.st_mtime_ns, at.st_size) for path, at in seen))


def _lines(each: Table, origin: str) -> list[Line]:
    ranks = [(entry.apart, entry.rank) for entry in each.entries]
    ranked = [Line(e, origin, tied=e.rank is not None and ranks.count((e.apart, e.rank)) > 1) for e in each.entries]
    return [*ranked, *(Line(entry, origin) for entry in each.controls)]


def part(line: Line, name: str) -> str:
    """Return what a line is filtered by."""
    return line.origin if name == "origin" else str(getattr(line.row, name))


def filters(every: Sequence[Line]) -> dict[str, list[str]]:
    """Return what there is to filter by."""
    found = {name: sorted({part(line, name) for line in every}) for name in FILTERS}
    return {**found, "ratio": sorted(found["ratio"], key=int)}


def at_first(name: str, values: Sequence[str]) -> list[str]:
    """Return what a filter is set to before anybody has: one task, for ranks of several say nothing side by side."""
    return [key for key in TASKS if key in values][:1] if name == "task" else []


def filtered(every: Sequence[Line], chosen: Any) -> list[Line]:
    """Return the lines that have, of every part, one of the chosen values; an empty choice leaves all.

    Raises:
        ValueError: If the choice is none, or names a part or a value that there is not.
    """
    if not isinstance(chosen, dict):
        raise ValueError(f"filters must be lists of values by name, got {shown(chosen)}")  # noqa: TRY004
    for name, values in chosen.items():
        if one_of("name of a filter", name, FILTERS) and not isinstance(values, list):
            raise ValueError(f"filters must be lists of values, got {shown({name: values})}")
        there = {*KNOWN[name], *(part(line, name) for line in every)}
        for value in values:
            one_of(name, str(value), sorted(there, key=lambda each: (len(each), each) if name == "ratio" else each))
    wanted = {name: set(map(str, values)) for name, values in chosen.items() if values}
    return [line for line in every if all(part(line, name) in values for name, values in wanted.items())]


def with_own(every: Sequence[Line], chosen: dict[str, list[str]]) -> list[Line]:
    """Return the lines that filters leave, and a visitor's own whatever they say, unless they are about origins."""
    left = filtered(every, chosen)
    own = () if chosen.get("origin") else (YOURS, SUBMITTED)
    return [line for line in every if line in left or line.origin in own]


def board_shown(chosen: Sequence[Line]) -> str:
    """Return lines as a table."""
    if not chosen:
        return '<p class="mu-note">The filters leave no row: take one away, or run such a method in Try out.</p>'
    return table(list(MEANING.items()), [line.words for line in chosen], label="Leaderboard")


def row_summary(row: Result) -> dict[str, Any]:
    """Return what a row says, for a client."""
    score = row.metrics["score"].value if "score" in row.metrics else None
    span = [row.interval.low, row.interval.high] if row.interval else None
    place = {name: getattr(row, name) for name in ("run_id", *PARTS, "seed", "base_seed")}
    return {**place, "score": score, "interval": span, "provisional": row.provisional, "flags": list(row.flags)}
