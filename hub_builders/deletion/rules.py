"""The rule of each deletion family: from a task's rows to deletion order and forget sizes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from mubench.hub_builders.deletion.families import DeletionRequest
from mubench.hub_builders.deletion.forget_lists import ForgetList, read_example_ids, read_published
from mubench.hub_builders.deletion.published_lists import PAPER_LISTS, PaperList
from mubench.hub_builders.deletion.ranks import (
    Deletion,
    canonical_deletion,
    deletion_ranks,
    group_deletion,
    move_to_front,
)
from mubench.hub_builders.tasks import Task
from mubench.hub_builders.tasks.names import CUSTOM_RATIOS
from mubench.hub_builders.tasks.rows import Row, Splits
from mubench.hub_builders.utils.text import quote

Rule = Callable[[Splits], Deletion]


def deletion_rule(task: Task, request: DeletionRequest) -> Rule:
    """Read the list of a family, if it has one, and return the rule that ranks a task's rows.

    Args:
        task: The task.
        request: Options that passed `check_deletion`.

    Raises:
        ValueError: If a list is malformed. The rule raises it if list and rows do not match.
        FileNotFoundError: If a list is missing.
    """
    if request.family == "paper":
        paper = PAPER_LISTS[task.key]
        return partial(_paper_deletion, task, paper, read_published(paper, request.paper_splits))
    if request.family == "custom" and request.forget_ids is not None:
        return partial(_custom_deletion, task, read_example_ids(request.forget_ids), request.forget_ids)
    return partial(_group_deletion if request.family == "group" else _canonical_deletion, task, request.deletion_seed)


def _ids(rows: list[Row]) -> list[str]:
    return [row["example_id"] for row in rows]


def _labels(task: Task, rows: list[Row]) -> list[object] | None:
    return [row["label"] for row in rows] if "label" in task.columns else None


def _canonical_deletion(task: Task, seed: int, splits: Splits) -> Deletion:
    train = splits["train"]
    return canonical_deletion(_ids(train), _labels(task, train), task=task.key, seed=seed)


def _group_deletion(task: Task, seed: int, splits: Splits) -> Deletion:
    train = splits["train"]
    if without := [row["example_id"] for row in train if not row.get("group")]:
        raise ValueError(f"expected a group in every training row of {task.key}, got none in {without[0]}")
    return group_deletion(_ids(train), [row["group"] for row in train], task=task.key, seed=seed)


def _paper_deletion(task: Task, paper: PaperList, listed: ForgetList, splits: Splits) -> Deletion:
    """Delete the rows of a published list, if the rows and their order are those it refers to."""
    train = splits["train"]
    index = {row["source_index"]: i for i, row in enumerate(train)}
    if len(train) != paper.rows or index.keys() != set(range(paper.rows)):
        raise ValueError(
            f"expected {paper.rows} training rows of {task.key} with their indices in the original order, got "
            f"{len(train)} with {len(index.keys() - {None})} indices"
        )
    found = order_checksum([train[index[i]]["example_id"] for i in range(paper.rows)])
    if found != paper.order:
        raise ValueError(
            f"expected the rows of {task.key} in the order with checksum {paper.order}, got one with {found}"
        )
    ranks = move_to_front(
        [index[i] for i in listed.rows], deletion_ranks(_ids(train), _labels(task, train), task=task.key)
    )
    return Deletion(ranks=ranks, forget=listed.forget)


def order_checksum(ids: list[str]) -> str:
    """Return the SHA-256 of example ids in order, one per line."""
    return hashlib.sha256("".join(f"{one}\n" for one in ids).encode()).hexdigest()


def _custom_deletion(task: Task, lines: Mapping[str, int], path: Path, splits: Splits) -> Deletion:
    """Delete the rows of a user's list, as the nearest ratio."""
    train = splits["train"]
    index = {row["example_id"]: i for i, row in enumerate(train)}
    for name, line in lines.items():
        if name not in index:
            others = [split for split, rows in splits.items() if any(row["example_id"] == name for row in rows)]
            found = f"one of {others[0]}" if others else "an unknown one"
            raise ValueError(
                f"expected ids of training rows of {task.key}, got {found}: {path} line {line}, {quote(name)}"
            )
    if len(lines) == len(train):
        raise ValueError(f"expected a training row of {task.key} that is not forgotten, got all {len(train)}: {path}")
    ranks = deletion_ranks(_ids(train), _labels(task, train), task=task.key)
    listed = sorted((index[name] for name in lines), key=lambda row: int(ranks[row]))
    ratio = min(max(nearest_percent(len(lines), len(train)), CUSTOM_RATIOS[0]), CUSTOM_RATIOS[-1])
    return Deletion(ranks=move_to_front(listed, ranks), forget={ratio: len(lines)})


def nearest_percent(part: int, whole: int) -> int:
    """Return ``part`` in percent of ``whole``, rounded half up."""
    return (200 * part + whole) // (2 * whole)
