"""Builds one task into a dataset folder: rows, deletion ranks, shards, README. A killed build changes nothing."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from mubench.hub_builders.dataset.readme import (
    MANIFEST,
    Manifest,
    committed,
    data_folder,
    read_manifest,
    task_folders,
    write_readme,
)
from mubench.hub_builders.dataset.shards import files_fingerprint, split_fingerprint, write
from mubench.hub_builders.dataset.sources import as_found, check_options, rows
from mubench.hub_builders.deletion.families import DeletionRequest, check_deletion
from mubench.hub_builders.deletion.ranks import Ranks
from mubench.hub_builders.deletion.rules import deletion_rule
from mubench.hub_builders.raw._rows import Splits
from mubench.hub_builders.tasks import Task, Tier, get_task
from mubench.hub_builders.tasks.names import dataset_folder
from mubench.hub_builders.utils.hints import command

logger = logging.getLogger(__name__)

STAGING = ".staging"


def build(
    task_key: str,
    *,
    tier: Tier = "mini",
    raw: Path | None = None,
    out: Path = Path(),
    family: str = "canonical",
    deletion_seed: int = 0,
    allow_partial: bool = False,
    max_train_rows: int | None = None,
    keep_tier: bool = False,
    paper_splits: Path | None = None,
    forget_ids: Path | None = None,
) -> Path:
    """Build or replace one task of a dataset folder; its other tasks stay as they are.

    Shards are written beside the ones in use, the README is replaced last, then the old shards are removed: at any
    moment readers see the old build or the new one. What a killed build left behind goes with the next one.

    Args:
        task_key: Key of the task table.
        tier: Which rows to take.
        raw: Folder of original files; ``None`` takes the rows of the full and partial tier from the Hub.
        out: Where the dataset folder lies or comes to lie.
        family: Deletion family, which names the folder.
        deletion_seed: 0 is the published deletion order.
        allow_partial: Accept fewer rows than a known release has (partial tier).
        max_train_rows: Keep a hashed, label-balanced subset of the training rows (partial tier).
        keep_tier: Refuse to take the place of a build of another tier.
        paper_splits: Folder of the published lists (family ``paper``); ``None`` downloads them.
        forget_ids: File of the example ids to forget, one a line (family ``custom``).

    Returns:
        The dataset folder.

    Raises:
        ValueError: If an option or the rows are not as expected, or another tier is there that is to be kept.
        FileNotFoundError: If the original files are not there.
    """
    task = get_task(task_key)
    request = DeletionRequest(
        family=family, deletion_seed=deletion_seed, paper_splits=paper_splits, forget_ids=forget_ids
    )
    check_deletion(task, tier, request)
    check_options(task, tier, raw, allow_partial=allow_partial, max_train_rows=max_train_rows)
    folder = Path(out) / dataset_folder(family, deletion_seed)
    replaced = _shown(folder, task)
    if keep_tier and replaced:
        _check_tier(folder, task, tier, replaced)
    delete = deletion_rule(task, request)
    task = as_found(task, tier, raw)
    splits = rows(task, tier, raw, allow_partial, max_train_rows, hold_out=family != "paper")
    deletion = delete(splits)
    _rank(splits, deletion.ranks)
    marks = {"task": task.key, "tier": tier, "family": family, "deletion_seed": deletion_seed}
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        _sweep(folder, task)
        repeat = _command(task, tier, request, raw=raw, allow_partial=allow_partial, max_train_rows=max_train_rows)
        staged = _stage(folder, task, splits, deletion.forget, marks=marks, repeat=repeat)
        others = committed(folder, but=task.key)
        _place(folder, staged)
        write_readme(folder, manifests=[*others.values(), staged])
        _sweep(folder, task)
    if replaced:
        _tell(folder, staged, replaced)
    logger.info("%s: %s in %s", task.key, staged["counts"], folder)
    return folder


def _shown(folder: Path, task: Task) -> Manifest | None:
    """Return the manifest of the build that another is about to replace."""
    shown = task_folders(folder / "README.md").get(task.key)
    if shown is None:
        return None
    try:
        return read_manifest(folder / shown / MANIFEST)
    except ValueError:  # building again is what mends it
        return {"tier": "unknown", "split": "unknown"}


def _check_tier(folder: Path, task: Task, tier: Tier, there: Manifest) -> None:
    """Refuse to replace a build of another tier."""
    if there["tier"] != tier:
        raise ValueError(
            f"expected {folder} without {task.key} or with its tier {tier}, got tier {there['tier']}; build "
            "elsewhere (--out DIR, or DATA=DIR/mu-bench for make), or remove what is there (make clean)"
        )


def _tell(folder: Path, new: Manifest, old: Manifest) -> None:
    """Say that a build took the place of one of another tier or, in the custom family, of another list."""
    if new["tier"] != old["tier"]:
        words = (f"of tier {new['tier']}", f"tier {old['tier']}")
    elif new["family"] == "custom" and new["split"] != old["split"]:
        words = (f"with its list (split {new['split'][:8]})", f"another list (split {old['split'][:8]})")
    else:
        return
    logger.warning("%s: %s %s took the place of %s", folder, new["task"], *words)


def _rank(splits: Splits, ranks: Ranks) -> None:
    """Give every row its rank, put the training rows in deletion order and the others in the order of their ids."""
    train = splits["train"]
    for row, rank in zip(train, ranks.tolist(), strict=True):
        row["deletion_rank"] = rank
    splits["train"] = [train[index] for index in np.argsort(ranks).tolist()]
    for name in splits.keys() - {"train"}:
        splits[name] = sorted(splits[name], key=lambda row: str(row["example_id"]))
        for row in splits[name]:
            row["deletion_rank"] = -1


def _sweep(folder: Path, task: Task) -> None:
    """Remove what the README does not show of a task: staged, never committed and replaced builds."""
    used = task_folders(folder / "README.md").get(task.key, "")
    for left in (folder / "data" / task.key).glob("*/"):
        if left != folder / used:
            shutil.rmtree(left)


def _stage(
    folder: Path, task: Task, splits: Splits, forget: dict[int, int], *, marks: dict[str, Any], repeat: str
) -> Manifest:
    """Write shards and manifest into the staging folder."""
    staging = folder / "data" / task.key / STAGING
    staging.mkdir(parents=True)
    shards = write(staging, task, marks["tier"], splits, forget=forget, marks=marks)
    manifest = {
        **marks,
        "files": files_fingerprint(staging, shards),
        "split": split_fingerprint(task, marks["tier"], splits, forget),
        "counts": {name: len(part) for name, part in splits.items()},
        "forget": forget,
        "labels": list(task.label_names(marks["tier"])),
        "shards": shards,
        "bytes": {name: (staging / name).stat().st_size for names in shards.values() for name in names},
        "command": repeat,
    }
    (staging / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def _place(folder: Path, manifest: Manifest) -> None:
    """Move the staged build to its place; over an equal one file by file, which mends damaged files."""
    staging = folder / "data" / manifest["task"] / STAGING
    final = folder / data_folder(manifest)
    if not final.exists():
        staging.rename(final)
        return
    for file in sorted(staging.iterdir()):
        file.replace(final / file.name)


def _command(
    task: Task,
    tier: Tier,
    request: DeletionRequest,
    *,
    raw: Path | None,
    allow_partial: bool,
    max_train_rows: int | None,
) -> str:
    """Return the command that repeats a build, without this machine's paths."""
    return command(
        "hub_builders",
        "build",
        task.key,
        tier=tier,
        raw="DIR" if raw else None,
        family=request.family,
        deletion_seed=request.deletion_seed,
        max_train_rows=max_train_rows,
        allow_partial=allow_partial,
        paper_splits="DIR" if request.paper_splits else None,
        forget_ids="FILE" if request.forget_ids else None,
    )
