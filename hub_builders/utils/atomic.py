"""Files and folders replaced in one step: readers see the old one or the new one, never a part of it."""

from __future__ import annotations

import glob
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Folder beside model folders that holds unfinished ones and checkpoints.
WORK = ".work"
_STAGE = ".stage-"


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path; the file written there replaces ``path`` if the block ends without an error."""
    stage = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        yield stage
        stage.replace(path)
    finally:
        stage.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write or replace a UTF-8 text file in one step."""
    with atomic_file(path) as stage:
        stage.write_text(text, encoding="utf-8")


def write_json(path: Path, found: Any, **options: Any) -> None:
    """Write or replace a JSON file in one step; options are those of `json.dumps`."""
    write_text(path, json.dumps(found, **{"indent": 1, **options}) + "\n")


def replace_folder(new: Path, folder: Path) -> None:
    """Move a folder to the path of another, which is removed; for a moment readers may see neither."""
    old = new.with_suffix(".old")
    shutil.rmtree(old, ignore_errors=True)  # a process killed between the two renames leaves one
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def staged_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces ``folder`` if the block ends without an error.

    Stages of the same folder that killed processes left on this machine are removed first.
    """
    stage = folder.parent / WORK / f"{folder.name}{_STAGE}{os.getpid()}"
    shutil.rmtree(stage, ignore_errors=True)
    _remove_dead_stages(folder)
    stage.mkdir(parents=True)
    try:
        yield stage
        replace_folder(stage, folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _remove_dead_stages(folder: Path) -> None:
    for left in (folder.parent / WORK).glob(f"{glob.escape(folder.name + _STAGE)}*"):
        process = left.name.rpartition("-")[2]
        if process.isdecimal() and not _is_alive(int(process)):
            shutil.rmtree(left, ignore_errors=True)  # another process may be removing it too


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)  # else it belongs to another user
    return True
