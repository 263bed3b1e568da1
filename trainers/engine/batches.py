"""Batches: the rows of each optimizer step, the columns that no model sees, and the selection of rows."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

Batch = Mapping[str, Any]
# The column of the random numbers by which augmentation changes a row.
RANDOM_NUMBERS = "random_numbers"
# The column by which a changed row is noticed, see `content_hash`.
CONTENT_HASH = "content_hash"
EXTRAS = ("index", "forget", CONTENT_HASH, RANDOM_NUMBERS)
SAMPLED = 1024  # values of an entry that a hash reads
Phases = Callable[[int], list[np.ndarray]]


class StepBatchSampler(Sampler[list[int]]):
    """Batch sampler of one process.

    An epoch is a list of phases, each shuffled and cut into optimizer steps of (nearly) equal size; a step is then
    divided over processes and micro-batches. The rows of a step therefore depend neither on the number of processes
    nor on gradient accumulation. Where epochs differ in length the whole run is one long epoch (``flat``).

    A phase may hold rows that stay together, such as pairs: an array ``(n, k)``, of which an item counts as one row.

    Args:
        phases: Rows of every phase of an epoch, ``(n,)`` or ``(n, k)``.
        epochs: Epochs of the run; whole where they differ in length.
        rows_per_step: Rows (of pairs: pairs) an optimizer step holds at most, over all processes.
        micro_batches: Micro-batches a step and process (gradient accumulation).
        rank: This process.
        world_size: Number of processes.
        seed: Seed of the shuffles.

    Raises:
        ValueError: If a phase is empty, or a step has fewer rows than there are micro-batches to fill.
    """

    def __init__(
        self,
        phases: Phases,
        *,
        epochs: float,
        rows_per_step: int,
        micro_batches: int = 1,
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
    ) -> None:
        self.phases, self.rows_per_step, self.seed = phases, rows_per_step, seed
        self.micro_batches, self.rank, self.world_size = micro_batches, rank, world_size
        self.epoch = 0
        counts = [self._count(phases(epoch)) for epoch in range(math.ceil(epochs))]
        self.flat = len(set(counts)) > 1
        if self.flat and epochs != int(epochs):
            raise ValueError(f"num_train_epochs must be whole where epochs differ in length, got {epochs}")
        self.epochs = range(len(counts)) if self.flat else None
        self.steps = sum(counts) if self.flat else counts[0]
        # Steps after which an epoch is over, where the loader's length does not determine them.
        self.ends = frozenset(np.cumsum(counts).tolist() if self.flat else ())

    def _count(self, phases: list[np.ndarray]) -> int:
        parts = self.micro_batches * self.world_size
        if not phases or any(len(rows) == 0 for rows in phases):
            raise ValueError("every phase of training needs rows, got an empty one")
        steps = [math.ceil(len(rows) / self.rows_per_step) for rows in phases]
        least = min(len(rows) // count for rows, count in zip(phases, steps, strict=True))
        if least < parts:
            raise ValueError(f"expected at least {parts} rows per step (processes x accumulation), got {least}")
        return sum(steps)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the micro-batches of this process in one epoch."""
        return self.steps * self.micro_batches

    def __iter__(self) -> Iterator[list[int]]:
        for epoch in self.epochs if self.epochs is not None else [self.epoch]:
            for number, rows in enumerate(self.phases(epoch)):
                order = np.random.default_rng((self.seed, epoch, number)).permutation(rows)
                for step in np.array_split(order, math.ceil(len(rows) / self.rows_per_step)):
                    parts = np.array_split(step, self.micro_batches * self.world_size)
                    yield from (part.ravel().tolist() for part in parts[self.rank :: self.world_size])


class EpochDataLoader(DataLoader[Any]):
    """A loader whose batch sampler follows the epoch; transformers calls `set_epoch` on it."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


def model_inputs(batch: Batch) -> dict[str, Any]:
    """Drop what a forward pass does not take: the labels (losses are ours) and the extra columns."""
    return {key: value for key, value in batch.items() if key != "labels" and key not in EXTRAS}


def select_rows(batch: Batch, rows: torch.Tensor | None) -> dict[str, Any]:
    """Return some rows of a batch, by a bool mask of shape ``(B,)``; ``None`` selects all."""
    if rows is None or rows.all():
        return dict(batch)
    return {key: value[rows] if torch.is_tensor(value) else value for key, value in batch.items()}


def content_hash(values: Mapping[str, Any]) -> int:
    """Return the CRC-32 of a row, or of a model's weights, over up to about `SAMPLED` values of each entry."""
    found = 0
    for key in sorted(values):
        found = zlib.crc32(_sample(values[key]), zlib.crc32(f"{key} {tuple(np.shape(values[key]))}".encode(), found))
    return found


def _sample(value: Any) -> bytes:
    if not torch.is_tensor(value):
        flat = np.asarray(value).ravel()
        return flat[:: max(1, len(flat) // SAMPLED)].tobytes()
    line = value.detach().flatten()
    return line[:: max(1, len(line) // SAMPLED)].contiguous().cpu().view(torch.uint8).numpy().tobytes()
