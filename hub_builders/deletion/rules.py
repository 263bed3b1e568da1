"""The rule of each deletion family: from a task's rows to deletion order and forget sizes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from mubench.hub_builders.deletion.families import DeletionRequest
from mubench.hub_builders.deletion.forget_lists import ForgetList, read_example_ids, read_published
from mubench.hub_builders.deletion.published_lists import PAPER_LISTS, PaperList
from mubench.hub_builders.deletion.ranks import Deletion, deletion_ranks, forget_size, group_deletion, move_to_front
from mubench.hub_builders.tasks import Task
from mubench.hub_builders.tasks.names import CUSTOM_RATIOS, RATIOS
from mubench.hub_builders.tasks.rows import Row, Splits
from mubench.hub_builders.utils.hash_order import Ranks
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


def _canonical_ranks(task: Task, train: list[Row], seed: int = 0) -> Ranks:
    labels = [row["label"] for row in train] if "label" in task.columns else None
    return deletion_ranks([row["example_id"] for row in train], labels, task=task.key, seed=seed)


def _canonical_deletion(task: Task, seed: int, splits: Splits) -> Deletion:
    """Delete single rows so that the labels keep their shares."""
    ranks = _canonical_ranks(task, splits["train"], seed)
    return Deletion(ranks=ranks, forget={ratio: forget_size(len(ranks), ratio) for ratio in RATIOS})


def _group_deletion(task: Task, seed: int, splits: Splits) -> Deletion:
    train = splits["train"]
    if without := [row["example_id"] for row in train if not row.get("group")]:
        raise ValueError(f"expected a group in every training row of {task.key}, got none in {without[0]}")
    ids, groups = [row["example_id"] for row in train], [row["group"] for row in train]
    return group_deletion(ids, groups, task=task.key, seed=seed)


def _paper_deletion(task: Task, paper: PaperList, listed: ForgetList, splits: Splits) -> Deletion:
    """Delete the rows of a published list, if the rows and their order are those it refers to."""
    train = splits["train"]
    index = {row["source_index"]: i for i, row in enumerate(train)}
    if len(train) != paper.rows or index.keys() != set(range(paper.rows)):
        raise ValueError(
            f"expected {paper.rows} training rows of {task.key} with their indices in the original order, got "
            f"{len(train)} with {len(index.keys() - {None})} indices"
        )
    found = _order_checksum([train[index[i]]["example_id"] for i in range(paper.rows)])
    if found != paper.order:
        raise ValueError(
            f"expected the rows of {task.key} in the order with checksum {paper.order}, got one with {found}"
        )
    ranks = move_to_front([index[i] for i in listed.rows], _canonical_ranks(task, train))
    return Deletion(ranks=ranks, forget=listed.forget)


def _order_checksum(ids: list[str]) -> str:
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
    ranks = _canonical_ranks(task, train)
    listed = sorted((index[name] for name in lines), key=lambda row: int(ranks[row]))
    percent = (200 * len(lines) + len(train)) // (2 * len(train))  # rounded half up
    ratio = min(max(percent, CUSTOM_RATIOS[0]), CUSTOM_RATIOS[-1])
    return Deletion(ranks=move_to_front(listed, ranks), forget={ratio: len(lines)})
