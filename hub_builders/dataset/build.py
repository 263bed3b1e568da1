"""Builds one task of a dataset folder: rows, deletion ranks, shards, README. A killed build changes nothing."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
from mubench.hub_builders.dataset.own_rows import read_own_rows
from mubench.hub_builders.dataset.readme import find_manifests, read_manifests, task_folders, write_readme
from mubench.hub_builders.dataset.shards import split_fingerprint, write_shards
from mubench.hub_builders.dataset.sources import (
    check_filled,
    check_options,
    complete_splits,
    limit_train_rows,
    load_rows,
    with_source_labels,
)
from mubench.hub_builders.dataset.task_file import OwnTask
from mubench.hub_builders.deletion.families import DeletionRequest, check_deletion, deletion_rule
from mubench.hub_builders.deletion.ranks import Deletion
from mubench.hub_builders.tasks import Task, Tier, get_task
from mubench.hub_builders.tasks.names import LISTED, dataset_folder
from mubench.hub_builders.tasks.rows import Splits
from mubench.hub_builders.utils.atomic import owned, write_json
from mubench.hub_builders.utils.checksums import SUMS
from mubench.hub_builders.utils.hash_order import Ranks
from mubench.hub_builders.utils.hints import RECORDED, extend

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
        forget_ids: File of the example ids to forget, one per line (families of lists).

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
            _check_replaced(folder, task, tier, keep_tier=keep_tier)
            delete = deletion_rule(task, request)
            task = with_source_labels(task, tier, raw)
            splits = load_rows(task, tier, raw, **less, hold_out=family != "paper")
            options = {"tier": tier, "raw": raw and "DIR", **less}
            _write(folder, Build(task, tier, splits, delete(splits), request, _repeat([task.key], request, options)))
    return folder


def build_own(
    own: OwnTask,
    *,
    out: Path = Path(),
    family: str = "canonical",
    deletion_seed: int = 0,
    max_train_rows: int | None = None,
    keep_tier: bool = False,
    forget_ids: Path | None = None,
) -> Path:
    """Build or replace the task of a task file, as `build` does one of the table; its tier is ``custom``.

    Args:
        own: The task file.
        out: Parent of the dataset folder.
        family: Deletion family, which names the folder.
        deletion_seed: Seed of the deletion order.
        max_train_rows: Keep a hashed, label-balanced subset of the training rows.
        keep_tier: Refuse to replace a build of another tier.
        forget_ids: File of the example ids to forget, one per line (families of lists).

    Returns:
        The dataset folder.

    Raises:
        ValueError: If an option or a row is invalid.
        FileNotFoundError: If the rows cannot be read.
    """
    tier: Tier = "custom"
    request = DeletionRequest(family=family, deletion_seed=deletion_seed, forget_ids=forget_ids)
    task = own.task()
    check_deletion(task, tier, request)
    if max_train_rows is not None and max_train_rows < 1:
        raise ValueError(f"expected max_train_rows of 1 or more, got {max_train_rows}")
    folder = Path(out) / dataset_folder(family, deletion_seed)
    with owned(folder / f".{task.key}.lock"):
        _check_replaced(folder, task, tier, keep_tier=keep_tier)
        delete = deletion_rule(task, request)
        task, splits = read_own_rows(own)
        splits = complete_splits(task, tier, splits)
        check_filled(task, splits)
        splits = limit_train_rows(task, splits, max_train_rows)
        repeat = _repeat([], request, {"task_file": own.path.name, "max_train_rows": max_train_rows})
        definition = own.definition(task.labels).model_dump(exclude_none=True)
        _write(folder, Build(task, tier, splits, delete(splits), request, repeat, definition))
    return folder


def _describe_place(path: Path | None) -> str:
    """Return where a path leads and when that was last changed, or nothing."""
    return f"{path.resolve()} {path.stat().st_mtime_ns}" if path and path.exists() else ""


class Build(NamedTuple):
    """Rows and deletions of a task, to be written.

    Attributes:
        task: The task.
        tier: Tier of the rows.
        splits: Rows by split.
        deletion: Order of the training rows.
        request: Which rows are deleted.
        repeat: Command that builds it again, with placeholders for local paths.
        definition: Definition of a custom task; ``None`` for tasks of the table.
    """

    task: Task
    tier: Tier
    splits: Splits
    deletion: Deletion
    request: DeletionRequest
    repeat: str
    definition: dict[str, Any] | None = None


def _check_replaced(folder: Path, task: Task, tier: Tier, *, keep_tier: bool) -> None:
    """Raise if a build of another tier is there, and is to be kept."""
    replaced = _current_manifest(folder, task)
    if keep_tier and replaced and replaced["tier"] != tier:
        raise ValueError(
            f"expected {folder} without {task.key} or with its tier {tier}, got tier {replaced['tier']}; build "
            "elsewhere (--out DIR), or remove that build"
        )


def _repeat(words: Sequence[str], request: DeletionRequest, options: Mapping[str, Any]) -> str:
    """Return the command that repeats a build."""
    deletion = {"family": request.family, "deletion_seed": request.deletion_seed}
    lists = {"paper_splits": request.paper_splits and "DIR", "forget_ids": request.forget_ids and "FILE"}
    order = ("tier", "raw", "task_file", *deletion, "max_train_rows", "allow_partial", *lists)
    given = {**options, **deletion, **lists}
    return extend(" ".join([RECORDED, "build", *words]), **{name: given[name] for name in order if name in given})


def _write(folder: Path, built: Build) -> None:
    """Write shards beside those in use, then the README, then remove the old ones."""
    task, splits = built.task, built.splits
    replaced = _current_manifest(folder, task)
    _sort_by_rank(splits, built.deletion.ranks)
    with FileLock(folder / ".lock"):
        _remove_unused(folder, task)
        staged = _stage(folder, built)
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
    """Log that a build replaced one of another tier or, in a family of lists, of another list."""
    if new["tier"] != old["tier"]:
        words = (f"of tier {new['tier']}", f"tier {old['tier']}")
    elif new["family"] in LISTED and new["split"] != old["split"]:
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


def _stage(folder: Path, built: Build) -> Manifest:
    task, tier, splits, forget = built.task, built.tier, built.splits, built.deletion.forget
    family, deletion_seed = built.request.family, built.request.deletion_seed
    marks = {"task": task.key, "tier": tier, "family": family, "deletion_seed": deletion_seed}
    staging = folder / "data" / task.key / STAGING
    staging.mkdir(parents=True)
    shards = write_shards(staging, task, tier, splits, forget=forget, marks=marks)
    manifest = {
        **marks,
        "files": files_fingerprint(shard_sums(staging, shards)),
        "split": split_fingerprint(task, tier, splits, forget),
        "counts": {name: len(part) for name, part in splits.items()},
        "forget": forget,
        "labels": list(task.label_names(tier)),
        "shards": shards,
        "bytes": {name: (staging / name).stat().st_size for names in shards.values() for name in names},
        "command": built.repeat,
        **({"definition": built.definition} if built.definition else {}),
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
