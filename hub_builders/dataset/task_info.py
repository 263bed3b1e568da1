"""Which tasks are built in a dataset folder or a repository, and what each is; reads no rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mubench.hub_builders.dataset.manifest import MANIFEST, Manifest, read_manifest, task_of
from mubench.hub_builders.dataset.readme import build_command, build_hint, rebuild_hint, task_folders
from mubench.hub_builders.tasks import TASKS, Task
from mubench.hub_builders.tasks.definition import resolve_task
from mubench.hub_builders.tasks.names import (
    DATASET,
    FAMILIES,
    NEEDED,
    check_family,
    dataset_folder,
    deletion_seed_of,
)
from mubench.hub_builders.utils.checksums import SUMS
from mubench.hub_builders.utils.cli import did_you_mean
from mubench.hub_builders.utils.hints import command, extend
from mubench.hub_builders.utils.hub_client import MissingFileError, MissingRepositoryError, commit_of, fetch_file

REAL = "real"  # folder of real data beside mini data
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
        definition: Definition of a custom task, see `tasks.definition`; ``None`` for tasks of the table.
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
    definition: Mapping[str, Any] | None = field(default=None, hash=False)

    @property
    def row(self) -> Task:
        """The task: one of the table, or a custom task."""
        return TASKS[self.task] if self.definition is None else resolve_task(self.task, self.definition)

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
    find_task(task, data=data, family=family)
    return describe(read_built(task, locate(data, family), family))


def info_of_tiers(
    task: str, tiers: Sequence[str], *, data: str | Path = DATASET, family: str = "canonical"
) -> TaskInfo:
    """Return the description of a built task of one of the tiers, or of any if none is given.

    Args:
        task: Task key.
        tiers: The tiers; the first is that of the command in a message.
        data: Local dataset folder or Hub id.
        family: Deletion family.

    Raises:
        FileNotFoundError: If the task is not there; the message names the command that builds the first tier.
        ValueError: If it is of another tier, or damaged.
    """
    root, found = locate(data, family), None
    try:
        found = task_info(task, data=data, family=family)
    except FileNotFoundError as error:
        if not tiers or _is_unreachable(error):
            raise
    if found and (not tiers or found.tier in tiers):
        return found
    seed = deletion_seed_of(Path(root).name, family)
    partial = {"raw": "DIR", "allow_partial": True} if tiers[0] == "partial" else {}
    needed = {**NEEDED.get(family, {}), "tier": tiers[0], **partial}
    line = build_command(task, **needed, family=family, deletion_seed=seed)
    wanted = f"expected {task} of tier {' or '.join(tiers)} in {root}"
    if found:  # a build there would replace it
        out = REAL if found.tier == "mini" else tiers[0]
        place = f"--data {out}/{DATASET if not seed else dataset_folder(family, seed)}"
        raise ValueError(f"{wanted}, got {found.tier}: make it with `{extend(line, out=out)}`, and give {place}")
    hint = build_hint(Path(root), line, dataset_folder(family, seed))
    raise FileNotFoundError(f"{wanted}, got none: make it {hint}")


def find_task(key: str, *, data: str | Path = DATASET, family: str | None = None) -> Task:
    """Return a task of the table, or a custom one that is built in a dataset folder or a repository.

    Args:
        key: Task key.
        data: Local dataset folder or Hub id; ``mu-bench`` stands for the folders of all families.
        family: Deletion family whose build comes first; others, such as none, leave their order.

    Raises:
        ValueError: If there is no such task; the message lists the known ones.
        FileNotFoundError: If the Hub cannot be reached.
    """
    if key in TASKS:
        return TASKS[key]
    families = sorted(FAMILIES, key=lambda one: one != family)
    listed: list[str] = []
    for root in dict.fromkeys(locate(data, one) for one in families):
        try:
            listed += task_folders(fetch(root, "README.md", f"nothing in {root}"))
            return task_of(_read_listed(key, root, f"no {key} in {root}"))
        except FileNotFoundError as error:  # of another family, or nowhere
            if _is_unreachable(error):
                raise
        except ValueError as error:
            raise ValueError(f"{error}; {rebuild_hint(Path(root), key)}") from error
    known = list(dict.fromkeys([*TASKS, *listed]))
    hint = did_you_mean(key, known) or f"; a task of your own is built first, with {command('build')} --task_file FILE"
    raise ValueError(f"task must be one of {', '.join(known)}, got {key!r}{hint}")


def _is_unreachable(error: FileNotFoundError) -> bool:
    """Return whether the Hub did not say that it lacks a file or a repository."""
    cause = error.__cause__
    return isinstance(cause, FileNotFoundError) and not isinstance(cause, MissingFileError | MissingRepositoryError)


def describe(manifest: Manifest) -> TaskInfo:
    """Return the description of a build by its manifest."""
    own: dict[str, Any] = {name: manifest.get(name) for name in TaskInfo.__dataclass_fields__}
    return TaskInfo(**{**own, "labels": tuple(manifest["labels"])})


def locate(data: str | Path, family: str) -> str:
    """Return the folder or repository of a family: beside ``mu-bench``, else ``data`` itself."""
    suffix = FAMILIES[check_family(family)]
    return f"{data}{suffix}" if Path(data).name == DATASET else str(data)


def read_built(task: str, root: str, family: str) -> Manifest:
    """Read the manifest of the build in a README, and add the commit of a Hub repository.

    Raises:
        FileNotFoundError: If the task is not there; the message names the command that builds it.
        ValueError: If it is damaged, or of another family.
    """
    seed = deletion_seed_of(Path(root).name, family)
    line = build_command(task, family=family, deletion_seed=seed, **NEEDED.get(family, {}))
    missing = f"no {task} in {root}: make it {build_hint(Path(root), line, dataset_folder(family, seed))}"
    try:
        manifest = _read_listed(task, root, missing)
    except FileNotFoundError as error:
        if not (found := _family_beside(task, root, family)):
            raise
        raise FileNotFoundError(f"{error}; {found}") from error.__cause__
    except ValueError as error:
        raise ValueError(f"{error}; {rebuild_hint(Path(root), task, family)}") from error
    if manifest["family"] != family:
        raise ValueError(f"expected the deletion family {family} in {root}, got {manifest['family']}")
    return manifest


def _family_beside(task: str, root: str, family: str) -> str:
    """Return a hint at the folder of another family beside this one that has the task, or nothing."""
    start = root.removesuffix(FAMILIES[family])
    for other, suffix in FAMILIES.items():
        readme = Path(f"{start}{suffix}", "README.md")
        with suppress(FileNotFoundError, ValueError):  # a damaged one is reported where it is read
            if other != family and task in task_folders(readme):
                return f"{readme.parent} has it: add --family {other}"
    return ""


def _read_listed(task: str, root: str, missing: str) -> Manifest:
    readme = fetch(root, "README.md", missing)
    commit = None if Path(root).is_dir() else commit_of(readme, "README.md")
    shown = task_folders(readme).get(task)
    if shown is None:
        raise FileNotFoundError(missing)
    path = fetch(root, f"{shown}/{MANIFEST}", missing, commit)
    if commit is not None:
        with suppress(MissingFileError):  # early repositories have none
            fetch_file(root, f"{shown}/{SUMS}", commit)
    return {**read_manifest(path, shown), "commit": commit}


def fetch(root: str, name: str, missing: str, commit: str | None = None) -> Path:
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
