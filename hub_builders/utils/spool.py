"""Media between archive and shard: kept in a scratch file, so that memory holds one row's worth at a time."""

from __future__ import annotations

import os
import tempfile
import weakref
from dataclasses import dataclass


class Spool:
    """A scratch file of appended bytes; it is deleted with the last of its blobs."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="mubench-")  # noqa: SIM115  (its blobs keep it open)
        weakref.finalize(self, self._file.close)

    def append(self, data: bytes) -> Blob:
        """Append bytes and return their position."""
        start = self._file.seek(0, os.SEEK_END)
        self._file.write(data)
        return Blob(self, start, len(data))

    def read(self, start: int, size: int) -> bytes:
        """Return ``size`` bytes from ``start``."""
        self._file.seek(start)
        return self._file.read(size)


@dataclass(frozen=True, slots=True, eq=False)
class Blob:
    """Bytes of a media file, ``size`` of them from ``start`` in a spool; blobs with equal bytes are equal."""

    spool: Spool
    start: int
    size: int

    def __len__(self) -> int:
        return self.size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Blob | bytes) and read_bytes(self) == read_bytes(other)

    def __hash__(self) -> int:
        return hash(read_bytes(self))


def read_bytes(data: bytes | Blob) -> bytes:
    """Return the bytes of a media file, whether they are in memory or in a spool."""
    return data.spool.read(data.start, data.size) if isinstance(data, Blob) else data
