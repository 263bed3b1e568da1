"""The rule of each deletion family: a task's rows in, deletion order and forget sizes out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from mubench.hub_builders.deletion.families import DeletionRequest
from mubench.hub_builders.deletion.forget_lists import Listed, example_ids, published, quoted
from mubench.hub_builders.deletion.published_lists import PAPER_LISTS, PaperList
from mubench.hub_builders.deletion.ranks import (
    Deletion,
    Ranks,
    canonical_deletion,
    deletion_ranks,
    group_deletion,
    listed_first,
)
from mubench.hub_builders.raw._rows import Row, Splits
from mubench.hub_builders.tasks import Task
from mubench.hub_builders.tasks.names import CUSTOM_RATIOS

Rule = Callable[[Splits], Deletion]


def deletion_rule(task: Task, request: DeletionRequest) -> Rule:
    """Read the list that a family needs, and return the rule that ranks a task's rows.

    Args:
        task: The task.
        request: What `check_deletion` let pass.

    Raises:
        ValueError: If a list is not as expected. The rule raises it if list and rows do not go together.
        FileNotFoundError: If a list is not there.
    """
    if request.family == "paper":
        paper = PAPER_LISTS[task.key]
        return partial(_paper, task, paper, published(paper, request.paper_splits))
    if request.family == "custom" and request.forget_ids is not None:
        return partial(_custom, task, example_ids(request.forget_ids), request.forget_ids)
    return partial(_group if request.family == "group" else _canonical, task, request.deletion_seed)


def _ids(rows: list[Row]) -> list[str]:
    return [row["example_id"] for row in rows]


def _labels(task: Task, rows: list[Row]) -> list[object] | None:
    return [row["label"] for row in rows] if "label" in task.columns else None


def _canonical(task: Task, seed: int, splits: Splits) -> Deletion:
    train = splits["train"]
    return canonical_deletion(_ids(train), _labels(task, train), task=task.key, seed=seed)


def _group(task: Task, seed: int, splits: Splits) -> Deletion:
    train = splits["train"]
    if without := [row["example_id"] for row in train if not row.get("group")]:
        raise ValueError(f"expected a group in every training row of {task.key}, got none in {without[0]}")
    return group_deletion(_ids(train), [row["group"] for row in train], task=task.key, seed=seed)


def _canonical_ranks(task: Task, train: list[Row]) -> Ranks:
    return deletion_ranks(_ids(train), _labels(task, train), task=task.key)


def _paper(task: Task, paper: PaperList, listed: Listed, splits: Splits) -> Deletion:
    """Delete what a published list says, if the rows are those it was made for."""
    train = splits["train"]
    place = {row["source_index"]: i for i, row in enumerate(train)}
    if len(train) != paper.rows or place.keys() != set(range(paper.rows)):
        raise ValueError(
            f"expected {paper.rows} training rows of {task.key} with their places in the original order, got "
            f"{len(train)} with {len(place.keys() - {None})} places"
        )
    found = order_checksum([train[place[i]]["example_id"] for i in range(paper.rows)])
    if found != paper.order:
        raise ValueError(
            f"expected the rows of {task.key} in the order with checksum {paper.order}, got one with {found}"
        )
    ranks = listed_first([place[i] for i in listed.rows], _canonical_ranks(task, train))
    return Deletion(ranks=ranks, forget=listed.forget)


def order_checksum(ids: list[str]) -> str:
    """Return the sha256 of example ids in order, one a line."""
    return hashlib.sha256("".join(f"{one}\n" for one in ids).encode()).hexdigest()


def _custom(task: Task, lines: Mapping[str, int], path: Path, splits: Splits) -> Deletion:
    """Delete the rows a user lists, as the nearest ratio."""
    train = splits["train"]
    place = {row["example_id"]: i for i, row in enumerate(train)}
    for name, line in lines.items():
        if name not in place:
            other = [split for split, rows in splits.items() if any(row["example_id"] == name for row in rows)]
            what = f"one of {other[0]}" if other else "an unknown one"
            raise ValueError(
                f"expected ids of training rows of {task.key}, got {what}: {path} line {line}, {quoted(name)}"
            )
    if len(lines) == len(train):
        raise ValueError(f"expected a training row of {task.key} that is not forgotten, got all {len(train)}: {path}")
    ranks = _canonical_ranks(task, train)
    listed = sorted((place[name] for name in lines), key=lambda row: int(ranks[row]))
    ratio = min(max(rounded_percent(len(lines), len(train)), CUSTOM_RATIOS[0]), CUSTOM_RATIOS[-1])
    return Deletion(ranks=listed_first(listed, ranks), forget={ratio: len(lines)})


def rounded_percent(part: int, whole: int) -> int:
    """Return how many percent of ``whole`` a part is, rounded half up."""
    return (200 * part + whole) // (2 * whole)
