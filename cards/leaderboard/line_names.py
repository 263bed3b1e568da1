"""Names of the lines of a table: a method, and the arguments that distinguish its lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from mubench.cards.leaderboard.entries import find_origin
from mubench.trainers.evaluation.result import Result


def name_lines(groups: Sequence[Sequence[Result]]) -> list[str]:
    """Name each group after its method, and the arguments that distinguish it from others of the same method.

    Groups are compared with the defaults of their method, such as those of an earlier version, and where there are
    none, or among controls, with all.
    """
    names, alike = [], defaultdict(list)
    for rows in groups:
        alike[rows[0].method].append(rows[0])
    for rows in groups:
        first, origin = rows[0], find_origin(rows)
        defaults = [] if first.control else [row for row in alike[first.method] if row.tuned == "default"]
        compared = [row.arguments for row in defaults or alike[first.method] if row is not first]
        differing = [k for k in sorted(first.arguments) if any(a.get(k) != first.arguments[k] for a in compared)]
        others = [row.arguments for row in alike[first.method]]
        words = [first.method, *(f"{k}={_show(first.arguments[k], [a.get(k) for a in others])}" for k in differing)]
        if remarks := _remarks(first, origin):
            words.append(f"({', '.join(remarks)})")
        names.append(" ".join(words))
    return names


def _show(value: object, others: Sequence[object]) -> str:
    """Return an argument in words, a float to 12 digits where that distinguishes it from the others."""
    short = _short(value)
    return str(value) if any(_short(one) == short and one != value for one in others) else short


def _short(value: object) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _remarks(row: Result, origin: str) -> list[str]:
    """Return remarks for a line's name: a custom method, arguments other than the defaults, a foreign base model."""
    if row.control:
        return []
    remarks = [] if origin == "default" else [origin]
    remarks += [f"own base {row.foreign_base}"] if row.foreign_base else []
    return [f"custom method {row.method_file[:8]}", *remarks] if row.method_file else remarks
