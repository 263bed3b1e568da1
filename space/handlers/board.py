"""The leaderboard: shipped rows, those of ``./results``, a visitor's own runs, and submitted rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from charts.scatter import Mark, front, scatter
from jobs.paths import RESULTS

from handlers.input_checks import check_choice
from handlers.runs import existing_runs
from mubench.cards.leaderboard import TIERS_BY_DATA, ResultFolder, Table, shipped_tables
from mubench.cards.leaderboard.entries import ONE_SEED_SPREAD, Entry, make_entry
from mubench.cards.leaderboard.formats import cells
from mubench.cards.leaderboard.grouping import setting_of
from mubench.cards.leaderboard.table import CURVE
from mubench.hub_builders.tasks import BACKBONES, TASKS, TIERS
from mubench.hub_builders.tasks.names import FAMILIES, RATIOS
from mubench.hub_builders.utils.text import quote
from mubench.trainers.evaluation.controls import CONTROLS
from mubench.trainers.evaluation.result import Result
from mubench.trainers.methods import METHODS

# What ranks are within, and what names a line.
TABLE_SETTING = ("tier", "task", "backbone", "ratio", "family")
SETTING = (*TABLE_SETTING, "method")
SHIPPED, HERE, YOURS, SUBMITTED, CONTROL = "shipped", "here", "yours", "submitted", "control"
RANKED = (SHIPPED, HERE)
ORIGINS = (SHIPPED, HERE, YOURS, SUBMITTED)
STYLE = {SHIPPED: "mu-run", HERE: "mu-c2", YOURS: "mu-c4", SUBMITTED: "mu-test", CONTROL: "mu-base"}
# Valid values of every filter, to which lines may add others.
VALUES: dict[str, tuple[str, ...]] = {
    "tier": TIERS, "task": tuple(TASKS), "backbone": tuple(BACKBONES), "ratio": tuple(map(str, RATIOS)),
    "family": tuple(FAMILIES), "method": (*METHODS, *CONTROLS), "origin": ORIGINS,
}  # fmt: skip
FILTERS = tuple(VALUES)
COLUMNS = {
    "rank": "By the lower end of S's interval; lines that a paired bootstrap cannot tell from the first of their rank "
    "share it (=). * provisional: fewer than 5 retrained models or 3 base seeds. apart: the epoch was selected with "
    "the retrained models, and such lines rank among themselves. Controls, your own runs and submitted rows are "
    "never ranked.",
    "method": "The method, and the arguments that distinguish it from other lines of the same method.",
    "seeds": "Seeds behind S, and runs where these are more: runs of one base model of several are one seed. The "
    f"spread of few is pooled with {ONE_SEED_SPREAD}, the largest measured.",
    "S": "1 = retrained, 0 = untouched or destroyed; higher is better.",
    "95 % interval": "Bootstrap over rows, base and retrained models, and the spread between seeds, drawn from S = 0 "
    "to 1; the verdict on one run leaves the seeds out. The lines are S of retrained models, and of models that kept "
    "half of the forget set.",
    "row": "Distance of the confidence in each forget row to the retrained models'; 0 = retrained, 1 = base.",
    "mean": "Distance of the mean score on forget rows to the retrained models'; lower is better.",
    "memb.": "Membership part of S: advantage of the strongest of seven attacks over that on retrained models; lower "
    "is better.",
    "util.": "Share of the retrained score lost on retain, test or ood rows; lower is better.",
    "shift.": "row on slightly changed inputs, where a model that memorised its answers fails; lower is better.",
    "gap": "Mean distance of averages to retrained; can be cheated, for comparison only.",
    "KL": "KL divergence to retrained on forget rows, in nats; lower is better.",
    "time": "Training seconds as a share of retraining's; lower is better.",
    "passes": "Examples forward plus twice those backward, as a share of retraining's; lower is better.",
    "useful": "Whether S is above that of retraining for as many passes. yes: the whole interval of the difference is "
    "above 0; maybe: S is above, but not the whole interval.",
    "setting": "Tier, task, backbone and the percentage deleted.",
    "origin": "shipped: measured, comes with the suite. here: from this Space's results folder, ranked separately. "
    "yours: a run of yours. submitted: submitted by you, not verified.",
}
HEAD = tuple(COLUMNS)
# Concurrent visitors wait for one computation instead of repeating it.
LOCK = Lock()


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """A line of the leaderboard."""

    entry: Entry
    origin: str
    tied: bool = False
    table: Table | None = None

    @property
    def row(self) -> Result:
        return self.entry.rows[0]

    @property
    def kind(self) -> str:
        """Its origin, unless it is a control."""
        return CONTROL if self.row.control else self.origin

    @cached_property
    def cells(self) -> tuple[str, ...]:
        """Its cells, in the order of ``HEAD``."""
        rank, name, *rest = cells(self.entry, self.table)
        if self.kind not in RANKED:
            rank = self.kind
        elif self.tied:
            rank = f"={rank}"
        row = self.row
        setting = [f"{row.task} ({row.tier}), {row.backbone}, {row.ratio} %"]
        setting += [] if row.family == "canonical" else [row.family]
        setting += [f"deletion seed {row.deletion_seed}"] if row.deletion_seed else []
        setting += [f"evaluation seed {row.eval_seed}"] if row.eval_seed else []
        return (rank, name, *rest, ", ".join(setting), self.origin)


def board_lines(own: Any = None, submitted: Sequence[Result] = ()) -> list[Line]:
    """Return all lines, by setting: shipped, those of ``./results``, a visitor's own and submitted, then controls.

    Raises:
        FileNotFoundError: If the suite comes without its shipped rows.
        ValueError: If a row is damaged, or rows of one table were judged against different models.
    """
    with LOCK:
        lines = [*_lines(shipped_tables(), SHIPPED), *_lines(local_tables(), HERE)]
    rows = {run.row.run_id: run.row for run in existing_runs(own) if run.row is not None}
    for origin, unranked in ((YOURS, rows.values()), (SUBMITTED, submitted)):
        lines += [Line(make_entry(row.method, [row]), origin) for row in unranked]

    def order(line: Line) -> tuple[Any, ...]:
        row = line.row
        return (row.tier, row.task, row.backbone, row.ratio, row.family, row.split, list(STYLE).index(line.kind))

    return sorted(lines, key=order)  # a stable sort: ranks stay in order


def local_tables() -> tuple[Table, ...]:
    """Return the tables of the rows in ``./results``."""
    return _result_folder(RESULTS.absolute()).tables()


@lru_cache(maxsize=1)
def _result_folder(folder: Path) -> ResultFolder:
    return ResultFolder(folder)


@lru_cache(maxsize=2)  # the shipped ones and the local ones
def _lines(ranked: tuple[Table, ...], origin: str) -> tuple[Line, ...]:
    lines: list[Line] = []
    for each in ranked:
        ranks = [(entry.oracle_selected, entry.rows[0].outputs_only, entry.rank) for entry in each.entries]
        lines += [
            Line(entry, origin, tied=entry.rank is not None and ranks.count(rank) > 1, table=each)
            for entry, rank in zip(each.entries, ranks, strict=True)
        ]
        lines += [Line(entry, origin, table=each) for entry in each.controls]
    return tuple(lines)


def _value(line: Line, name: str) -> str:
    """Return the value of a line that a filter compares."""
    return line.origin if name == "origin" else str(getattr(line.row, name))


def filter_choices(lines: Sequence[Line]) -> dict[str, list[str]]:
    """Return the choices of every filter."""
    found = {name: sorted({_value(line, name) for line in lines}) for name in FILTERS}
    return {**found, "ratio": sorted(found["ratio"], key=int)}


def default_filters(lines: Sequence[Line]) -> dict[str, list[str]]:
    """Return the initial filters: one setting, as ranks of several are not comparable.

    Real data come before mini tasks; within a tier, the table with the most distinct ranks comes first.
    """
    tiers, tasks = list(TIERS_BY_DATA), list(TASKS)

    def order(line: Line) -> tuple[int, int, int]:
        ranks = {entry.rank for entry in line.table.entries if entry.rank} if line.table else set()
        return _position(line.row.tier, tiers), -len(ranks), _position(line.row.task, tasks)

    tables = {id(line.table): line for line in lines if line.table}  # one line per table
    first = min(tables.values(), key=order, default=None)
    return {name: [str(getattr(first.row, name))] if first and name in TABLE_SETTING else [] for name in FILTERS}


def _position(name: str, names: Sequence[str]) -> int:
    return names.index(name) if name in names else len(names)


def filter_lines(lines: Sequence[Line], filters: Any) -> list[Line]:
    """Return the lines that match every filter, each a list of values; an empty list matches all.

    Raises:
        ValueError: If the filters are not lists by name, or one has an unknown name or value.
    """
    if not isinstance(filters, dict):
        raise ValueError(f"filters must be lists of values by name, got {quote(filters)}")  # noqa: TRY004
    for name, values in filters.items():
        if check_choice("name of a filter", name, FILTERS) and not isinstance(values, list):
            raise ValueError(f"filters must be lists of values, got {quote({name: values})}")
        known = sorted({*VALUES[name], *(_value(line, name) for line in lines)}, key=int if name == "ratio" else str)
        for value in values:
            check_choice(name, str(value), known)
    wanted = {name: set(map(str, values)) for name, values in filters.items() if values}
    return [line for line in lines if all(_value(line, name) in values for name, values in wanted.items())]


def filter_keeping_own(lines: Sequence[Line], filters: dict[str, list[str]]) -> list[Line]:
    """Return the lines that match the filters and, unless origins are filtered, all of the visitor's own lines."""
    matching = {*filter_lines(lines, filters)}
    own = () if filters.get("origin") else (YOURS, SUBMITTED)
    return [line for line in lines if line in matching or line.origin in own]


def row_summary(row: Result) -> dict[str, Any]:
    """Return identity, setting, score and flags of a row as plain data."""
    score = row.metrics["score"].value if "score" in row.metrics else None
    interval = [row.interval.low, row.interval.high] if row.interval else None
    setting = {name: getattr(row, name) for name in ("run_id", *SETTING, "seed", "base_seed")}
    return {**setting, "score": score, "interval": interval, "provisional": row.provisional, "flags": list(row.flags)}


def render_cost(lines: Sequence[Line]) -> str:
    """Return S against cost, with the compute-matched curve where all lines have the setting of one table."""
    several = _are_several(lines)
    marks = [
        Mark(e.passes, e.score, _title(line, several), STYLE[line.kind], e.low, e.high)
        for line in lines
        if (e := line.entry).score is not None and e.passes and e.passes > 0
    ]
    marks = _label(marks, [(-mark.x, mark.y) for mark in marks])  # cheap and good
    kinds = {line.kind for line in lines}
    key = {kind: style for kind, style in STYLE.items() if kind in kinds}
    names = ("cost as a share of retraining's", "S")
    return scatter(marks, names, log=True, y=(0, 1.08), key=key, lines=_curve(lines, marks))


def _curve(lines: Sequence[Line], marks: Sequence[Mark]) -> dict[str, tuple[str, list[tuple[float, float]]]]:
    """Return the compute-matched curve of the one table whose setting all lines have, if there is one."""
    tables = dict.fromkeys(line.table for line in lines if line.table)
    if not marks or len(tables) != 1 or len({setting_of(line.row) for line in lines}) != 1:
        return {}
    (table,) = tables
    costs, scores = table.curve_line(min(mark.x for mark in marks))
    points = list(zip(costs.tolist(), scores.tolist(), strict=True))
    return {CURVE: ("mu-retrained", points)} if points else {}


def render_parts(lines: Sequence[Line]) -> str:
    """Return forgetting against utility, the two halves of S."""
    marks, several = [], _are_several(lines)
    for line in lines:
        parts = [line.entry.metrics[name] for name in ("row", "mean", "membership", "utility")]
        if line.entry.score is None or None in parts:
            continue
        distance, lost = max(*(float(part or 0) for part in parts[:3]), 0.0), float(parts[3] or 0)
        marks.append(Mark(1 - min(distance, 1), 1 - min(lost, 1), _title(line, several), STYLE[line.kind]))
    marks = _label(marks, [(mark.x, mark.y) for mark in marks])
    return scatter(marks, ("forgetting (1 = as retrained)", "utility (1 = as retrained)"), y=(0, 1.08))


def _label(marks: Sequence[Mark], values: Sequence[tuple[float, float]]) -> list[Mark]:
    """Return marks with labels on the Pareto front alone, where y is not 0; the names of all are shown on hover."""
    best = front(values)
    return [dataclasses.replace(mark, label=is_best and mark.y > 0) for mark, is_best in zip(marks, best, strict=True)]


def _are_several(lines: Sequence[Line]) -> bool:
    """Whether the lines are of more than one setting."""
    return len({(line.row.task, line.row.backbone, line.row.ratio) for line in lines}) > 1


def _title(line: Line, several: bool) -> str:
    """Return a line's title, with its setting where the lines are of several."""
    row = line.row
    return line.entry.title + (f", {row.task} {row.backbone} {row.ratio} %" if several else "")
