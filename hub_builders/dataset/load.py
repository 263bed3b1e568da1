"""Reads a task back: one Arrow copy serves all ratios, because forget and retain rows are chosen by rank."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, DatasetDict, load_dataset
from datasets.exceptions import DatasetsError

from mubench.hub_builders.dataset.readme import MANIFEST, Manifest, data_folder, holds_ids, read_manifest, task_folders
from mubench.hub_builders.hub.client import commit_of, fetch_file
from mubench.hub_builders.tasks import get_task
from mubench.hub_builders.tasks.names import (
    DATASET,
    FAMILIES,
    check_family,
    check_ratio,
    config_name,
    dataset_folder,
    deletion_seed_of,
)
from mubench.hub_builders.utils.hints import NEEDED, command, extended

HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")


@dataclass(frozen=True)
class TaskInfo:
    """What a built task is.

    Attributes:
        task: Task key.
        tier: Tier of the rows; a stand-in is never shown as the real thing.
        family: Deletion family.
        deletion_seed: 0 is the published one.
        files: Fingerprint of the shards.
        split: Fingerprint of ids, ranks and contents: equal for equal rows and deletions.
        counts: Rows per split.
        forget: Training rows deleted, per ratio that there is.
        labels: Class names; those of a stand-in are its own.
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
            ValueError: If the build has no such ratio; the message names those it has.
        """
        if ratio not in self.forget:
            known = ", ".join(map(str, sorted(self.forget)))
            raise ValueError(f"ratio of {self.task} ({self.family} family) must be one of {known}, got {ratio}")
        return self.forget[ratio]


def task_info(task: str, *, data: str | Path = DATASET, family: str = "canonical") -> TaskInfo:
    """Describe a built task.

    Args:
        task: Task key.
        data: Local dataset folder or Hub id; ``mu-bench`` stands for the sister of it that holds the family.
        family: Deletion family.

    Raises:
        ValueError: If an argument or a file is not as expected.
        FileNotFoundError: If the task is not there; the message names the command that makes it.
    """
    return _info(_manifest(task, _root(data, family), family))


def load_task(
    task: str, ratio: int | None = None, *, data: str | Path = DATASET, family: str = "canonical"
) -> DatasetDict:
    """Load a task: train, validation, test (and ood), or at a ratio forget and retain in place of train.

    Args:
        task: Task key.
        ratio: Deletion ratio in percent; ``None`` loads the training rows undivided.
        data: Local dataset folder or Hub id; ``mu-bench`` stands for the sister of it that holds the family.
        family: Deletion family.

    Raises:
        ValueError: If an argument or a file is not as expected; a damaged file is named.
        FileNotFoundError: If the task is not there; the message names the command that makes it.
    """
    checked = None if ratio is None else check_ratio(ratio, family)
    root = _root(data, family)
    manifest = _manifest(task, root, family)
    if holds_ids(manifest):
        raise FileNotFoundError(_rows_elsewhere(root, manifest))
    size = None if checked is None else _info(manifest).forget_size(checked)
    if Path(root).is_dir():
        _check_sizes(Path(root), manifest)
    splits = _loaded(root, manifest)
    if size is None:
        return splits
    forget, retain = forget_retain(splits.pop("train"), size)
    return DatasetDict({"forget": forget, "retain": retain, **splits})


def task_shards(task: str, *, data: str | Path = DATASET, family: str = "canonical") -> dict[str, list[Path]]:
    """Return the files of every split of a built task; those of a Hub repository are fetched, ids alone or rows.

    Raises:
        ValueError: If an argument or a file is not as expected.
        FileNotFoundError: If the task or a file of it is not there; the message names the command that makes it.
    """
    root = _root(data, family)
    manifest = _manifest(task, root, family)
    place, missing = data_folder(manifest), f"no whole {task} in {root}"
    return {
        split: [_fetched(root, f"{place}/{name}", missing, manifest["commit"]) for name in names]
        for split, names in manifest["shards"].items()
    }


def forget_retain(train: Dataset, size: int) -> tuple[Dataset, Dataset]:
    """Divide all training rows of a task by rank, without copying any.

    Args:
        train: The whole ``train`` split, in any order.
        size: Rows to forget, as `TaskInfo.forget_size` says.

    Raises:
        ValueError: If rows are missing, or none or all would be forgotten.
    """
    table = train.select_columns("deletion_rank").with_format("arrow")[:]
    ranks = table["deletion_rank"].to_numpy()
    if not np.array_equal(np.sort(ranks), np.arange(len(ranks))):
        raise ValueError(f"expected the whole train split with ranks 0 to {len(ranks) - 1}, got other ranks")
    if not 0 < size < len(ranks):
        raise ValueError(f"expected 1 to {len(ranks) - 1} rows to forget, got {size}")
    if ranks[0] == 0 and (np.diff(ranks) == 1).all():
        return train.select(range(size)), train.select(range(size, len(ranks)))
    return train.select(np.flatnonzero(ranks < size)), train.select(np.flatnonzero(ranks >= size))


def _info(manifest: Manifest) -> TaskInfo:
    own = {name: manifest[name] for name in TaskInfo.__dataclass_fields__ if name in manifest}
    return TaskInfo(**{**own, "labels": tuple(manifest["labels"])})


def _root(data: str | Path, family: str) -> str:
    """Return where a family lies: beside a folder or repository called ``mu-bench``, else just where ``data`` says."""
    suffix = FAMILIES[check_family(family)]
    return f"{data}{suffix}" if Path(data).name == DATASET else str(data)


def _manifest(task: str, root: str, family: str) -> Manifest:
    """Read the manifest of the build that a README shows, and add the commit of a Hub repository both are of."""
    get_task(task)
    seed = deletion_seed_of(Path(root).name, family)
    line = command("hub_builders", "build", task, family=family, deletion_seed=seed, **NEEDED.get(family, {}))
    missing = f"no {task} in {root}: make it {_building(root, line, dataset_folder(family, seed))}"
    readme = _fetched(root, "README.md", missing)
    commit = None if Path(root).is_dir() else commit_of(readme, "README.md")
    shown = task_folders(readme).get(task)
    if shown is None:
        raise FileNotFoundError(missing)
    manifest = read_manifest(_fetched(root, f"{shown}/{MANIFEST}", missing, commit))
    if manifest["family"] != family:
        raise ValueError(f"expected the deletion family {family} in {root}, got {manifest['family']}")
    return {**manifest, "commit": commit}


def _fetched(root: str, name: str, missing: str, commit: str | None = None) -> Path:
    """Return a file of a local dataset folder or, if there is no such folder, of a Hub repository."""
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


def _rows_elsewhere(root: str, manifest: Manifest) -> str:
    """Say how to come by rows whose ids alone are published."""
    check = command("hub_builders", "verify", manifest["task"], data=root, family=manifest["family"])
    return (
        f"expected rows of {manifest['task']} in {root}, got ids alone, since its licence does not let them be passed "
        f"on: build them with `{manifest['command']}` and check them with `{check}`"
    )


def _loaded(root: str, manifest: Manifest) -> DatasetDict:
    try:
        return load_dataset(root, config_name(manifest["task"]), revision=manifest["commit"])
    except (DatasetsError, OSError, ValueError) as error:
        if Path(root).is_dir():
            _check_readable(Path(root), manifest)
        raise ValueError(f"expected {manifest['task']} from {root}, got: {str(error).splitlines()[0]}") from error


def _check_sizes(root: Path, manifest: Manifest) -> None:
    for path, size in _shards(root, manifest).items():
        found = path.stat().st_size if path.is_file() else 0
        if found != size:
            raise ValueError(f"expected {size} bytes, got {found}: {path}; {_mending(root, manifest)}")


def _check_readable(root: Path, manifest: Manifest) -> None:
    for path in _shards(root, manifest):
        try:
            pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"expected parquet, got damage: {path}; {_mending(root, manifest)}") from error


def _building(root: str | Path, line: str, name: str) -> str:
    """Say how to build a task where it was looked for: a build names its folder itself, and is told where it lies."""
    path = Path(root)
    return f"with `{extended(line, out=path.parent)}`" if path.name == name else f"in {name} with `{line}`"


def _mending(root: Path, manifest: Manifest) -> str:
    name = dataset_folder(manifest["family"], manifest["deletion_seed"])
    return f"build it again {_building(root, manifest['command'], name)}"


def _shards(root: Path, manifest: Manifest) -> dict[Path, int]:
    return {root / data_folder(manifest) / name: size for name, size in manifest["bytes"].items()}
