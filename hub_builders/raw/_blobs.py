"""Media on their way from archives to shards, kept in a scratch file: memory holds one row's worth at a time."""

from __future__ import annotations

import os
import tempfile
import weakref
from dataclasses import dataclass


class Spool:
    """A scratch file that is appended to; it goes when the last of its blobs is gone."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="mubench-")  # noqa: SIM115  (its blobs keep it open)
        weakref.finalize(self, self._file.close)

    def put(self, data: bytes) -> Blob:
        """Append bytes and return where they lie."""
        start = self._file.seek(0, os.SEEK_END)
        self._file.write(data)
        return Blob(self, start, len(data))

    def read(self, start: int, size: int) -> bytes:
        """Return ``size`` bytes from ``start``."""
        self._file.seek(start)
        return self._file.read(size)


@dataclass(frozen=True, slots=True, eq=False)
class Blob:
    """Bytes of a media file in a spool; two are equal if their bytes are.

    Attributes:
        spool: Where they lie.
        start: Their first byte.
        size: How many there are.
    """

    spool: Spool
    start: int
    size: int

    def __len__(self) -> int:
        return self.size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Blob | bytes) and read(self) == read(other)

    def __hash__(self) -> int:
        return hash(read(self))


def read(data: bytes | Blob) -> bytes:
    """Return the bytes of a media file, wherever they lie."""
    return data.spool.read(data.start, data.size) if isinstance(data, Blob) else data
