"""Which rows are deleted: a pure function of example ids, labels, groups and a seed, without a random generator."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mubench.hub_builders.tasks.names import RATIOS

SMALLEST_STRATUM = 10
VALIDATION_SHARE = 0.2
Ranks = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """What every ratio deletes: the first rows of one order.

    Attributes:
        ranks: `(N,)` position of each training row in deletion order.
        forget: Rows deleted, per ratio.
    """

    ranks: Ranks
    forget: dict[int, int]

    def __post_init__(self) -> None:
        for ratio, size in self.forget.items():
            if not 0 < size < len(self.ranks):
                raise ValueError(
                    f"expected a ratio that deletes some of {len(self.ranks)} training rows and leaves some, got "
                    f"{size} rows at {ratio} %"
                )


def digest(prefix: str, example_id: str) -> bytes:
    """Return the sha256 of ``prefix:example_id``."""
    return hashlib.sha256(f"{prefix}:{example_id}".encode()).digest()


def deletion_ranks(example_ids: Sequence[str], strata: Sequence[object] | None, *, task: str, seed: int = 0) -> Ranks:
    """Return each row's position in deletion order: the first rows of it are the deleted ones at every ratio.

    Args:
        example_ids: `(N,)` distinct ids.
        strata: `(N,)` labels; strata of fewer than ten rows are pooled, ``None`` is one stratum.
        task: Task key, part of the hashed text.
        seed: Deletion seed; 0 is the published one.

    Returns:
        `(N,)` a permutation of ``0 .. N-1``, whatever the order of the rows.
    """
    pooled = _pooled(_codes(strata, len(example_ids)))
    return stratified_ranks(example_ids, pooled.tolist(), prefix=f"{seed}:{task}")


def stratified_ranks(example_ids: Sequence[str], strata: Sequence[object] | None, *, prefix: str) -> Ranks:
    """Order rows by hash so that every head of the order holds each stratum in its share, to within one row.

    Args:
        example_ids: `(N,)` distinct ids.
        strata: `(N,)` labels, ``None`` is one stratum.
        prefix: Text hashed before each id.

    Returns:
        `(N,)` position of each row in the order.
    """
    words = _words(example_ids, prefix)
    return _ordered(words, _keys(words, _codes(strata, len(example_ids))))


def forget_size(rows: int, ratio: int) -> int:
    """Return how many of ``rows`` training rows the ``ratio`` % set deletes.

    Raises:
        ValueError: If that is none.
    """
    size = rounded(rows, ratio)
    if size < 1:
        raise ValueError(f"expected a ratio that deletes at least one row, got {ratio} % of {rows} rows")
    return size


def rounded(rows: int, ratio: int) -> int:
    """Return ``ratio`` % of ``rows``, rounded half up."""
    return (rows * ratio + 50) // 100


def canonical_deletion(
    example_ids: Sequence[str], strata: Sequence[object] | None, *, task: str, seed: int = 0
) -> Deletion:
    """Delete single rows so that the labels keep their shares; arguments as of `deletion_ranks`."""
    ranks = deletion_ranks(example_ids, strata, task=task, seed=seed)
    return Deletion(ranks=ranks, forget={ratio: forget_size(len(ranks), ratio) for ratio in RATIOS})


def group_deletion(example_ids: Sequence[str], groups: Sequence[str], *, task: str, seed: int = 0) -> Deletion:
    """Delete whole groups in the order of their hashes until a ratio is reached or passed.

    Args:
        example_ids: `(N,)` distinct ids.
        groups: `(N,)` group of each row.
        task: Task key, part of the hashed text.
        seed: Deletion seed; 0 is the published one.

    Returns:
        Ranks that follow the groups and within one the hashes of the rows, and the fewest whole groups per ratio.

    Raises:
        ValueError: If there is no row, or a ratio takes every group.
    """
    prefix = f"{seed}:{task}"
    if not len(groups) == len(example_ids) > 0:
        raise ValueError(f"expected one group a row, got {len(groups)} for {len(example_ids)} rows of {task}")
    places = {group: i for i, group in enumerate(sorted(set(groups), key=lambda group: digest(prefix, group)))}
    own = np.array([places[group] for group in groups], dtype=np.int64)
    ends = np.cumsum(np.bincount(own))
    forget = {ratio: int(ends[np.searchsorted(100 * ends, ratio * len(groups))]) for ratio in RATIOS}
    return Deletion(ranks=_ordered(_words(example_ids, prefix), own), forget=forget)


def listed_first(listed: Sequence[int], ranks: Ranks) -> Ranks:
    """Return ranks that begin with the rows listed, in that order; the others keep theirs among themselves.

    Args:
        listed: Distinct positions of rows.
        ranks: `(N,)` rank of each row.
    """
    rest = np.argsort(ranks)
    rest = rest[~np.isin(rest, listed)]
    result = np.empty(len(ranks), dtype=np.int32)
    result[np.concatenate([np.asarray(listed, dtype=np.int64), rest])] = np.arange(len(ranks), dtype=np.int32)
    return result


def validation_rows(
    example_ids: Sequence[str], labels: Sequence[object] | None, *, task: str
) -> npt.NDArray[np.bool_]:
    """Mark the first fifth per label, in hash order, of the test rows of a task without a validation split.

    Args:
        example_ids: `(N,)` distinct ids of the test rows.
        labels: `(N,)` labels; ``None`` is one label.
        task: Task key, part of the hashed text.

    Returns:
        `(N,)` whether a row belongs to validation.
    """
    words = _words(example_ids, f"validation:{task}")
    return _keys(words, _codes(labels, len(example_ids))) < VALIDATION_SHARE


def held_out_groups(groups: Sequence[str], *, task: str) -> dict[str, str]:
    """Choose the groups that a task without a test split holds out: a tenth for test, half as many for validation.

    Args:
        groups: `(N,)` group of each row.
        task: Task key, part of the hashed text.

    Returns:
        ``"test"`` or ``"validation"`` for every group held out.

    Raises:
        ValueError: If there are fewer than ten groups.
    """
    order = sorted(set(groups), key=lambda group: digest(f"test:{task}", group))
    tenth = round(len(order) / 10)
    if len(order) < 10:
        raise ValueError(f"expected at least 10 groups of {task} to hold some out, got {len(order)}")
    validation = order[tenth : tenth + max(1, tenth // 2)]
    return {**dict.fromkeys(order[:tenth], "test"), **dict.fromkeys(validation, "validation")}


def _ordered(words: npt.NDArray[np.uint64], keys: npt.NDArray[Any]) -> Ranks:
    """Return each row's position when sorted by key, equal ones by digest."""
    ranks = np.empty(len(keys), dtype=np.int32)
    ranks[np.lexsort((*words.T[::-1], keys))] = np.arange(len(keys), dtype=np.int32)
    return ranks


def _words(example_ids: Sequence[str], prefix: str) -> npt.NDArray[np.uint64]:
    """Return the digests as `(N, 4)` unsigned words that sort like the bytes do."""
    if len(set(example_ids)) != len(example_ids):
        raise ValueError(f"expected distinct example ids, got {len(set(example_ids))} among {len(example_ids)} rows")
    raw = b"".join(digest(prefix, example_id) for example_id in example_ids)
    return np.frombuffer(raw, dtype=">u8").reshape(-1, 4).astype(np.uint64)


def _codes(strata: Sequence[object] | None, rows: int) -> npt.NDArray[np.int64]:
    """Number the strata from 0."""
    if strata is None:
        return np.zeros(rows, dtype=np.int64)
    if len(strata) != rows:
        raise ValueError(f"expected one stratum a row, got {len(strata)} for {rows} rows")
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(stratum, len(numbers)) for stratum in strata], dtype=np.int64)


def _pooled(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Give all strata of fewer than ten rows one number."""
    small = np.bincount(codes)[codes] < SMALLEST_STRATUM
    return np.where(small, codes.max(initial=0) + 1, codes)


def _keys(words: npt.NDArray[np.uint64], codes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return (position + 0.5) / size of each row within its stratum in hash order."""
    order = np.lexsort((*words.T[::-1], codes))
    sizes = np.bincount(codes)
    starts = np.cumsum(sizes) - sizes
    keys = np.empty(len(codes), dtype=np.float64)
    keys[order] = (np.arange(len(codes)) - starts[codes[order]] + 0.5) / sizes[codes[order]]
    return keys
