"""SHA-256 sums of files, and lists of them as ``sha256sum`` writes and checks them."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from mubench.hub_builders.utils.atomic import write_text

SUMS = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64}) [ *](?:\./)?(\S.*?)\r?")  # of Windows, too, and of `find`
MAX_LIST_BYTES = 2**24
FRESH_NS = 10**9  # clocks of file systems are coarse: a file this young may change again at the same time


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file; a process reads it once, while its size and time stay the same."""
    path = Path(os.path.realpath(path))  # of a loop of links, `Path.resolve` raises no OSError
    state = path.stat()
    fresh = abs(time.time_ns() - state.st_mtime_ns) < FRESH_NS
    return (_hash.__wrapped__ if fresh else _hash)(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=2**16)
def _hash(path: Path, _size: int, _time: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Write the sums of files of a folder, by name, beside them."""
    write_text(folder / SUMS, "".join(f"{found}  {name}\n" for name, found in sorted(sums.items())))


def read_sums(path: Path) -> dict[str, str]:
    """Return the sums in a list by name; none without the file, and none of lines that are no sum and name."""
    if not path.is_file() or path.stat().st_size > MAX_LIST_BYTES:
        return {}
    lines = map(LINE.fullmatch, path.read_text(encoding="utf-8", errors="replace").split("\n"))
    return {line[2]: line[1] for line in lines if line}
