"""`AugmentingTrainer`: rows that are trained on are changed at random, and no others."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.augmentation import CHANCES, Transform
from mubench.trainers.engine.losses import RANDOM_NUMBERS
from mubench.trainers.engine.steps import PlannedTrainer
from mubench.trainers.engine.task_arguments import TaskArguments

_PURPOSE = zlib.crc32(b"augment")


class AugmentingTrainer(PlannedTrainer):
    """Gives every row of a training step random numbers of its own, by which a transform changes it.

    They are a pure function of the seed, the step and the row's place in the step: a resumed run, smaller
    micro-batches and more processes meet the same rows. What is evaluated, and what methods look at beside training,
    is given none, and stays as it is.

    Args:
        *args: Passed to `PlannedTrainer`.
        transform: Changes a batch by the numbers of its rows, such as a modality's ``train_transform``; used where
            ``augment`` is on.
        **kwargs: Passed to `PlannedTrainer`.

    Raises:
        ValueError: If ``augment`` is on and there is no transform.

    Attributes:
        transform: The transform, where it is used.
    """

    def __init__(self, *args: Any, transform: Transform | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        augment = isinstance(self.args, TaskArguments) and self.args.augment
        if augment and transform is None:
            raise ValueError("expected transform= to augment training batches with, got none")
        self.transform = transform if augment else None

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """Return the micro-batches of one optimizer step, with their rows' numbers, and its rows per split."""
        batches, counts = super().get_batch_samples(epoch_iterator, num_batches, device)
        if self.transform is not None:
            chances = self._chances([len(batch["labels"]) for batch in batches], device)
            batches = [{**batch, RANDOM_NUMBERS: own} for batch, own in zip(batches, chances, strict=True)]
        return batches, counts

    def _chances(self, sizes: list[int], device: torch.device) -> list[torch.Tensor]:
        """Return the numbers of the rows of each micro-batch, ``(b, CHANCES)``, given how many rows each has.

        A step's rows are shared out in order: micro-batch by micro-batch, and of each of these process by process.
        """
        everyones = torch.tensor([sizes], device=device)
        if self.args.world_size > 1:
            everyones = self.accelerator.gather(everyones)
        ends = everyones.T.flatten().cumsum(0).view(len(sizes), -1)[:, self.args.process_index].tolist()
        source = np.random.default_rng((self.data_seed, _PURPOSE, self.state.global_step))
        drawn = torch.from_numpy(source.random((ends[-1], CHANCES), dtype=np.float32))
        return [drawn[end - size : end] for size, end in zip(sizes, ends, strict=True)]

    def _prepare_inputs(self, inputs: Any) -> dict[str, Any]:
        """Move a batch to the device, and change its rows where they have numbers."""
        prepared: dict[str, Any] = super()._prepare_inputs(inputs)
        if self.transform is None or RANDOM_NUMBERS not in prepared:
            return prepared
        return self.transform(prepared, prepared[RANDOM_NUMBERS])
