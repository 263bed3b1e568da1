"""The leaderboard's table of a setting, among the rows here and those that come with the suite."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from handlers.board import local_tables
from handlers.choices import chosen_setting
from mubench.cards.leaderboard import Table, shipped_tables
from mubench.trainers.evaluation.result import Result

FIELDS = ("task", "tier", "family", "deletion_seed", "ratio", "backbone", "split", "eval_seed")


def table_of(row: Result) -> Table | None:
    """Return the table of a row's setting: of the rows here, else of those that come with the suite."""
    fields = (*FIELDS, "score_version")
    wanted = [getattr(row, name) for name in fields]
    tables = (*local_tables(), *shipped_tables())
    return next((one for one in tables if [getattr(one.row, name) for name in fields] == wanted), None)


def base_seconds(task: str, backbone: str, ratio: str) -> float | None:
    """Return about how long a base model trains: as the retrained models of the shipped rows did, for all rows."""
    setting = chosen_setting(task, backbone)
    return _seconds(setting.task.key, setting.info.split, setting.backbone, int(ratio))


@lru_cache(maxsize=256)
def _seconds(task: str, split: str, backbone: str, ratio: int) -> float | None:
    wanted: tuple[Any, ...] = (task, split, backbone, ratio)
    for table in shipped_tables():
        row = table.row
        if (row.task, row.split, row.backbone, row.ratio) == wanted:
            retrained = (
                one for control in table.controls if control.rows[0].method == "retrain" for one in control.rows
            )
            seconds = [one.cost["seconds"] for one in retrained if "seconds" in one.cost]
            return float(np.mean(seconds)) / (1 - ratio / 100) if seconds else None
    return None
