"""Manifests of builds, and whether a build is what was written: a process compares the sums of its files once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mubench.hub_builders.tasks import TASKS, Task, Tier
from mubench.hub_builders.tasks.definition import Definition, resolve_task
from mubench.hub_builders.utils.checksums import SUMS, read_sums, sha256_of, write_sums
from mubench.hub_builders.utils.text import quote

Manifest = dict[str, Any]
MANIFEST = "manifest.json"
IDS = "ids-"
MAX_BYTES = 2**24  # those of today have 3 kB

_Count = Annotated[int, Field(ge=0)]
_Hash = Annotated[str, Field(pattern="^[0-9a-f]+$")]
_Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]
_SHARD = r"^(train-d\d\d(-\d+)?|(ids-)?(train|validation|test|ood)(-rest)?(-\d+)?)\.parquet$"
_Shard = Annotated[str, Field(pattern=_SHARD)]


class _Schema(BaseModel):
    """Schema of a manifest; ``forget`` has the number of deleted rows by ratio."""

    model_config = ConfigDict(extra="forbid", strict=True)

    task: _Line
    tier: Tier
    family: _Line
    deletion_seed: _Count
    files: _Hash
    split: _Hash
    counts: dict[str, _Count]
    forget: Annotated[dict[_Count, _Count], Field(min_length=1)]
    labels: list[str]
    shards: dict[str, list[_Shard]]
    bytes: dict[str, _Count]
    command: _Line
    definition: Definition | None = None

    @model_validator(mode="after")
    def _check_splits(self) -> _Schema:
        if not self.counts.get("train") or "train" not in self.shards:
            raise ValueError("no training rows")
        return self

    @model_validator(mode="after")
    def _check_task(self) -> _Schema:
        if (self.tier == "custom") != (self.definition is not None):
            raise ValueError(f"expected a definition with tier custom and only there, got tier {self.tier}")
        if self.definition is not None:
            resolve_task(self.task, self.definition)
        elif self.task not in TASKS:
            raise ValueError(f"expected a task of the suite, or a definition, got {self.task!r}")
        return self


def read_manifest(path: Path, listed: str | None = None) -> Manifest:
    """Read one task's manifest.

    Args:
        path: Its file.
        listed: Data folder that it must describe; ``None`` is any.

    Raises:
        ValueError: If it is malformed, of another folder, or has another SHA-256 than the list beside it states.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise OSError("too long")  # noqa: TRY301
        manifest = _Schema.model_validate_json(path.read_bytes()).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        got = f"{first['msg']} at {quote('.'.join(map(str, first['loc'])))}" if first["loc"] else first["msg"]
        raise ValueError(
            f"expected a manifest with {', '.join(_Schema.model_fields)}, got another ({got}): {path}"
        ) from error
    except OSError as error:
        raise ValueError(f"expected a manifest, got an unreadable file: {path}") from error
    sums = read_sums(path.with_name(SUMS))
    if sums and sums.get(MANIFEST) != sha256_of(path):
        raise ValueError(f"expected the manifest that was built, got a changed one: {path}")
    if listed is not None and data_folder(manifest) != listed:
        raise ValueError(f"expected the manifest of {listed}, got that of {data_folder(manifest)}: {path}")
    return manifest


def data_folder(manifest: Manifest) -> str:
    """Return the folder of a build's shards within the dataset folder."""
    return f"data/{manifest['task']}/{manifest['files'][:8]}"


def is_own(manifest: Manifest) -> bool:
    """Return whether the rows are of files in the layout of the task's: a part of them, or data of one's own."""
    return manifest["tier"] == "partial" and "--raw" in manifest["command"]


def licence(manifest: Manifest) -> str:
    """Return the licence of a build's rows: the task's is not that of data of one's own."""
    return "other" if is_own(manifest) else task_of(manifest).licence_of(manifest["tier"])


def task_of(manifest: Manifest) -> Task:
    """Return the task of a build: one of the table, or a custom task."""
    return resolve_task(manifest["task"], manifest.get("definition"))


def holds_ids(manifest: Manifest) -> bool:
    """Return whether a repository has only ids and ranks of a task, because its rows may not be published."""
    return any(name.startswith(IDS) for names in manifest["shards"].values() for name in names)


def files_fingerprint(sums: Mapping[str, str]) -> str:
    """Return the SHA-256 over the names and SHA-256 sums of all shards."""
    total = hashlib.sha256()
    for name, found in sorted(sums.items()):
        total.update(f"{name} {found}\n".encode())
    return total.hexdigest()


def shard_sums(folder: Path, shards: Mapping[str, list[str]]) -> dict[str, str]:
    """Return the SHA-256 of every shard in a folder by name."""
    return {name: sha256_of(folder / name) for names in shards.values() for name in names}


def write_build_sums(folder: Path, shards: Mapping[str, list[str]]) -> None:
    """Write the sums of shards and manifest beside them; `sha256sum -c` checks them, too."""
    write_sums(folder, {**shard_sums(folder, shards), MANIFEST: sha256_of(folder / MANIFEST)})


def check_shards(folder: Path, manifest: Manifest, advice: str) -> None:
    """Check that the shards in the folder of a build are those that were built; a process hashes each once.

    Builds without a list of sums are compared as a whole, with the fingerprint of their files.

    Raises:
        ValueError: If one is not; the message names it and ends with the advice.
    """
    listed = read_sums(folder / SUMS)
    for name in (name for names in manifest["shards"].values() for name in names):
        path, size = folder / name, manifest["bytes"].get(name)
        found = path.stat().st_size if path.is_file() else 0
        if found != size:
            raise ValueError(f"expected {size} bytes, got {found}: {path.resolve()}; {advice}")
        if listed and listed.get(name) != (actual := sha256_of(path)):
            known = listed.get(name, "none")
            raise ValueError(f"expected SHA-256 {known[:16]}, got {actual[:16]}: {path.resolve()}; {advice}")
    if not holds_ids(manifest) and files_fingerprint(shard_sums(folder, manifest["shards"])) != manifest["files"]:
        raise ValueError(f"expected the shards that were built, got others: {folder}; {advice}")
