"""Loads built tasks; one Arrow copy serves all ratios, because forget and retain rows are selected by rank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from datasets import Dataset, DatasetDict, load_dataset
from datasets.exceptions import DatasetsError

from mubench.hub_builders.dataset.manifest import Manifest, check_shards, data_folder, holds_ids
from mubench.hub_builders.dataset.readme import build_hint
from mubench.hub_builders.dataset.task_info import (
    HUB_ID,
    TaskInfo,
    describe,
    fetch,
    find_task,
    locate,
    read_built,
    task_info,
)
from mubench.hub_builders.tasks.names import DATASET, check_ratio, dataset_folder
from mubench.hub_builders.utils.hints import command, shorten_recorded

__all__ = [
    "HUB_ID",
    "TaskInfo",
    "find_task",
    "forget_mask",
    "load_task",
    "split_by_rank",
    "task_info",
    "task_shards",
]


def load_task(
    task: str, ratio: int | None = None, *, data: str | Path = DATASET, family: str = "canonical"
) -> DatasetDict:
    """Load a task: train, validation, test (and ood), or at a ratio forget and retain in place of train.

    Args:
        task: Task key.
        ratio: Deletion ratio in percent; ``None`` loads the training rows undivided.
        data: Local dataset folder or Hub id; ``mu-bench`` stands for the folder of the family.
        family: Deletion family.

    Raises:
        ValueError: If an argument or a file is invalid; the message names a damaged file.
        FileNotFoundError: If the task is missing; the message names the command that builds it.
    """
    checked = None if ratio is None else check_ratio(ratio, family)
    root = locate(data, family)
    find_task(task, data=data, family=family)
    manifest = read_built(task, root, family)
    if holds_ids(manifest):
        check = command("verify", task, data=root, family=family)
        raise FileNotFoundError(
            f"expected rows of {task} in {root}, got only ids, since its licence forbids redistribution: build them "
            f"with `{shorten_recorded(manifest['command'])}` and check them with `{check}`"
        )
    size = None if checked is None else describe(manifest).forget_size(checked)
    splits = _load(root, manifest)
    if size is None:
        return splits
    forget, retain = split_by_rank(splits.pop("train"), size)
    return DatasetDict({"forget": forget, "retain": retain, **splits})


def task_shards(task: str, *, data: str | Path = DATASET, family: str = "canonical") -> dict[str, list[Path]]:
    """Return the files of every split of a built task, with rows or only ids; those of a Hub repository are fetched.

    Raises:
        ValueError: If an argument is invalid, or a file is not the one that was built.
        FileNotFoundError: If the task or one of its files is missing; the message names the command that builds it.
    """
    root = locate(data, family)
    find_task(task, data=data, family=family)
    return _checked_shards(root, read_built(task, root, family))


def _checked_shards(root: str, manifest: Manifest) -> dict[str, list[Path]]:
    """Return the files of every split after a comparison with what was built, so that no cache hides a changed one."""
    place, local = data_folder(manifest), Path(root).is_dir()
    folder, advice = Path(root, place), _rebuild_hint(root, manifest)
    if not local:
        names = [name for part in manifest["shards"].values() for name in part]
        missing = f"no whole {manifest['task']} in {root}"
        folder = [fetch(root, f"{place}/{name}", missing, manifest["commit"]).parent for name in names][-1]
        advice = "remove it from the cache, and it is fetched again"
    check_shards(folder, manifest, advice)
    return {split: [(folder / name).absolute() for name in names] for split, names in manifest["shards"].items()}


def _ranks(train: Dataset) -> npt.NDArray[np.int32]:
    return np.asarray(train.select_columns("deletion_rank").with_format("arrow")[:][0], np.int32)


def forget_mask(train: Dataset, size: int) -> npt.NDArray[np.bool_]:
    """Return which rows of ``train`` are the first ``size`` in deletion order, ``(N,)``."""
    return _ranks(train) < size


def split_by_rank(train: Dataset, size: int) -> tuple[Dataset, Dataset]:
    """Split all training rows of a task by rank into forget and retain set, without copying them.

    Args:
        train: The whole ``train`` split, in any order.
        size: Size of the forget set, see `TaskInfo.forget_size`.

    Raises:
        ValueError: If rows are missing, or one of the two sets would be empty.
    """
    ranks = _ranks(train)
    if not np.array_equal(np.sort(ranks), np.arange(len(ranks))):
        raise ValueError(f"expected the whole train split with ranks 0 to {len(ranks) - 1}, got other ranks")
    if not 0 < size < len(ranks):
        raise ValueError(f"expected 1 to {len(ranks) - 1} rows to forget, got {size}")
    if ranks[0] == 0 and (np.diff(ranks) == 1).all():
        return train.select(range(size)), train.select(range(size, len(ranks)))
    return train.select(np.flatnonzero(ranks < size)), train.select(np.flatnonzero(ranks >= size))


def _load(root: str, manifest: Manifest) -> DatasetDict:
    """Load the shards by name, since a damaged README may list others; the Arrow copy is that of their times."""
    files = {split: list(map(str, paths)) for split, paths in _checked_shards(root, manifest).items()}
    try:
        return load_dataset("parquet", data_files=files)
    except (DatasetsError, pa.ArrowException, OSError, ValueError) as error:
        first = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"expected {manifest['task']} from {root}, got: {first}") from error


def _rebuild_hint(root: str, manifest: Manifest) -> str:
    name = dataset_folder(manifest["family"], manifest["deletion_seed"])
    return f"build it again {build_hint(Path(root), shorten_recorded(manifest['command']), name)}"
