"""Builds one task of a dataset folder: rows, deletion ranks, shards, README. A killed build changes nothing."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from mubench.hub_builders.dataset.manifest import (
    MANIFEST,
    Manifest,
    data_folder,
    files_fingerprint,
    read_manifest,
    shard_sums,
    write_build_sums,
)
from mubench.hub_builders.dataset.readme import find_manifests, read_manifests, task_folders, write_readme
from mubench.hub_builders.dataset.shards import split_fingerprint, write_shards
from mubench.hub_builders.dataset.sources import check_options, load_rows, with_source_labels
from mubench.hub_builders.deletion.families import DeletionRequest, check_deletion, deletion_rule
from mubench.hub_builders.tasks import Task, Tier, get_task
from mubench.hub_builders.tasks.names import dataset_folder
from mubench.hub_builders.tasks.rows import Splits
from mubench.hub_builders.utils.atomic import owned, write_json
from mubench.hub_builders.utils.checksums import SUMS
from mubench.hub_builders.utils.hash_order import Ranks
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
    """Build or replace one task of a dataset folder; its other tasks are kept.

    Shards are written beside those in use, the README is replaced last, then the old shards are removed: at any moment
    readers see the old build or the new one. The next build removes the remains of a killed one. While another process
    builds the task there, it waits, and where that was the very same build, it is done.

    Args:
        task_key: Key of the task table.
        tier: Tier of the rows.
        raw: Folder of original files; ``None`` reads the rows of the full and partial tier from the Hub.
        out: Parent of the dataset folder.
        family: Deletion family, which names the folder.
        deletion_seed: Seed of the deletion order; 0 is the published one.
        allow_partial: Accept fewer rows than a known release has (partial tier).
        max_train_rows: Keep a hashed, label-balanced subset of the training rows (partial tier).
        keep_tier: Refuse to replace a build of another tier.
        paper_splits: Folder of the published lists (family ``paper``); ``None`` downloads them.
        forget_ids: File of the example ids to forget, one per line (family ``custom``).

    Returns:
        The dataset folder.

    Raises:
        ValueError: If an option or the rows are invalid, or ``keep_tier`` forbids the build.
        FileNotFoundError: If the original files are missing.
    """
    task = get_task(task_key)
    request = DeletionRequest(
        family=family, deletion_seed=deletion_seed, paper_splits=paper_splits, forget_ids=forget_ids
    )
    check_deletion(task, tier, request)
    check_options(task, tier, raw, allow_partial=allow_partial, max_train_rows=max_train_rows)
    folder = Path(out) / dataset_folder(family, deletion_seed)
    less: dict[str, Any] = {"allow_partial": allow_partial, "max_train_rows": max_train_rows}
    places = [_describe_place(path) for path in (raw, paper_splits, forget_ids)]
    purpose = f"build {task.key} {tier} {family} {deletion_seed} {less} {keep_tier} {places}"
    with owned(folder / f".{task.key}.lock", purpose) as finished:
        if not finished:
            _build(folder, task, request, tier=tier, raw=raw, keep_tier=keep_tier, **less)
    return folder


def _describe_place(path: Path | None) -> str:
    """Return where a path leads and when that was last changed, or nothing."""
    return f"{path.resolve()} {path.stat().st_mtime_ns}" if path and path.exists() else ""


def _build(
    folder: Path,
    task: Task,
    request: DeletionRequest,
    *,
    tier: Tier,
    raw: Path | None,
    keep_tier: bool,
    allow_partial: bool,
    max_train_rows: int | None,
) -> None:
    replaced = _current_manifest(folder, task)
    if keep_tier and replaced and replaced["tier"] != tier:
        raise ValueError(
            f"expected {folder} without {task.key} or with its tier {tier}, got tier {replaced['tier']}; build "
            "elsewhere (--out DIR, or DATA=DIR/mu-bench for make), or remove that build (make clean)"
        )
    delete = deletion_rule(task, request)
    task = with_source_labels(task, tier, raw)
    splits = load_rows(task, tier, raw, allow_partial, max_train_rows, hold_out=request.family != "paper")
    deletion = delete(splits)
    _sort_by_rank(splits, deletion.ranks)
    family, deletion_seed = request.family, request.deletion_seed
    marks = {"task": task.key, "tier": tier, "family": family, "deletion_seed": deletion_seed}
    options = {"tier": tier, "raw": raw and "DIR", "family": family, "deletion_seed": deletion_seed}
    options |= {"max_train_rows": max_train_rows, "allow_partial": allow_partial}
    options |= {"paper_splits": request.paper_splits and "DIR", "forget_ids": request.forget_ids and "FILE"}
    repeat = command("hub_builders", "build", task.key, **options)  # with placeholders for local paths
    with FileLock(folder / ".lock"):
        _remove_unused(folder, task)
        staged = _stage(folder, task, splits, deletion.forget, marks=marks, repeat=repeat)
        others = _other_manifests(folder, task)
        _install(folder, staged)
        write_readme(folder, manifests=[*others.values(), staged])
        _remove_unused(folder, task)
    if replaced:
        _warn_of_replacement(folder, staged, replaced)
    logger.info("%s: %s in %s", task.key, staged["counts"], folder)


def _current_manifest(folder: Path, task: Task) -> Manifest | None:
    shown = _listed_folders(folder).get(task.key)
    if shown is None:
        return None
    try:
        return read_manifest(folder / shown / MANIFEST)
    except ValueError:  # a new build repairs it
        return {"tier": "unknown", "split": "unknown"}


def _listed_folders(folder: Path) -> dict[str, str]:
    """Return the data folder of every task in the README; of a damaged one, those of the manifests that are there."""
    try:
        return task_folders(folder / "README.md")
    except ValueError:
        if not (found := find_manifests(folder)):
            raise  # it is another project's
        return {task: data_folder(one) for task, one in found.items()}


def _other_manifests(folder: Path, task: Task) -> dict[str, Manifest]:
    """Return the manifests of the other tasks; a damaged README is kept beside the one that takes its place."""
    try:
        return read_manifests(folder, but=task.key)
    except ValueError as error:
        kept = folder / "README.damaged.md"
        shutil.copyfile(folder / "README.md", kept)
        logger.warning("%s: it is written anew, and kept as %s", error, kept.name)
        return {key: one for key, one in find_manifests(folder).items() if key != task.key}


def _warn_of_replacement(folder: Path, new: Manifest, old: Manifest) -> None:
    """Log that a build replaced one of another tier or, in the custom family, of another list."""
    if new["tier"] != old["tier"]:
        words = (f"of tier {new['tier']}", f"tier {old['tier']}")
    elif new["family"] == "custom" and new["split"] != old["split"]:
        words = (f"with its list (split {new['split'][:8]})", f"another list (split {old['split'][:8]})")
    else:
        return
    logger.warning("%s: %s %s replaced %s", folder, new["task"], *words)


def _sort_by_rank(splits: Splits, ranks: Ranks) -> None:
    """Add every row's rank, and sort training rows by deletion order and the others by id."""
    train = splits["train"]
    for row, rank in zip(train, ranks.tolist(), strict=True):
        row["deletion_rank"] = rank
    splits["train"] = [train[index] for index in np.argsort(ranks).tolist()]
    for name in splits.keys() - {"train"}:
        splits[name] = sorted(splits[name], key=lambda row: str(row["example_id"]))
        for row in splits[name]:
            row["deletion_rank"] = -1


def _remove_unused(folder: Path, task: Task) -> None:
    """Remove the builds of a task that the README does not list: staged, uncommitted and replaced ones."""
    used = _listed_folders(folder).get(task.key, "")
    for path in (folder / "data" / task.key).glob("*/"):
        if path != folder / used:
            shutil.rmtree(path)
    for path in folder.glob(".README.md.*"):
        path.unlink()


def _stage(
    folder: Path, task: Task, splits: Splits, forget: dict[int, int], *, marks: dict[str, Any], repeat: str
) -> Manifest:
    staging = folder / "data" / task.key / STAGING
    staging.mkdir(parents=True)
    shards = write_shards(staging, task, marks["tier"], splits, forget=forget, marks=marks)
    manifest = {
        **marks,
        "files": files_fingerprint(shard_sums(staging, shards)),
        "split": split_fingerprint(task, marks["tier"], splits, forget),
        "counts": {name: len(part) for name, part in splits.items()},
        "forget": forget,
        "labels": list(task.label_names(marks["tier"])),
        "shards": shards,
        "bytes": {name: (staging / name).stat().st_size for names in shards.values() for name in names},
        "command": repeat,
    }
    write_json(staging / MANIFEST, manifest)
    write_build_sums(staging, shards)
    return manifest


def _install(folder: Path, manifest: Manifest) -> None:
    """Move the staged build into place; over an equal one file by file, which repairs damaged files."""
    staging = folder / "data" / manifest["task"] / STAGING
    final = folder / data_folder(manifest)
    if not final.exists():
        staging.rename(final)
        return
    (final / SUMS).unlink(missing_ok=True)  # else a reader would compare new files with old sums
    for file in sorted(staging.iterdir(), key=lambda file: file.name == SUMS):
        file.replace(final / file.name)
