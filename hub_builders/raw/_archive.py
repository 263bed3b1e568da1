"""Members of archives and folders as a stream of (name, bytes); nothing is unpacked to disk."""

from __future__ import annotations

import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

ANY = re.compile("")
BROKEN = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, OSError)


def find(raw: Path, names: tuple[str, ...]) -> Path:
    """Return the first of ``names`` that a folder holds.

    Raises:
        FileNotFoundError: If it holds none.
    """
    for name in names:
        if (raw / name).exists():
            return raw / name
    raise FileNotFoundError(f"expected one of {', '.join(names)} in {raw}, got none")


def members(path: Path, only: re.Pattern[str] = ANY) -> Iterator[tuple[str, bytes]]:
    """Yield every file of a ``.tar``, ``.tar.xz``, ``.tar.gz``, ``.zip`` or folder but hidden ones.

    Args:
        path: The archive or folder.
        only: What a name has to match somewhere; other files are not read.

    Raises:
        ValueError: If a name leads out of the archive, a member is a link, or the archive is damaged.
    """
    for name, data in tqdm(_stream(path, only), desc=f"reading {path.name}", unit="file", disable=None):
        parts = PurePosixPath(name).parts
        if not any(part.startswith(".") or part == "__MACOSX" for part in parts):
            yield name, data


def _stream(path: Path, only: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            name = file.relative_to(path).as_posix()
            if only.search(name) and file.is_file():
                yield name, file.read_bytes()
        return
    try:
        yield from _zip(path, only) if path.suffix == ".zip" else _tar(path, only)
    except BROKEN as error:
        raise ValueError(f"expected a whole archive, got one that breaks off or does not open: {path}") from error


def _tar(path: Path, only: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            if member.isdir():
                continue
            file = archive.extractfile(member) if member.isreg() else None
            if file is None:
                raise ValueError(f"expected plain files in {path}, got a link or device: {member.name}")
            if only.search(name := _checked(member.name, path)):
                yield name, file.read()


def _zip(path: Path, only: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.endswith("/") and only.search(_checked(name, path)):
                yield _checked(name, path), archive.read(name)


def _checked(name: str, path: Path) -> str:
    """Return a member's name without a leading ``./``, if it stays inside the archive."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name:
        raise ValueError(f"expected names inside the archive {path}, got {name!r}")
    return pure.as_posix()
