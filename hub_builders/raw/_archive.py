"""Files of archives and folders as a stream of (name, bytes); nothing is unpacked to disk."""

from __future__ import annotations

import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

ANY_NAME = re.compile("")
ARCHIVE_ERRORS = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, OSError)


def find_source(raw: Path, names: tuple[str, ...]) -> Path:
    """Return the path of the first of ``names`` that exists in a folder.

    Raises:
        FileNotFoundError: If none exists.
    """
    for name in names:
        if (raw / name).exists():
            return raw / name
    raise FileNotFoundError(f"expected one of {', '.join(names)} in {raw}, got none")


def read_members(path: Path, only: re.Pattern[str] = ANY_NAME) -> Iterator[tuple[str, bytes]]:
    """Yield the name and bytes of every file of an archive (tar, zip) or folder; hidden files are skipped.

    Args:
        path: The archive or folder.
        only: Pattern to search in names; other files are not read.

    Raises:
        ValueError: If a name points outside the archive, a member is a link, or the archive is damaged.
    """
    for name, data in tqdm(_read_all(path, only), desc=f"reading {path.name}", unit="file", disable=None):
        parts = PurePosixPath(name).parts
        if not any(part.startswith(".") or part == "__MACOSX" for part in parts):
            yield name, data


def _read_all(path: Path, only: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            name = file.relative_to(path).as_posix()
            if only.search(name) and file.is_file():
                yield name, file.read_bytes()
        return
    try:
        yield from _read_zip(path, only) if path.suffix == ".zip" else _read_tar(path, only)
    except ARCHIVE_ERRORS as error:
        raise ValueError(f"expected a complete archive, got one that is truncated or does not open: {path}") from error


def _read_tar(path: Path, only: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            if member.isdir():
                continue
            file = archive.extractfile(member) if member.isreg() else None
            if file is None:
                raise ValueError(f"expected plain files in {path}, got a link or device: {member.name}")
            if only.search(name := _check_name(member.name, path)):
                yield name, file.read()


def _read_zip(path: Path, only: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.endswith("/") and only.search(_check_name(name, path)):
                yield _check_name(name, path), archive.read(name)


def _check_name(name: str, path: Path) -> str:
    """Return a member's name without a leading ``./``; refuse one that points outside the archive."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name:
        raise ValueError(f"expected names inside the archive {path}, got {name!r}")
    return pure.as_posix()
