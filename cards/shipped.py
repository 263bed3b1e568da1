"""The shipped result rows: every method on every mini task, written by ``make matrix``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mubench.cards.leaderboard import Table, tables
from mubench.trainers.evaluation.result import read_results

SHIPPED = Path(__file__).parent / "results"


@cache
def shipped_tables() -> tuple[Table, ...]:
    """Return the ranked tables of the shipped rows.

    Raises:
        FileNotFoundError: If the suite comes without them.
        ValueError: If one of them is damaged, or rows of one table do not go together.
    """
    return tuple(tables(read_results(SHIPPED), results=SHIPPED))
