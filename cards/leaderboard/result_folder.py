"""Tables of a folder of result rows that may change, and of the shipped rows, which do not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from threading import Lock

from mubench.cards.leaderboard.grouping import group_rows, make_table, tables
from mubench.cards.leaderboard.table import Table
from mubench.trainers.evaluation.result import Result, paused_collector, read_result, read_results

# Every method on every mini task, written by `make matrix`, and the rows of real data, written by `make results-real`.
SHIPPED = Path(__file__).parents[1] / "results"


class ResultFolder:
    """The tables of a folder of result rows: a file is read once, and a table ranked again once its rows change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._rows: dict[tuple[str, int, int], Result] = {}
        self._tables: dict[tuple[int, ...], Table] = {}
        self._lock = Lock()  # callers at one time wait for one computation

    def tables(self) -> tuple[Table, ...]:
        """Return the tables of the rows that the folder has now; none where there is no folder.

        Raises:
            ValueError: If a row is damaged, or rows of one table were judged against different references.
        """
        with self._lock:
            files = self._files()
            if files != list(self._rows):
                with paused_collector():
                    self._update(files)
            return tuple(self._tables.values())

    def _files(self) -> list[tuple[str, int, int]]:
        """Return path, time and size of every row's file."""
        if not self.folder.is_dir():
            return []
        found = [(entry.path, entry.stat()) for entry in os.scandir(self.folder) if entry.name.endswith(".json")]
        return sorted((path, stat.st_mtime_ns, stat.st_size) for path, stat in found)

    def _update(self, files: Sequence[tuple[str, int, int]]) -> None:
        rows = {file: self._rows.get(file) or read_result(file[0]) for file in files}
        # Rows that stay are the same objects.
        groups = {tuple(map(id, group)): group for group in group_rows(rows.values())}
        known = self._tables
        self._tables = {key: known.get(key) or make_table(group) for key, group in groups.items()}
        self._rows = rows


@cache
def shipped_tables() -> tuple[Table, ...]:
    """Return the ranked tables of the shipped rows.

    Raises:
        FileNotFoundError: If the suite comes without them.
        ValueError: If one of them is damaged, or rows of one table do not go together.
    """
    return tuple(tables(read_results(SHIPPED), results=SHIPPED))
