"""Files and folders replaced in one step, by one process at a time: readers never see a part of one.

The lock of an owner is one of the kernel, which dies with its process, on a file that names it.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import re
import secrets
import shutil
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from filelock import lock_descriptor, unlock_descriptor

from mubench.hub_builders.utils.cli import print_error

# Folder beside model folders that holds unfinished ones and checkpoints.
WORK = ".work"
_STAGE = ".stage-"
_FINISHED = "finished"
SILENT_S = 1.0  # of waiting for another process before that is reported
# State of a process that has ended and whose parent has not called `wait` yet.
_ENDED = re.compile(r"\) [ZX] ")
# Answers of file systems without locks.
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path; the file written there replaces ``path`` if the block ends without an error.

    What killed processes of this host left in its folder is removed the first time that this process writes there.
    """
    host = _host()
    _tidy(path.parent.absolute(), host)
    stage = path.with_name(f".{path.name}.{host}-{os.getpid()}-{secrets.token_hex(4)}")
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

    Stages of the same folder that killed processes of this host left are removed first.
    """
    own = f"{_STAGE}{_host()}-"
    stage = folder.parent / WORK / f"{folder.name}{own}{os.getpid()}"
    shutil.rmtree(stage, ignore_errors=True)
    _remove_dead_stages(stage.parent, glob.escape(folder.name), own)
    stage.mkdir(parents=True)
    try:
        yield stage
        replace_folder(stage, folder)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _host() -> str:
    """Return the name of this host as a part of file names: short, and without hyphens and dots."""
    name = socket.gethostname()
    return f"{re.sub('[^A-Za-z0-9]', '_', name)[:12]}_{zlib.crc32(name.encode()):08x}"


@lru_cache(maxsize=1024)
def _tidy(parent: Path, host: str) -> None:
    """Remove the stages of files in a folder, once per process: listing many results at each write is slow."""
    _remove_dead_stages(parent, ".*", f".{host}-")


def _remove_dead_stages(parent: Path, names: str, own: str) -> None:
    """Remove what a pattern and the mark of this host name, if its process is dead: others' processes are unknown."""
    for left in parent.glob(f"{names}{own}*"):
        process = left.name.rpartition(own)[2].partition("-")[0]
        if not process.isdecimal() or _is_alive(int(process)):
            continue
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)  # another process may be removing it too
        else:
            left.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)  # else it belongs to another user
    with contextlib.suppress(OSError):  # of a system without /proc
        return not _ENDED.search(Path(f"/proc/{process}/stat").read_text())
    return True


@contextmanager
def owned(lock: Path, purpose: str = "") -> Iterator[bool]:
    """Hold a lock; while another process has it, wait, and name that process in one line on stderr.

    The file goes as the block ends, and if it failed, the empty folders that were made for it; a killed process leaves
    them to the next owner.

    Args:
        lock: The lock's file.
        purpose: What the block does, to the last option.

    Yields:
        Whether there is nothing left to do, as a process with the same purpose finished while this one waited.
    """
    made = [parent for parent in lock.parents if not parent.exists()]
    file, finished = _take(lock, purpose)
    if finished:
        _release(file)
        yield True
        return
    try:
        _write_owner(file, purpose)
        yield False
        if purpose:
            _write(file, _FINISHED, purpose)
        made.clear()
    finally:
        _remove(lock, made)
        _release(file)


@contextmanager
def claimed(lock: Path) -> Iterator[str]:
    """Hold a lock if it is free, without waiting; a process that dies frees its own.

    Args:
        lock: The lock's file.

    Yields:
        An empty text, or else the process that has it.
    """
    made = [parent for parent in lock.parents if not parent.exists()]
    file, owner = _try_to_take(lock)
    try:
        if not owner:
            _write_owner(file)
        yield owner
    finally:
        if owner:
            os.close(file)
        else:
            _remove(lock, made)
            _release(file)


def _try_to_take(lock: Path) -> tuple[int, str]:
    """Return a lock's open file, and its owner if that is another process."""
    while True:
        file = _open(lock)
        try:
            if not _lock(file, lock):
                return file, _read(file)[0] or "another process"
            if _is_of(file, lock):
                return file, ""
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _is_of(file: int, lock: Path) -> bool:
    """Return whether an open file is still the one of this name: its owner may have removed it."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file), lock.stat())
    return False


def _lock_within(file: int, lock: Path, seconds: float) -> bool:
    """Return whether a lock was free within some seconds."""
    end = time.monotonic() + seconds
    while not (found := _lock(file, lock)) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def _take(lock: Path, purpose: str) -> tuple[int, bool]:
    """Wait for the lock; return its open file, and whether a process with this purpose finished meanwhile."""
    while True:
        file = _open(lock)
        try:
            waited = not _lock(file, lock)
            if waited and not _lock_within(file, lock, SILENT_S):
                owner = _read(file)[0] or "another process"
                print_error(f"waiting for {owner}, which has {lock}")
                lock_descriptor(file)
            if waited and purpose and _read(file) == [_FINISHED, purpose]:
                return file, True
            if _is_of(file, lock):
                return file, False
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # its owner has removed it: the next process locks another file of this name


def _release(file: int) -> None:
    with contextlib.suppress(OSError):  # of a file system without locks
        unlock_descriptor(file)  # closing is not enough while a forked process has the file open, too
    os.close(file)


def _open(lock: Path) -> int:
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            return os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # another process has removed the folder as it left
            continue


def _lock(file: int, lock: Path) -> bool:
    """Lock a file if it is free, and return whether it was."""
    try:
        return lock_descriptor(file, blocking=False)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _warn_of_no_locks(lock.parent)
        return True


@cache
def _warn_of_no_locks(folder: Path) -> None:
    print_error(f"expected a file system with locks in {folder}, got none: start nothing there twice at once")


def _read(file: int) -> list[str]:
    """Return the two lines that the last owner wrote; byte 0 may be the lock itself."""
    os.lseek(file, 1, os.SEEK_SET)
    return os.read(file, 1 << 16).decode(errors="replace").split("\n", 1)


def _write_owner(file: int, *lines: str) -> None:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    _write(file, f"process {os.getpid()} on {socket.gethostname()}, since {since}", *lines)


def _write(file: int, *lines: str) -> None:
    os.lseek(file, 0, os.SEEK_SET)
    os.ftruncate(file, 0)
    os.write(file, (" " + "\n".join(lines)).encode())


def _remove(lock: Path, made: list[Path]) -> None:
    """Remove a lock's file, and those of the folders made for it that are empty."""
    with contextlib.suppress(OSError):  # an open file of Windows stays; a folder may be in use
        lock.unlink()
        for folder in made:
            folder.rmdir()
