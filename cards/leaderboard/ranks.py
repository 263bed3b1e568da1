"""Ranks of the lines of a table: equal where a paired bootstrap cannot tell lines apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mubench.cards.leaderboard.entries import Entry, beats


def rank_lines(entries: Iterable[Entry]) -> list[Entry]:
    """Order by rank, then by the lower end of S.

    The line with the highest lower end has rank 1, and so has every line that it does not beat (`beats`); of the
    others, the next rank goes to the highest lower end in the same way.
    """
    result: list[Entry] = []
    left = sorted(entries, key=lambda entry: (-(entry.low or 0), -(entry.score or 0), entry.name))
    while left:
        shared = [entry for entry in left if not beats(left[0].draws, entry.draws)]
        left = [entry for entry in left if entry not in shared]
        rank = len(result) + 1
        result += [replace(entry, rank=rank) for entry in shared]
    return result


def rank_methods(methods: Sequence[Entry], *, has_signal: bool) -> tuple[Entry, ...]:
    """Return the lines of methods in their order: ranked ones, then, by name, those without a rank.

    Models, models whose epochs the retrained models selected, and outputs without a model rank among themselves.
    Flagged lines and those without S have no rank, and without a signal none has one.
    """
    rankable = [entry for entry in methods if has_signal and entry.score is not None]
    models, outputs = ([e for e in rankable if e.rows[0].outputs_only is only] for only in (False, True))
    peers = (
        [e for e in models if not e.flags],
        [e for e in models if e.oracle_selected],
        [e for e in outputs if not e.flags],
    )
    unranked = [entry for entry in methods if not any(entry in group for group in peers)]
    ranked = [entry for group in peers for entry in rank_lines(group)]
    return (*ranked, *sorted(unranked, key=lambda entry: entry.name))
