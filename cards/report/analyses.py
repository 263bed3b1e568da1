"""Analyses over one factor: lines of several tables, or of one, that differ in nothing else."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mubench.cards.leaderboard import Table
from mubench.cards.leaderboard.entries import Entry
from mubench.cards.leaderboard.formats import number
from mubench.cards.report.seed_differences import compare_scores
from mubench.hub_builders.utils.tables import markdown_table
from mubench.trainers.metrics.score import SCORE_VERSION

Level = str
_PLAIN = (
    ("tier", "full"), ("family", "canonical"), ("deletion_seed", 0), ("eval_seed", 0),
    ("score_version", SCORE_VERSION),
)  # fmt: skip
NONE = "No rows of real data differ in one factor alone."
LEGEND = (
    "S with its 95 % interval. The difference is the last level less the first, with the interval of the bootstrap: "
    "draws of one split are paired in the rows and models of which both levels have as many, those of two splits in "
    "nothing. A method without a line at a second level is left out, such as one whose best tuned arguments are the "
    "defaults, and so is a line with flags."
)
_ARGUMENTS = "arguments"  # among what a factor ignores
_SETTING = ("task", "tier", "family", "deletion_seed", "ratio", "backbone", "eval_seed", "score_version")


@dataclass(frozen=True)
class Factor:
    """What an analysis varies.

    Attributes:
        title: Heading of the analysis.
        level: The level of a line, in words; ``None`` where the analysis leaves it out.
        ignored: What lines of one analysis may differ in: fields of the setting, and arguments, or all of these.
        plain: The level that every method has, so that an analysis needs another one; ``None`` where any two will do.
    """

    title: str
    level: Callable[[Entry], Level | None]
    ignored: frozenset[str]
    plain: Level | None = None


def _argument(name: str) -> Callable[[Entry], Level]:
    def level(entry: Entry) -> Level:
        value = entry.rows[0].arguments.get(name)
        return "without" if value is None else f"{name} {value}"

    return level


def _origin(entry: Entry) -> Level | None:
    """Return whether a line has default or tuned arguments; ``None`` for others and for controls."""
    return None if entry.origin == "custom" or entry.rows[0].control else entry.origin


REAL = ("full", "partial")  # tiers of the suite's own tasks
FACTORS = (
    Factor("Deletion ratio", lambda entry: f"{entry.rows[0].ratio} %", frozenset({"ratio"})),
    Factor("Model size and architecture", lambda entry: entry.rows[0].backbone, frozenset({"backbone"})),
    Factor("Deletion family", lambda entry: entry.rows[0].family, frozenset({"family"})),
    Factor(
        "LoRA against all weights", _argument("lora_rank"),
        frozenset({"lora_rank", "lora_alpha", "lora_dropout", "lora_targets"}), "without",
    ),
    Factor(
        "Curriculum (SuperLoss)", _argument("curriculum"), frozenset({"curriculum", "curriculum_lambda"}), "without",
    ),
    Factor("Tuned arguments", _origin, frozenset({_ARGUMENTS}), "default"),
)  # fmt: skip


@dataclass(frozen=True)
class Analysis:
    """Lines of methods by level of one factor.

    Attributes:
        title: The factor.
        setting: What all lines share.
        levels: Levels in their order.
        lines: Name and entries by level of every line, in the order of names, which may repeat.
    """

    title: str
    setting: str
    levels: tuple[Level, ...]
    lines: tuple[tuple[str, Mapping[Level, Entry]], ...]


def find_analyses(tables: Iterable[Table]) -> list[Analysis]:
    """Return all analyses that the tables of real rows allow: methods with lines at two levels of a factor or more."""
    entries = [entry for table in tables if table.row.tier in REAL for entry in (*table.entries, *table.controls)]
    return [one for factor in FACTORS for one in _analyses(factor, entries)]


def _analyses(factor: Factor, entries: Sequence[Entry]) -> list[Analysis]:
    groups: dict[str, dict[str, dict[Level, Entry]]] = defaultdict(lambda: defaultdict(dict))
    for entry in entries:
        level = factor.level(entry)
        if level is not None and entry.score is not None and not entry.flags:
            groups[_setting(entry, factor)][_line_key(entry, factor)].setdefault(level, entry)
    found = []
    for setting, lines in groups.items():
        kept = [by_level for by_level in lines.values() if len(by_level) > 1]
        levels = {level for by_level in kept for level in by_level}
        ordered = sorted(levels, key=lambda level: (level != factor.plain, len(level), level))
        named = sorted(((_name(by_level, ordered), by_level) for by_level in kept), key=_place)
        if kept:
            found.append(Analysis(factor.title, setting, tuple(ordered), tuple(named)))
    return found


def _place(line: tuple[str, Mapping[Level, Entry]]) -> tuple[bool, list[tuple[float, str]]]:
    """Return the sort key of a line: methods come before controls, and numbers in names are ordered by value."""
    name, by_level = line
    texts_and_numbers = re.split(r"(\d+(?:\.\d+)?)", name)
    return next(iter(by_level.values())).rows[0].control, [
        (float(part), "") if place % 2 else (-1.0, part) for place, part in enumerate(texts_and_numbers)
    ]


def _name(by_level: Mapping[Level, Entry], ordered: Sequence[Level]) -> str:
    """Return the name of a line at its first level, so that it does not repeat what a later level changes."""
    return next(by_level[level].name for level in ordered if level in by_level)


def _setting(entry: Entry, factor: Factor) -> str:
    row = entry.rows[0]
    shared = {name: getattr(row, name) for name in _SETTING if name not in factor.ignored}
    words = [shared.pop("task"), shared.pop("backbone", ""), f"{shared.pop('ratio')} %" if "ratio" in shared else ""]
    rest = [f"{name} {value}" for name, value in shared.items() if (name, value) not in _PLAIN]
    return ", ".join([word for word in (*words, *rest) if word])


def _line_key(entry: Entry, factor: Factor) -> str:
    """Return what lines of one method share; defaults of architectures may differ where these do."""
    row = entry.rows[0]
    shared = [row.control, row.method, row.method_file, row.foreign_base and row.parent]
    arguments: Mapping[str, object] | str = {
        name: value for name, value in row.arguments.items() if name not in factor.ignored
    }
    if _ARGUMENTS in factor.ignored:
        arguments = {}
    elif "backbone" in factor.ignored and entry.origin != "custom":
        arguments = entry.origin
    return json.dumps([*shared, arguments], sort_keys=True, default=str)


def as_markdown(found: Sequence[Analysis]) -> str:
    """Return every analysis as a table of S, below a legend; an empty text without any."""
    return "\n\n".join([LEGEND, *map(_table, found)]) if found else ""


def _table(one: Analysis) -> str:
    lines = [
        (name, *(_cell(by_level.get(level)) for level in one.levels), _difference(by_level, one.levels))
        for name, by_level in one.lines
    ]
    lacks = _lacks(one)
    heads = (f"{level} (no signal)" if level in lacks else level for level in one.levels)
    table = markdown_table(("method", *heads, "difference"), lines)
    reasons = (f"Not ranked at {level}, {reason}." for level, reason in lacks.items())
    return "\n\n".join([f"**{one.title}**: {one.setting}", table, *reasons])


def _lacks(one: Analysis) -> dict[Level, str]:
    """Return why levels have no signal, and so no ranks."""
    reasons = {
        level: by_level[level].rows[0].no_signal
        for _, by_level in one.lines
        for level in by_level
        if not by_level[level].rows[0].control
    }
    return {level: reason for level, reason in reasons.items() if reason}


def _difference(by_level: Mapping[Level, Entry], levels: Sequence[Level]) -> str:
    """Return a line's S at its last level less that at its first."""
    there = [by_level[level] for level in levels if level in by_level]
    found = compare_scores(there[-1], there[0])
    return f"{number(found.value)} ({number(found.low)} to {number(found.high)})"


def _cell(entry: Entry | None) -> str:
    return "-" if entry is None else f"{number(entry.score)} ({number(entry.low)} to {number(entry.high)})"
