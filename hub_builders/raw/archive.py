"""Members of archives and folders as a stream of (name, bytes); nothing is unpacked to disk."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

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


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file of a ``.tar``, ``.tar.xz``, ``.tar.gz``, ``.zip`` or folder but hidden ones.

    Raises:
        ValueError: If a name leads out of the archive, a member is a link, or the archive is damaged.
    """
    for name, data in tqdm(_stream(path), desc=f"reading {path.name}", unit="file", disable=None):
        parts = PurePosixPath(name).parts
        if not any(part.startswith(".") or part == "__MACOSX" for part in parts):
            yield name, data


def _stream(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file():
                yield file.relative_to(path).as_posix(), file.read_bytes()
        return
    try:
        yield from _zip(path) if path.suffix == ".zip" else _tar(path)
    except BROKEN as error:
        raise ValueError(f"expected a whole archive, got one that breaks off or does not open: {path}") from error


def _tar(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            if member.isdir():
                continue
            file = archive.extractfile(member) if member.isreg() else None
            if file is None:
                raise ValueError(f"expected plain files in {path}, got a link or device: {member.name}")
            yield _checked(member.name, path), file.read()


def _zip(path: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if not name.endswith("/"):
                yield _checked(name, path), archive.read(name)


def _checked(name: str, path: Path) -> str:
    """Return a member's name without a leading ``./``, if it stays inside the archive."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name:
        raise ValueError(f"expected names inside the archive {path}, got {name!r}")
    return pure.as_posix()
