"""`PlannedTrainer`: every optimizer step takes the rows that a plan gives it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import SaveStrategy

from mubench.trainers.engine.batch_sampler import EpochDataLoader, StepBatchSampler


class _EpochEnds(TrainerCallback):
    """Saves after every epoch where transformers sees one long one, since they differ in length."""

    def __init__(self, trainer: PlannedTrainer) -> None:
        self.trainer = trainer

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        if args.save_strategy == SaveStrategy.EPOCH and state.global_step in self.trainer.epoch_ends:
            control.should_save = True


class PlannedTrainer(Trainer):
    """Draws batches from a `StepBatchSampler`, a pure function of ``(seed, epoch)``: a resumed run gets the same rows.

    A subclass may override `phases`.

    Attributes:
        epoch_ends: Steps after which an epoch is over, where epochs differ in length.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.epoch_ends: frozenset[int] = frozenset()
        self.add_callback(_EpochEnds(self))

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return the rows of each phase of an epoch, in order, shape ``(n,)``; they are shuffled within a phase.

        Rows that belong together, such as pairs, come as ``(n, m)``, and a batch counts them as one.
        """
        return [np.arange(len(self.train_dataset))]  # type: ignore[arg-type]

    def step_plan(self) -> StepBatchSampler:
        """Lay out this process's micro-batches of the whole run."""
        args = self.args
        return StepBatchSampler(
            self.phases,
            epochs=args.num_train_epochs,
            rows_per_step=args.train_batch_size * args.gradient_accumulation_steps * args.world_size,
            micro_batches=args.gradient_accumulation_steps,
            rank=args.process_index,
            world_size=args.world_size,
            seed=self.data_seed,
        )

    @property
    def data_seed(self) -> int:
        """The seed of the order of rows and of what is drawn for them."""
        return self.args.data_seed if self.args.data_seed is not None else self.args.seed

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the loader of this process; the plan has split rows over processes already."""
        plan = self.step_plan()
        self.epoch_ends = plan.ends
        return EpochDataLoader(
            self.train_dataset,  # type: ignore[arg-type]
            batch_sampler=plan,
            collate_fn=self.train_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory and torch.cuda.is_available(),
        )

    def train_collator(self, items: Sequence[Any]) -> dict[str, Any]:
        """Collate training rows."""
        batch: dict[str, Any] = self.data_collator(list(items))
        return batch

    def set_initial_training_values(self, args: TrainingArguments, dataloader: DataLoader[Any]) -> Any:
        """Count one long epoch where the plan's epochs differ in length."""
        if dataloader.batch_sampler.flat:  # type: ignore[union-attr]
            args = copy.copy(args)
            args.num_train_epochs = 1
        return super().set_initial_training_values(args, dataloader)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """Return the micro-batches of one optimizer step and its rows per split, over all processes."""
        batches = list(itertools.islice(epoch_iterator, num_batches))
        forget = sum(int(batch["forget"].sum()) for batch in batches if "forget" in batch)
        rows = sum(len(batch["labels"]) for batch in batches)
        counts = torch.tensor([forget, rows], device=device)
        if self.args.world_size > 1:
            counts = self.accelerator.reduce(counts, "sum")
        forget, rows = (int(count) for count in counts)
        return batches, {"forget": forget, "retain": rows - forget, "all": rows}
