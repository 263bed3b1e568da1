"""`StepBatchSampler`: the rows of each optimizer step, as a pure function of seed and epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Sampler

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
            raise ValueError(f"expected at least {parts} rows a step (processes x accumulation), got {least}")
        return sum(steps)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Return the micro-batches of this process in one epoch."""
        return self.steps * self.micro_batches

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the row indices of each micro-batch."""
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
