"""Deletion families: a description of each, the tasks that have it, and its rule: from rows to deletion order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from mubench.hub_builders.deletion.forget_lists import ForgetList, read_example_ids, read_published
from mubench.hub_builders.deletion.published_lists import PAPER_LISTS, PaperList
from mubench.hub_builders.deletion.ranks import Deletion, deletion_ranks, forget_size, group_deletion, move_to_front
from mubench.hub_builders.tasks import TASKS, Task, Tier
from mubench.hub_builders.tasks.names import CUSTOM_RATIOS, LISTED, RATIOS, check_family, check_seed
from mubench.hub_builders.tasks.rows import Row, Splits
from mubench.hub_builders.utils.hash_order import Ranks
from mubench.hub_builders.utils.text import quote

Rule = Callable[[Splits], Deletion]


class FamilyText(NamedTuple):
    """Description of a deletion family for cards: a sentence, and how rows are selected by the deletion ``{seed}``."""

    summary: str
    rule: str


_VALIDATION = "Validation rows come from the original test rows where a task has no\nvalidation split."
_HOLD_OUT = (
    f"{_VALIDATION} Training rows are cut only where it has no test split either: a tenth of its groups by hash\n"
    "(without groups: of the rows of each label) becomes test, and half as many validation, before rows are forgotten."
)

_LIST_RULE = (
    "The rows whose `example_id` a list names are forgotten, whatever its order, as one ratio: the nearest\n"
    "whole percentage of the training rows, at least 1 and at most 99. Rows are ranked in canonical order, those\n"
    f"listed before the others. {_HOLD_OUT}"
)


def _memorised_text(level: str, meaning: str) -> FamilyText:
    return FamilyText(
        summary=f"Family memorised_{level}: rows of {level} memorisation{meaning}.",
        rule="The list is one that `mubench memorised` writes: a third of a canonical forget set in the order of the\n"
        "leave-out loss, the mean loss of models retrained without a row, less that of base models.\n"
        f"{_LIST_RULE}",
    )


FAMILY_TEXTS: dict[str, FamilyText] = {
    "canonical": FamilyText(
        summary="Canonical family: single rows, the labels keep their shares.",
        rule='Within each label, rows are ordered by `sha256("{seed}:<task>:<example_id>")`; '
        "a row's key is (position + 0.5) / rows of\nthe label, and the r % with the smallest keys are forgotten. "
        "So the sets are nested, follow from the ids, and keep the\nshares of the labels. "
        f"{_HOLD_OUT}",
    ),
    "group": FamilyText(
        summary="Group family: whole groups of rows, so that no row related to a deleted one remains.",
        rule='Groups are ordered by `sha256("{seed}:<task>:<group>")` and forgotten whole until r % of the training\n'
        'rows is reached or passed; within a group rows follow `sha256("{seed}:<task>:<example_id>")`. So the sets\n'
        "are nested, may be larger than r % and equal for neighbouring ratios, and can be recomputed from the ids.\n"
        f"{_HOLD_OUT}",
    ),
    "paper": FamilyText(
        summary="Paper family: the sets published with the original benchmark, with their faults.",
        rule="The first r tenths of a published list are forgotten, in its order; the other rows follow in canonical\n"
        "order. A list is taken only if its SHA-256 is the published one and the rows are, by number and checksum,\n"
        f"in the order it was made for. {_VALIDATION} Training rows are never cut, so where there is no\n"
        "test split there is none.",
    ),
    "custom": FamilyText(
        summary="Custom family: a forget set that the user lists by example id.",
        rule=_LIST_RULE,
    ),
    "memorised_low": _memorised_text("low", ", the negative control: to forget them should show no signal"),
    "memorised_middle": _memorised_text("middle", ""),
    "memorised_high": _memorised_text("high", ", which a model knows only if it was trained on them"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionRequest:
    """Which rows a build deletes.

    Attributes:
        family: Deletion family.
        deletion_seed: Seed of the deletion order; 0 is the published one.
        paper_splits: Folder of the published lists; ``None`` downloads them.
        forget_ids: File of example ids to forget, one per line.
    """

    family: str = "canonical"
    deletion_seed: int = 0
    paper_splits: Path | None = None
    forget_ids: Path | None = None


def known_tasks(family: str, tier: Tier = "mini") -> list[str]:
    """Return the keys of the tasks with a deletion family and a tier, in the order of the table.

    Raises:
        ValueError: If the family is unknown.
    """
    check_family(family)
    has = {"group": lambda task: task.group is not None, "paper": lambda task: _is_proven(task.key)}
    tasks = {key: task for key, task in TASKS.items() if tier != "full" or task.known_releases}
    return [key for key, task in tasks.items() if has.get(family, lambda _: True)(task)]


def check_deletion(task: Task, tier: Tier, request: DeletionRequest) -> None:
    """Refuse incompatible options before anything is read.

    Raises:
        ValueError: If options are incompatible, or the task lacks the family; the message says why.
        FileNotFoundError: If ``paper_splits`` is not a folder.
    """
    family, seed = check_family(request.family), request.deletion_seed
    check_seed("deletion_seed", seed)
    if seed and family in ("paper", *LISTED):
        raise ValueError(f"expected deletion seed 0 with family {family}, whose sets are given, got {seed}")
    for name, own in (("paper_splits", ("paper",)), ("forget_ids", LISTED)):
        if (value := getattr(request, name)) is not None and family not in own:
            raise ValueError(f"expected family {', '.join(own)} with {name}, got family {family} and {value}")
    if family in LISTED and request.forget_ids is None:
        raise ValueError(f"expected forget_ids with family {family}, a file of example ids, one per line; got none")
    if family == "group" and task.group is None:
        known = ", ".join(known_tasks("group")) or "none"
        raise ValueError(f"expected a task whose rows have groups ({known}) with family group, got {task.key}")
    if family == "paper":
        _check_paper(task, tier, request.paper_splits)


def _check_paper(task: Task, tier: Tier, folder: Path | None) -> None:
    if tier != "full":
        raise ValueError(f"expected tier full with family paper, whose lists are about the original rows, got {tier}")
    if not _is_proven(task.key):
        paper = PAPER_LISTS.get(task.key)
        reason = paper.unproven if paper else "there is no published list"
        raise ValueError(f"expected a task whose rows are known in the order of its list, got {task.key}: {reason}")
    if folder is not None and not folder.is_dir():
        raise FileNotFoundError(f"expected a folder of list files as paper_splits, got {folder}")


def _is_proven(task: str) -> bool:
    return task in PAPER_LISTS and PAPER_LISTS[task].order is not None


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
    if request.family in LISTED and request.forget_ids is not None:
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
