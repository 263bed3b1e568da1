"""Checked rows of a task and tier, from the Hub, the original files or the mini recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mubench.hub_builders.deletion.ranks import held_out_groups, held_out_rows, validation_rows
from mubench.hub_builders.mini import MINI
from mubench.hub_builders.raw import HUB, LABELS, RAW
from mubench.hub_builders.tasks import TABLE_TIERS, Task, Tier
from mubench.hub_builders.tasks.rows import Splits
from mubench.hub_builders.utils.hash_order import stratified_ranks

SPLIT_ORDER = ("train", "validation", "test", "ood")


def check_options(
    task: Task, tier: Tier, raw: Path | None = None, *, allow_partial: bool = False, max_train_rows: int | None = None
) -> None:
    """Refuse incompatible options, so that a stand-in is never built by oversight.

    Raises:
        ValueError: If options are incompatible, or the task lacks the tier.
        FileNotFoundError: If ``raw`` is not a folder.
    """
    if tier not in TABLE_TIERS:
        raise ValueError(f"tier must be one of {', '.join(TABLE_TIERS)}, got {tier!r}")
    if max_train_rows is not None and max_train_rows < 1:
        raise ValueError(f"expected max_train_rows of 1 or more, got {max_train_rows}")
    less = allow_partial or max_train_rows is not None
    if less and tier != "partial":
        raise ValueError(f"expected tier partial with allow_partial or max_train_rows, got tier {tier}")
    if tier == "partial" and not less:
        raise ValueError("expected allow_partial or max_train_rows with tier partial, got neither")
    if tier != "mini" and not allow_partial and not task.known_releases:
        got = "tier full" if tier == "full" else f"max_train_rows {max_train_rows} alone"
        raise ValueError(
            f"expected tier partial with allow_partial for {task.key}, which was never released, got {got}"
        )
    if tier == "mini" and raw is not None:
        raise ValueError(f"expected tier full or partial with raw, got tier mini and {raw}")
    if raw is not None and not raw.is_dir():
        raise FileNotFoundError(f"expected a folder of original files as raw, got {raw}")


def with_source_labels(task: Task, tier: Tier, raw: Path | None) -> Task:
    """Return a task with the class names of its original files, if these name them.

    Raises:
        ValueError: If they differ from the task's in the full tier.
        FileNotFoundError: If the original files are missing.
    """
    if raw is None or task.key not in LABELS:
        return task
    names = LABELS[task.key](raw)
    if tier == "full" and names != task.labels:
        raise ValueError(
            f"expected the {len(task.labels)} classes of {task.title} in tier full, got {len(names)} others such as "
            f"{names[0]}: build a stand-in with tier partial and allow_partial"
        )
    return replace(task, labels=names)


def load_rows(
    task: Task,
    tier: Tier,
    raw: Path | None,
    allow_partial: bool = False,
    max_train_rows: int | None = None,
    *,
    hold_out: bool = True,
) -> Splits:
    """Load the splits of a task, and check counts, labels and ids.

    Args:
        task: The task.
        tier: Tier of the rows.
        raw: Folder of original files; ``None`` reads the rows of the full and partial tier from the Hub.
        allow_partial: Accept other row counts than those of a known release.
        max_train_rows: Keep that many training rows: a hashed subset, balanced over the labels.
        hold_out: Take test and validation rows from the training rows of a task that has no others.

    Raises:
        ValueError: If counts, labels or ids are unexpected.
        FileNotFoundError: If the original files are missing.
    """
    readers = MINI if tier == "mini" else HUB
    splits = readers[task.key]() if raw is None else RAW[task.key](raw)
    whole = "test" not in splits and not hold_out
    if "test" not in splits and task.group is None:
        raise ValueError(f"expected test rows of {task.key}, got none")
    splits = complete_splits(task, tier, splits, hold_out=hold_out)
    if not allow_partial:
        known = [task.counts["mini"]] if tier == "mini" else task.known_releases
        _check_counts(task, [_merge_held_out_counts(counts) for counts in known] if whole else known, splits)
    check_filled(task, splits)
    return limit_train_rows(task, splits, max_train_rows)


def complete_splits(task: Task, tier: Tier, splits: Splits, *, hold_out: bool = True) -> Splits:
    """Return splits with the validation and test rows that are missing, after a check of labels and ids.

    Test rows, where there are none, are a tenth of the training rows by hash, and validation rows half as many: whole
    groups where rows have them, else rows of each label. Validation rows alone are a fifth of the test rows.

    Args:
        task: The task.
        tier: Tier of the rows.
        splits: Rows by split, with their ids.
        hold_out: Take test rows from training rows.

    Raises:
        ValueError: If labels or ids are unexpected, or the rows are too few to take some out.
    """
    whole = "test" not in splits and not hold_out
    if "test" not in splits and hold_out:
        splits |= _hold_out_groups(task, splits) if task.group else _hold_out_rows(task, splits)
    if "validation" not in splits and not whole:
        splits |= _split_test_rows(task, splits)
    splits = {name: splits[name] for name in SPLIT_ORDER if name in splits}
    _check_labels(task, tier, splits)
    ids = [row["example_id"] for part in splits.values() for row in part]
    if len(set(ids)) != len(ids):
        raise ValueError(f"expected distinct ids in {task.key}, got {len(ids) - len(set(ids))} repeated")
    return splits


def check_filled(task: Task, splits: Splits) -> None:
    """Raise ``ValueError`` if a split has no rows."""
    if empty := [name for name, rows in splits.items() if not rows]:
        raise ValueError(f"expected rows of {task.key} in every split, got none in {empty[0]}")


def limit_train_rows(task: Task, splits: Splits, most: int | None) -> Splits:
    """Return splits with a hashed subset of the training rows that is balanced over the labels; ``None``: all."""
    return splits if most is None else {**splits, "train": _select_subset(task, splits["train"], most)}


def _hold_out_groups(task: Task, splits: Splits) -> Splits:
    rows = splits["train"]
    place = held_out_groups([row["group"] for row in rows], task=task.key)
    return _divide(splits, [place.get(row["group"], "train") for row in rows])


def _hold_out_rows(task: Task, splits: Splits) -> Splits:
    rows = splits["train"]
    labels = [row["label"] for row in rows] if "label" in task.columns else None
    return _divide(splits, held_out_rows([row["example_id"] for row in rows], labels, task=task.key))


def _divide(splits: Splits, places: Sequence[str]) -> Splits:
    """Return the training rows by their places; there are no other validation rows where the source has some."""
    found: Splits = {"train": [], "test": [], **({} if "validation" in splits else {"validation": []})}
    for row, place in zip(splits["train"], places, strict=True):
        found.get(place, found["train"]).append(row)
    return found


def _split_test_rows(task: Task, splits: Splits) -> Splits:
    test = splits["test"]
    labels = [row["label"] for row in test] if "label" in task.columns else None
    chosen = validation_rows([row["example_id"] for row in test], labels, task=task.key).tolist()
    pairs = list(zip(test, chosen, strict=True))
    return {"validation": [row for row, yes in pairs if yes], "test": [row for row, yes in pairs if not yes]}


def _select_subset(task: Task, train: list[dict[str, object]], most: int) -> list[dict[str, object]]:
    """Return the first rows of a hashed order that is balanced over the labels."""
    if not 0 < most <= len(train):
        raise ValueError(f"expected max_train_rows from 1 to {len(train)}, got {most}")
    labels = [row["label"] for row in train] if "label" in task.columns else None
    ranks = stratified_ranks([str(row["example_id"]) for row in train], labels, prefix=f"subset:{task.key}")
    return [row for row, keep in zip(train, (ranks < most).tolist(), strict=True) if keep]


def _check_labels(task: Task, tier: Tier, splits: Splits) -> None:
    if "label" not in task.columns:
        return
    names = task.label_names(tier)
    for split, part in splits.items():
        seen = np.unique([row["label"] for row in part])
        if not np.isin(seen, np.arange(len(names))).all():
            raise ValueError(f"expected labels 0 to {len(names) - 1} in {task.key} {split}, got {seen.tolist()}")
        if split == "train" and len(seen) < len(names):
            missing = ", ".join(name for index, name in enumerate(names) if index not in seen)
            raise ValueError(f"expected training rows of every label of {task.key}, got none of {missing}")


def _merge_held_out_counts(counts: Mapping[str, int]) -> Mapping[str, int]:
    """Return the counts of a task whose held-out rows remain training rows."""
    kept = {name: count for name, count in counts.items() if name not in ("train", "validation", "test")}
    return {"train": sum(counts.values()) - sum(kept.values()), **kept}


def _check_counts(task: Task, known: Sequence[Mapping[str, int]], splits: Splits) -> None:
    found = {name: len(part) for name, part in splits.items()}
    if found not in known:
        raise ValueError(
            f"expected {' or '.join(map(_format_counts, known))} rows of {task.key}, got {_format_counts(found)}"
        )


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
