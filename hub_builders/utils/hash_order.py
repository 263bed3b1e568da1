"""Orders of rows that follow from the SHA-256 of their ids: reproducible anywhere, without a random generator."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ranks = npt.NDArray[np.int32]


def digest(prefix: str, text: str) -> bytes:
    """Return the SHA-256 of ``prefix:text``."""
    return hashlib.sha256(f"{prefix}:{text}".encode()).digest()


def stratified_ranks(ids: Sequence[str], strata: Sequence[object] | None, *, prefix: str) -> Ranks:
    """Order rows by hash so that every head of the order holds each stratum in its share, to within one row.

    Args:
        ids: `(N,)` distinct ids.
        strata: `(N,)` stratum of each row, such as its label; ``None`` is one stratum.
        prefix: Text hashed before each id.

    Returns:
        `(N,)` position of each row in the order.
    """
    words = digest_words(ids, prefix)
    return rank_by(relative_positions(words, number_strata(strata, len(ids))), words)


def digest_words(ids: Sequence[str], prefix: str) -> npt.NDArray[np.uint64]:
    """Return the digest of each id as `(N, 4)` unsigned words that sort like the bytes.

    Raises:
        ValueError: If an id is repeated.
    """
    if len(set(ids)) != len(ids):
        raise ValueError(f"expected distinct example ids, got {len(set(ids))} among {len(ids)} rows")
    raw = b"".join(digest(prefix, one) for one in ids)
    return np.frombuffer(raw, dtype=">u8").reshape(-1, 4).astype(np.uint64)


def number_strata(strata: Sequence[object] | None, rows: int) -> npt.NDArray[np.int64]:
    """Return `(N,)` numbers of the strata, from 0 in the order of their first rows."""
    if strata is None:
        return np.zeros(rows, dtype=np.int64)
    if len(strata) != rows:
        raise ValueError(f"expected one stratum a row, got {len(strata)} for {rows} rows")
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(stratum, len(numbers)) for stratum in strata], dtype=np.int64)


def relative_positions(words: npt.NDArray[np.uint64], codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return `(N,)` (position + 0.5) / size of each row within its stratum in hash order.

    Args:
        words: `(N, 4)` digests.
        codes: `(N,)` numbers of the strata.
    """
    order = np.lexsort((*words.T[::-1], codes))
    sizes = np.bincount(codes)
    starts = np.cumsum(sizes) - sizes
    positions = np.empty(len(codes), dtype=np.float64)
    positions[order] = (np.arange(len(codes)) - starts[codes[order]] + 0.5) / sizes[codes[order]]
    return positions


def rank_by(keys: npt.NDArray[Any], words: npt.NDArray[np.uint64]) -> Ranks:
    """Return `(N,)` position of each row when sorted by key, and by digest among equal keys."""
    ranks = np.empty(len(keys), dtype=np.int32)
    ranks[np.lexsort((*words.T[::-1], keys))] = np.arange(len(keys), dtype=np.int32)
    return ranks
