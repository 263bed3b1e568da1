"""Deletion order of training rows: a pure function of example ids, labels, groups and a seed.

Arguments are `(N,)` distinct ids, `(N,)` strata (such as labels; ``None`` is one stratum) and `(N,)` groups of the
rows, and task key and deletion seed, which are part of the hashed text; seed 0 is the published one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mubench.hub_builders.tasks.names import RATIOS
from mubench.hub_builders.utils.hash_order import (
    Ranks,
    digest,
    digest_words,
    number_strata,
    rank_by,
    relative_positions,
)

MIN_STRATUM_ROWS = 10
VALIDATION_SHARE = 0.2
# Shares of the training rows that a task without test rows holds out.
TEST_SHARE, HELD_OUT_SHARE = 0.1, 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """The rows that every ratio deletes: the first ones of one order.

    Attributes:
        ranks: `(N,)` position of each training row in deletion order.
        forget: Number of deleted rows by ratio.
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


def deletion_ranks(example_ids: Sequence[str], strata: Sequence[object] | None, *, task: str, seed: int = 0) -> Ranks:
    """Return each row's position in deletion order: every ratio deletes the first rows of it.

    Strata of fewer than ten rows are pooled.

    Returns:
        `(N,)` permutation of ``0 .. N-1`` that does not depend on the order of the rows.
    """
    words = digest_words(example_ids, f"{seed}:{task}")
    codes = number_strata(strata, len(example_ids))
    small = np.bincount(codes)[codes] < MIN_STRATUM_ROWS
    return rank_by(relative_positions(words, np.where(small, codes.max(initial=0) + 1, codes)), words)


def forget_size(rows: int, ratio: int) -> int:
    """Return how many of ``rows`` training rows the ``ratio`` % set deletes.

    Raises:
        ValueError: If that is none.
    """
    size = percent_of(rows, ratio)
    if size < 1:
        raise ValueError(f"expected a ratio that deletes at least one row, got {ratio} % of {rows} rows")
    return size


def percent_of(rows: int, ratio: int) -> int:
    """Return ``ratio`` % of ``rows``, rounded half up."""
    return (rows * ratio + 50) // 100


def group_deletion(example_ids: Sequence[str], groups: Sequence[str], *, task: str, seed: int = 0) -> Deletion:
    """Delete whole groups in the order of their hashes until a ratio is reached or passed.

    Returns:
        Ranks by group and, within a group, by the hashes of the rows; each ratio deletes the fewest whole groups.

    Raises:
        ValueError: If there is no row, or a ratio deletes every group.
    """
    prefix = f"{seed}:{task}"
    if not len(groups) == len(example_ids) > 0:
        raise ValueError(f"expected one group a row, got {len(groups)} for {len(example_ids)} rows of {task}")
    order = {group: i for i, group in enumerate(sorted(set(groups), key=lambda group: digest(prefix, group)))}
    codes = np.array([order[group] for group in groups], dtype=np.int64)
    ends = np.cumsum(np.bincount(codes))
    forget = {ratio: int(ends[np.searchsorted(100 * ends, ratio * len(groups))]) for ratio in RATIOS}
    return Deletion(ranks=rank_by(codes, digest_words(example_ids, prefix)), forget=forget)


def move_to_front(listed: Sequence[int], ranks: Ranks) -> Ranks:
    """Return `(N,)` ranks that begin with the listed rows, given by index; the others keep their relative order."""
    rest = np.argsort(ranks)
    rest = rest[~np.isin(rest, listed)]
    result = np.empty(len(ranks), dtype=np.int32)
    result[np.concatenate([np.asarray(listed, dtype=np.int64), rest])] = np.arange(len(ranks), dtype=np.int32)
    return result


def validation_rows(
    example_ids: Sequence[str], labels: Sequence[object] | None, *, task: str
) -> npt.NDArray[np.bool_]:
    """Return which test rows, `(N,)`, validate a task without a validation split: the first fifth of each label."""
    words = digest_words(example_ids, f"validation:{task}")
    return relative_positions(words, number_strata(labels, len(example_ids))) < VALIDATION_SHARE


def held_out_rows(example_ids: Sequence[str], labels: Sequence[object] | None, *, task: str) -> list[str]:
    """Select the rows that a task without test rows and groups holds out: of each label a tenth, and half as many.

    Returns:
        `(N,)` ``"train"``, ``"test"`` or ``"validation"``.
    """
    words = digest_words(example_ids, f"test:{task}")
    places = relative_positions(words, number_strata(labels, len(example_ids)))
    return ["test" if one < TEST_SHARE else "validation" if one < HELD_OUT_SHARE else "train" for one in places]


def held_out_groups(groups: Sequence[str], *, task: str) -> dict[str, str]:
    """Select the groups that a task without a test split holds out: a tenth for test, half as many for validation.

    Returns:
        ``"test"`` or ``"validation"`` by held-out group.

    Raises:
        ValueError: If there are fewer than ten groups.
    """
    order = sorted(set(groups), key=lambda group: digest(f"test:{task}", group))
    tenth = round(len(order) / 10)
    if len(order) < 10:
        raise ValueError(
            f"expected at least 10 groups of {task} to hold some out, got {len(order)}; a group is what "
            "--family group deletes, such as a document"
        )
    validation = order[tenth : tenth + max(1, tenth // 2)]
    return {**dict.fromkeys(order[:tenth], "test"), **dict.fromkeys(validation, "validation")}
