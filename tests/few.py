"""A few rows of a mini task and a recipe of two passes over them: any kind of model, trained in a second."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import pytest

from mubench.hub_builders.build import build
from mubench.hub_builders.mini import MINI
from mubench.hub_builders.raw.rows import Row
from mubench.hub_builders.tasks import BACKBONES, TASKS
from mubench.hub_builders.workbench import Workbench, workbench

ROWS = {"train": 96, "validation": 16, "test": 32, "ood": 16}
RATIO = 10
# A backbone is looked at on the first task that has it.
TASK_OF = {
    backbone: key
    for key, task in reversed(TASKS.items())
    for backbone in task.recipes
    if BACKBONES[backbone].hub_id is None
}
_rows_of = functools.cache(lambda key: MINI[key]())


def some(rows: list[Row], count: int) -> list[Row]:
    """Return so many rows: the first of every label, then the others in their order."""
    first = {row.get("label"): place for place, row in reversed(list(enumerate(rows)))}
    order = sorted(range(len(rows)), key=lambda place: place != first[rows[place].get("label")])
    return [rows[place] for place in order[:count]]


def shrink(patch: pytest.MonkeyPatch, backbone: str, **changes: Any) -> str:
    """Make the mini task of a backbone small and its recipe short, and return the task's key."""
    key = TASK_OF[backbone]
    few = {split: [dict(row) for row in some(rows, ROWS[split])] for split, rows in _rows_of(key).items()}
    short = {"epochs": 2, "batch_size": 32, "warmup": 0.0}
    patch.setitem(MINI, key, lambda: few)
    patch.setitem(TASKS[key].counts, "mini", {split: len(rows) for split, rows in few.items()})
    recipe = TASKS[key].recipes[backbone]
    patch.setitem(TASKS[key].recipes, backbone, dataclasses.replace(recipe, **{**short, **changes}))
    return key


def few_rows(patch: pytest.MonkeyPatch, backbone: str, out: Path, **changes: Any) -> Workbench:
    """Return the bench of a backbone on a few rows of its task, built into a folder."""
    key = shrink(patch, backbone, **changes)
    return workbench(key, backbone, data=str(build(key, out=out)))
