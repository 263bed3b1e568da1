"""Forget and retain rows as one dataset whose items carry their index and split, and pairs of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from mubench.trainers.engine.batches import CONTENT_HASH, content_hash
from mubench.trainers.engine.rows import CPU, PART, collate_rows, fetch_rows, merge_rows, read_labels, rows_are_fixed

SPLITS = ("forget", "retain")
Item = tuple[Mapping[str, Any], int, bool]


@dataclass(frozen=True)
class Items(Sequence[Item]):
    """Items of `ForgetRetain`, one list per part.

    Attributes:
        rows: Model-ready rows, ``n`` of them.
        indices: The index of each, ``(n,)``.
        forget: Whether each is a forget row, ``(n,)``.
    """

    rows: Sequence[Mapping[str, Any]]
    indices: npt.NDArray[np.int64]
    forget: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, items: Sequence[Item]) -> Items:
        """Return a list of items as one."""
        if isinstance(items, cls):
            return items
        rows, index, forget = zip(*items, strict=True)
        return cls(rows, np.array(index), np.array(forget))

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: Any) -> Any:
        return self.rows[place], int(self.indices[place]), bool(self.forget[place])


class ForgetRetain(Dataset[tuple[dict[str, Any], int, bool]]):
    """The rows of both splits, forget rows first; an item is (model-ready row, index, is a forget row).

    Args:
        datasets: Rows by split (``"forget"``, ``"retain"``); a split may be missing if the method does not need it.

    Attributes:
        forget_rows: Indices of the forget rows, shape ``(n_f,)``.
        retain_rows: Indices of the retain rows, shape ``(n_r,)``.
        fixed: Whether no row ever changes.
    """

    def __init__(self, datasets: Mapping[str, Any]) -> None:
        given = sorted(datasets) if isinstance(datasets, Mapping) else [type(datasets).__name__]
        if not {*given} or {*given} - {*SPLITS}:
            got = ", ".join(given) or "nothing"
            raise ValueError(f'expected train_dataset={{"forget": rows, "retain": rows}}, got {got}')
        self.forget, self.retain = datasets.get("forget", ()), datasets.get("retain", ())
        self.forget_rows = np.arange(len(self.forget))
        self.retain_rows = np.arange(len(self.retain)) + len(self.forget)
        self.fixed = all(rows_are_fixed(rows) for rows in (self.forget, self.retain) if len(rows))

    def __len__(self) -> int:
        return len(self.forget_rows) + len(self.retain_rows)

    def __getitem__(self, index: int) -> tuple[dict[str, Any], int, bool]:
        if index < len(self.forget_rows):
            return self.forget[index], index, True
        return self.retain[index - len(self.forget_rows)], index, False

    def __getitems__(self, indices: Sequence[int]) -> Items:
        index = np.array(indices, dtype=np.int64)
        forget = index < len(self.forget_rows)
        own = fetch_rows(self.forget, index[forget].tolist())
        others = fetch_rows(self.retain, (index[~forget] - len(self.forget_rows)).tolist())
        return Items(merge_rows(own, others, forget), index, forget)

    def classes(self, rows: np.ndarray) -> np.ndarray:
        """Return the classes of some rows, shape ``(n,)``; of rows labelled with tokens or noise none, ``(0,)``."""
        labels: list[int] = []
        for part in np.array_split(rows, range(PART, len(rows), PART)):
            found = read_labels(self.__getitems__(part.tolist()).rows)
            if any(np.ndim(label) for label in found):
                return np.empty(0, dtype=np.int64)
            labels += map(int, found)
        return np.array(labels, dtype=np.int64)


def collate_with_split(
    items: Sequence[Item],
    collator: Callable[[list[Any]], Mapping[str, Any]],
    *,
    hashes: bool = False,
    fixed: bool = False,
    device: torch.device = CPU,
) -> dict[str, Any]:
    """Collate rows and add ``index`` (B,) int64 and ``forget`` (B,) bool, which the user's collator does not see.

    Args:
        items: Items of `ForgetRetain`.
        collator: The user's collator.
        hashes: Whether to add ``content_hash`` (B,) int64 as well, by which a changed row is noticed.
        fixed: Whether rows never change; their hashes are then 0.
        device: Where a batch is made of rows that lie in one array.
    """
    parts = Items.of(items)
    batch = collate_rows(parts.rows, collator, device)
    batch |= {"index": torch.from_numpy(parts.indices), "forget": torch.from_numpy(parts.forget)}
    if hashes:
        found = [0] * len(parts) if fixed else [content_hash(row) for row in parts.rows]
        batch[CONTENT_HASH] = torch.tensor(found)
    return batch


def pair_rows(anchor: np.ndarray, others: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Give every row of one split a partner of the other, so that each step has as many of both.

    Partners are dealt out evenly: each of them comes again only after all others have come.

    Args:
        anchor: Rows that an epoch goes through once, shape ``(n,)``.
        others: Rows of the other split, shape ``(m,)``.
        generator: Draws the partners.

    Returns:
        Pairs, shape ``(n, 2)``, the anchor's row first; a phase of `StepBatchSampler`.

    Raises:
        ValueError: If there are no rows to pair with.
    """
    if not len(others):
        raise ValueError(f"expected rows to pair {len(anchor)} others with, got none")
    rounds = -(-len(anchor) // len(others))
    dealt = np.concatenate([generator.permutation(others) for _ in range(rounds)])
    return np.stack([anchor, dealt[: len(anchor)]], axis=1)


def sample_rows(rows: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Return a random share of rows, at least one, in ascending order."""
    return np.sort(generator.choice(rows, max(1, round(share * len(rows))), replace=False))
