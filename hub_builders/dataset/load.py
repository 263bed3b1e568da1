"""Loads built tasks; one Arrow copy serves all ratios, because forget and retain rows are selected by rank."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from datasets import Dataset, DatasetDict, load_dataset
from datasets.exceptions import DatasetsError

from mubench.hub_builders.dataset.manifest import (
    MANIFEST,
    Manifest,
    check_shards,
    data_folder,
    holds_ids,
    read_manifest,
)
from mubench.hub_builders.dataset.readme import build_hint, rebuild_hint, task_folders
from mubench.hub_builders.tasks import get_task
from mubench.hub_builders.tasks.names import (
    DATASET,
    FAMILIES,
    check_family,
    check_ratio,
    dataset_folder,
    deletion_seed_of,
)
from mubench.hub_builders.utils.checksums import SUMS
from mubench.hub_builders.utils.hints import NEEDED, command
from mubench.hub_builders.utils.hub_client import MissingFileError, commit_of, fetch_file

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


@dataclass(frozen=True)
class TaskInfo:
    """Description of a built task.

    Attributes:
        task: Task key.
        tier: Tier of the rows.
        family: Deletion family.
        deletion_seed: Seed of the deletion order; 0 is the published one.
        files: Fingerprint of the shards.
        split: Fingerprint of ids, ranks and contents: equal for equal rows and deletions.
        counts: Number of rows by split.
        forget: Number of deleted training rows by ratio.
        labels: Class names, which may differ from the task's for a stand-in.
    """

    task: str
    tier: str
    family: str
    deletion_seed: int
    files: str
    split: str
    counts: dict[str, int]
    forget: dict[int, int]
    labels: tuple[str, ...]

    def forget_size(self, ratio: int) -> int:
        """Return how many training rows a ratio deletes.

        Raises:
            ValueError: If the build lacks the ratio; the message lists the known ones.
        """
        if ratio not in self.forget:
            known = ", ".join(map(str, sorted(self.forget)))
            raise ValueError(f"ratio of {self.task} ({self.family} family) must be one of {known}, got {ratio}")
        return self.forget[ratio]


def task_info(task: str, *, data: str | Path = DATASET, family: str = "canonical") -> TaskInfo:
    """Return the description of a built task; arguments and errors as of `load_task`."""
    return _task_info(_read_manifest(task, _locate(data, family), family))


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
    root = _locate(data, family)
    manifest = _read_manifest(task, root, family)
    if holds_ids(manifest):
        check = command("hub_builders", "verify", task, data=root, family=family)
        raise FileNotFoundError(
            f"expected rows of {task} in {root}, got only ids, since its licence forbids redistribution: build them "
            f"with `{manifest['command']}` and check them with `{check}`"
        )
    size = None if checked is None else _task_info(manifest).forget_size(checked)
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
    root = _locate(data, family)
    return _checked_shards(root, _read_manifest(task, root, family))


def _checked_shards(root: str, manifest: Manifest) -> dict[str, list[Path]]:
    """Return the files of every split after a comparison with what was built, so that no cache hides a changed one."""
    place, local = data_folder(manifest), Path(root).is_dir()
    folder, advice = Path(root, place), _rebuild_hint(root, manifest)
    if not local:
        names = [name for part in manifest["shards"].values() for name in part]
        missing = f"no whole {manifest['task']} in {root}"
        folder = [_fetch(root, f"{place}/{name}", missing, manifest["commit"]).parent for name in names][-1]
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


def _task_info(manifest: Manifest) -> TaskInfo:
    own = {name: manifest[name] for name in TaskInfo.__dataclass_fields__}
    return TaskInfo(**{**own, "labels": tuple(manifest["labels"])})


def _locate(data: str | Path, family: str) -> str:
    """Return the folder or repository of a family: beside ``mu-bench``, else ``data`` itself."""
    suffix = FAMILIES[check_family(family)]
    return f"{data}{suffix}" if Path(data).name == DATASET else str(data)


def _read_manifest(task: str, root: str, family: str) -> Manifest:
    """Read the manifest of the build in a README, and add the commit of a Hub repository."""
    get_task(task)
    seed = deletion_seed_of(Path(root).name, family)
    line = command("hub_builders", "build", task, family=family, deletion_seed=seed, **NEEDED.get(family, {}))
    missing = f"no {task} in {root}: make it {build_hint(Path(root), line, dataset_folder(family, seed))}"
    readme = _fetch(root, "README.md", missing)
    commit = None if Path(root).is_dir() else commit_of(readme, "README.md")
    try:
        shown = task_folders(readme).get(task)
        if shown is None:
            raise FileNotFoundError(missing)
        path = _fetch(root, f"{shown}/{MANIFEST}", missing, commit)
        if commit is not None:
            with suppress(MissingFileError):  # early repositories have none
                fetch_file(root, f"{shown}/{SUMS}", commit)
        manifest = read_manifest(path, shown)
    except ValueError as error:
        raise ValueError(f"{error}; {rebuild_hint(Path(root), task, family)}") from error
    if manifest["family"] != family:
        raise ValueError(f"expected the deletion family {family} in {root}, got {manifest['family']}")
    return {**manifest, "commit": commit}


def _fetch(root: str, name: str, missing: str, commit: str | None = None) -> Path:
    """Return a file of a local dataset folder or, without such a folder, of a Hub repository."""
    if not Path(root).is_dir() and "/" in root:
        if not HUB_ID.fullmatch(root):
            raise FileNotFoundError(
                f"expected a folder, or NAMESPACE/NAME on the Hub, got no folder {root}; {missing}"
            )
        try:
            return fetch_file(root, name, commit)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}; {missing}") from error
    if not (path := Path(root) / name).is_file():
        raise FileNotFoundError(missing)
    return path


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
    return f"build it again {build_hint(Path(root), manifest['command'], name)}"
