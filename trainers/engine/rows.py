"""Rows of a data set by whole batches: views of rows that lie in one array, and how much memory rows may take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import psutil
import torch
from torch.utils.data import Dataset, Subset
from transformers import default_data_collator

from mubench.trainers.engine.noise import KEY

CPU = torch.device("cpu")
# The share of the free memory that one data set or one cache may take.
SHARE = 0.25
# Limit and use of a container's memory, in bytes.
CONTAINER = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current")
LABELS = ("label", "label_ids", "labels")  # as collators of transformers find them
PART = 256  # rows whose labels are read at once


class RowSource(Protocol):
    """Model-ready rows, which it also returns as batches; ``labels`` are those of all, ``(N,)`` int64."""

    labels: torch.Tensor

    def __getitem__(self, index: int, /) -> dict[str, Any]:
        """Return one row."""

    def batch(self, rows: npt.NDArray[np.intp], device: torch.device) -> dict[str, torch.Tensor]:
        """Return some rows as the batch that `default_data_collator` would make of them."""


class RowView(Sequence[dict[str, Any]]):
    """Some rows of a source, ``(n,)``, in order; none is made before it is read."""

    def __init__(self, source: RowSource, rows: npt.ArrayLike) -> None:
        self.source, self.rows = source, np.asarray(rows, dtype=np.intp)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: Any) -> Any:
        return self.source[int(self.rows[position])]


def memory_share(device: torch.device = CPU) -> int:
    """Return the bytes that one data set or one cache may take on a device: a share of what is free there now."""
    if device.type == "cuda":
        return int(SHARE * torch.cuda.mem_get_info(device)[0])
    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # no container, or one without a limit
        limit, used = (int(Path(file).read_text()) for file in CONTAINER)
        free = min(free, max(limit - used, 0))
    return int(SHARE * free)


def fetch_rows(dataset: Any, rows: Sequence[int]) -> Sequence[Any]:
    """Return some items of a data set, at once where it can."""
    fetch = getattr(dataset, "__getitems__", None)
    return fetch(rows) if callable(fetch) else [dataset[row] for row in rows]


def fetch_parts(dataset: Any, size: int) -> Iterator[Sequence[Any]]:
    """Yield the items of a data set in order, so many at once."""
    for start in range(0, len(dataset), size):
        yield fetch_rows(dataset, range(start, min(start + size, len(dataset))))


def read_labels(rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return the labels of rows; those of a view without its rows being made."""
    if isinstance(rows, RowView):
        return rows.source.labels[rows.rows].tolist()
    return [row["labels"] for row in rows]


def merge_rows(first: Sequence[Any], second: Sequence[Any], is_first: npt.NDArray[np.bool_]) -> Sequence[Any]:
    """Return the rows of two sequences in one: ``is_first``, ``(n,)``, says which of them the next row is from."""
    if not (len(first) and len(second)):
        return first if len(first) else second
    if isinstance(first, RowView) and isinstance(second, RowView) and first.source is second.source:
        rows = np.empty(len(is_first), dtype=np.intp)
        rows[is_first], rows[~is_first] = first.rows, second.rows
        return RowView(first.source, rows)
    parts = iter(second), iter(first)
    return [next(parts[one]) for one in is_first.tolist()]


def collate_rows(
    rows: Sequence[Any], collator: Callable[[list[Any]], Mapping[str, Any]], device: torch.device = CPU
) -> dict[str, Any]:
    """Collate rows; those of one source become a batch on the device at once, unless the collator is another's."""
    if isinstance(rows, RowView) and collator is default_data_collator:
        return rows.source.batch(rows.rows, device)
    return dict(collator(list(rows)))


class UsedColumns(Dataset[dict[str, Any]]):
    """The rows of a map-style data set without some of their columns; ``unused`` names these."""

    def __init__(self, rows: Any, unused: frozenset[str]) -> None:
        self.rows, self.unused = rows, unused

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._keep(self.rows[index])

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        return [self._keep(row) for row in fetch_rows(self.rows, indices)]

    def _keep(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in row.items() if name not in self.unused}


def drop_unused_columns(rows: Any, model: torch.nn.Module) -> Any:
    """Return rows without the columns that a model's forward pass does not name, as `transformers.Trainer` drops them.

    Labels stay. Rows stay as they are where it names none of their columns, as that of a wrapper or a collator's own
    rows, and where they declare that none ever changes: the suite has prepared them.

    Args:
        rows: A data set of `datasets`, a sequence or a map-style data set, whose rows have the columns of the first.
        model: The model, perhaps with adapters.
    """
    if not hasattr(rows, "__len__") or not len(rows) or rows_are_fixed(rows):  # none, or a stream
        return rows
    if not isinstance(first := rows[0], Mapping) or not isinstance(model, torch.nn.Module):  # refused elsewhere
        return rows
    inner: Any = getattr(model, "get_base_model", lambda: model)()  # adapters take any column
    named = {*inspect.signature(inner.forward).parameters}
    unused = frozenset({*first} - named - {*LABELS, KEY})
    if not unused or not named & {*first} - {*LABELS}:
        return rows
    stored = unused <= {*(getattr(rows, "column_names", None) or ())}
    is_transformed = (getattr(rows, "format", None) or {}).get("type") == "custom"  # it may read what is unused
    remove = getattr(rows, "remove_columns", None)
    return remove(sorted(unused)) if callable(remove) and stored and not is_transformed else UsedColumns(rows, unused)


def rows_are_fixed(dataset: Any) -> bool:
    """Whether a data set, or that of a subset, declares by ``fixed`` that none of its rows ever changes."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return bool(getattr(dataset, "fixed", False))
