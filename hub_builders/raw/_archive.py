"""Files of archives and folders as a stream of (name, bytes); nothing is unpacked to disk.

Archives are read to their end, where their checksums are. A plain tar has none, so that it needs one beside it.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

from tqdm.auto import tqdm

from mubench.hub_builders.utils.checksums import SUMS, read_sums, sha256_of
from mubench.hub_builders.utils.text import quote

ANY_NAME = re.compile("")
# What the libraries raise on damage: documented errors, and those of parsing other bytes than they expect.
ARCHIVE_ERRORS = (
    tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, OSError, RuntimeError, ValueError,
    ArithmeticError, LookupError, struct.error,
)  # fmt: skip
# SHA-256 of a plain tar that is a source: clips of FIR-Image-Action-Dataset in the layout of UCF101.
PUBLISHED = {"ucf101_layout_fir.tar": "29efc0be9c514c7e6b3a6f7e8b9e34dcdbda387d66b04ce97fd0d3ac461138c5"}
BLOCK = 512
CHUNK_BYTES = 2**20
# The longest member of a known source has 150 MB, the most members 230,000; texts are packed to a tenth at most.
MAX_MEMBER_BYTES = 2**29
MAX_MEMBERS = 2_000_000
MAX_RATIO, FREE_BYTES = 100, 2**30
MAX_HEADER_BYTES = 2**20
HEADERS = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
ENCRYPTED, UTF_8 = 0x1, 0x800
SIGNS = ("Cc", "Cf", "Cs")  # control signs, those of formats and directions, halves of surrogate pairs
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


class ArchiveError(ValueError):
    """A refusal of ours, which is no damage that a library met."""


def find_source(raw: Path, names: tuple[str, ...]) -> Path:
    """Return the path of the first of ``names`` that exists in a folder.

    Raises:
        FileNotFoundError: If none exists.
        ValueError: If it is a link.
    """
    for name in names:
        if (raw / name).exists():
            _refuse_link(raw / name, raw)
            return raw / name
    raise FileNotFoundError(f"expected one of {', '.join(names)} in {raw}, got none")


def read_members(path: Path, only: re.Pattern[str] = ANY_NAME) -> Iterator[tuple[str, bytes]]:
    """Yield the name and bytes of every file of an archive (tar, zip) or folder; hidden files are skipped.

    Damage may show only at the end: what was yielded counts if the iterator is exhausted.

    Args:
        path: The archive or folder.
        only: Pattern to search in names; other files are not read.

    Raises:
        ValueError: If a name points outside the archive, a member is a link, encrypted or larger than any source has,
            or the archive is damaged or has no checksum.
    """
    yield from tqdm(_read_all(path, only), desc=f"reading {path.name}", unit="file", disable=None)


def _read_all(path: Path, only: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        yield from _read_folder(path, only)
        return
    try:
        _check_sum(path)
        yield from _read_zip(path, only) if path.suffix == ".zip" else _read_tar(path, only)
    except ArchiveError:
        raise
    except ARCHIVE_ERRORS as error:
        raise ValueError(
            f"expected a complete archive, got one that is damaged, truncated or does not open: {path}"
        ) from error


def _read_folder(path: Path, only: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if only.search(name) or file.is_dir():
            _refuse_link(file, path)
        if _is_wanted(name, only) and file.is_file():
            yield name, file.read_bytes()


def _refuse_link(path: Path, folder: Path) -> None:
    if path.is_symlink() or not (path.is_file() or path.is_dir()):
        got = quote(path.relative_to(folder).as_posix())
        raise ArchiveError(
            f"expected plain files in {folder}, got a link or device: {got}; copy what it points to, with cp -rL"
        )


class _Quota:
    """What may still be read of an archive, so that a small one does not fill the memory."""

    def __init__(self, path: Path) -> None:
        self.path, self.members = path, MAX_MEMBERS
        self.bytes = FREE_BYTES + MAX_RATIO * path.stat().st_size

    def take(self, name: str, size: int) -> None:
        """Count a member or a piece of one."""
        if not 0 <= size <= MAX_MEMBER_BYTES:
            got = f"{size}: {quote(name)}"
            raise ArchiveError(f"expected files of at most {MAX_MEMBER_BYTES} bytes in {self.path}, got {got}")
        self.members, self.bytes = self.members - 1, self.bytes - size
        if self.members < 0 or self.bytes < 0:
            raise ArchiveError(
                f"expected at most {MAX_MEMBERS} files and {MAX_RATIO} times the bytes of {self.path}, got more"
            )


class _Member(tarfile.TarInfo):
    """A member whose damaged header is an error: `tarfile` takes it for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        """Parse a header; that of the end of the archive is a block of zeros."""
        try:
            member = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if len(buf) == BLOCK and not any(buf):
                raise
            raise tarfile.ReadError(str(error)) from error
        if member.size < 0 or (member.type in HEADERS and member.size > MAX_HEADER_BYTES):
            raise tarfile.ReadError(f"a header of {member.size} bytes")
        return member


def _read_tar(path: Path, only: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    quota = _Quota(path)
    with (
        _decompress(path) as stream,
        tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as archive,
    ):
        for member in archive:
            quota.take(member.name, member.size)
            if member.isdir():
                continue
            file = archive.extractfile(member) if member.isreg() else None
            if file is None:
                raise ArchiveError(f"expected plain files in {path}, got a link or device: {quote(member.name)}")
            if _is_wanted(name := _check_name(member.name, path), only):
                yield _check_text(name, path), file.read()
        rest = cast("IO[bytes]", archive.fileobj)
        while block := rest.read(CHUNK_BYTES):
            quota.take("after the end", len(block))
            if any(block):
                raise tarfile.ReadError("other bytes after the end of the archive")


def _decompress(path: Path) -> IO[bytes]:
    """Open a tar for reading, whatever it is compressed with."""
    with path.open("rb") as file:
        head = file.read(BLOCK)
    if head.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.open(path))
    if head.startswith(b"BZh"):
        return bz2.open(path)
    if head.startswith(b"\xfd7zXZ\0") and head[7] & 15:  # else without checksums
        return lzma.open(path, format=lzma.FORMAT_XZ)
    if _known_sum(path) is None:
        if head[257:262] != b"ustar":
            raise tarfile.ReadError("neither a tar nor compressed")
        raise ArchiveError(
            f"expected an archive with checksums (.tar.xz, .tar.gz, .zip), got a plain tar without: {path}; compress "
            f"it with xz, or write its checksum beside it with `sha256sum {path.name} >> {SUMS}`"
        )
    return path.open("rb")


def _known_sum(path: Path) -> str | None:
    """Return the SHA-256 in a list beside an archive or in the folder above, else the published one."""
    for folder in (path.parent, path.absolute().parent.parent):
        sums = read_sums(folder / SUMS)
        if found := sums.get(path.absolute().relative_to(folder.absolute()).as_posix()):
            return found
    return PUBLISHED.get(path.name)


def _check_sum(path: Path) -> None:
    known = _known_sum(path)
    if known is not None and known != (found := sha256_of(path)):
        raise ArchiveError(f"expected {path} with SHA-256 {known[:16]}..., got {found[:16]}...: fetch it again")


def _read_zip(path: Path, only: re.Pattern[str]) -> Iterator[tuple[str, bytes]]:
    quota = _Quota(path)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = _check_name(_zip_name(member), path)
            _check_zip_member(member, name, path)
            wanted = not member.is_dir() and _is_wanted(name, only)
            quota.take(name, member.file_size if wanted else 0)
            with archive.open(member) as file:  # which compares the name with the one at the data
                data = file.read() if wanted else b""
            if wanted:
                yield _check_text(name, path), data


def _zip_name(member: zipfile.ZipInfo) -> str:
    """Return a member's name, which some writers do not mark as UTF-8."""
    if member.flag_bits & UTF_8:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return member.filename


def _check_zip_member(member: zipfile.ZipInfo, name: str, path: Path) -> None:
    if member.flag_bits & ENCRYPTED:
        raise ArchiveError(f"expected files that are not encrypted in {path}, got {quote(name)}: unpack it")
    if member.compress_type not in METHODS:
        got = f"method {member.compress_type} of {quote(name)}"
        raise ArchiveError(f"expected deflated, bzip2 or lzma files in {path}, got {got}: unpack it")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise ArchiveError(f"expected plain files in {path}, got a link or device: {quote(name)}")


def _check_name(name: str, path: Path) -> str:
    """Return a member's name without a leading ``./``; refuse one that points outside the archive."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name:
        raise ArchiveError(f"expected names inside the archive {path}, got {quote(name)}")
    return pure.as_posix()


def _check_text(name: str, path: Path) -> str:
    """Return a member's name; refuse one with signs that are no text or change how it is shown."""
    if any(unicodedata.category(sign) in SIGNS for sign in name):
        raise ArchiveError(f"expected printable names in UTF-8 in {path}, got {quote(name)}")
    return name


def _is_wanted(name: str, only: re.Pattern[str]) -> bool:
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)
    return not hidden and only.search(name) is not None
