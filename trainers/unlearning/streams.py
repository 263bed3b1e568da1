"""`StreamsTrainer`: the forget and retain rows that a method trains on, and the validation rows that it may read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset

from mubench.trainers.engine.task_trainer import TaskTrainer
from mubench.trainers.unlearning.pairing import SPLITS, ForgetRetain
from mubench.trainers.unlearning.unlearning_arguments import UnlearningArguments


class StreamsTrainer(TaskTrainer):
    """Holds the rows of both sides as one dataset, and sees to it that those that a method needs are there.

    Args:
        *args: Passed to `TaskTrainer`.
        train_dataset: ``{"forget": rows, "retain": rows}``.
        eval_dataset: Rows, or rows by name, of which those called ``"validation"`` are the validation rows.
        **kwargs: Passed to `TaskTrainer`.

    Raises:
        ValueError: If a side or the validation rows that the method needs are missing or empty.

    Attributes:
        splits: The sides that a method needs.
        needs_validation: Whether it reads validation rows.
        forget_rows: Positions of the forget rows in ``self.train_dataset``, shape ``(n_f,)``.
        retain_rows: Positions of the retain rows, shape ``(n_r,)``.
        validation: Validation rows.
    """

    splits: ClassVar[tuple[str, ...]] = SPLITS
    needs_validation: ClassVar[bool] = False
    args: UnlearningArguments
    train_dataset: ForgetRetain

    def __init__(self, *args: Any, train_dataset: Mapping[str, Any], eval_dataset: Any = None, **kwargs: Any) -> None:
        rows = ForgetRetain(train_dataset)
        sizes = {"forget": len(rows.forget_rows), "retain": len(rows.retain_rows)}
        if not all(sizes[split] for split in self.splits):
            got = ", ".join(f"{count} {side}" for side, count in sizes.items())
            raise ValueError(f"{type(self).__name__} needs {' and '.join(self.splits)} rows, got {got} rows")
        validation = eval_dataset.get("validation") if isinstance(eval_dataset, Mapping) else eval_dataset
        if self.needs_validation and not (validation is not None and len(validation)):
            raise ValueError(f"{type(self).__name__} needs validation rows in eval_dataset, got none")
        super().__init__(*args, train_dataset=rows, eval_dataset=eval_dataset, **kwargs)
        self.forget_rows, self.retain_rows = rows.forget_rows, rows.retain_rows
        self.validation = validation

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase with the rows of every side the method needs."""
        sides = {"forget": self.forget_rows, "retain": self.retain_rows}
        return [np.concatenate([sides[split] for split in self.splits])]

    def batches(
        self, dataset: Any, rows: np.ndarray | None = None, size: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield batches as `terms` gets them, in order; nothing random is touched.

        Args:
            dataset: Items of row, index and side, such as ``self.train_dataset``.
            rows: Positions of those to go through; ``None`` takes all.
            size: Rows of a batch; ``None`` takes training's.
        """
        for batch in DataLoader(
            dataset if rows is None else Subset(dataset, rows.tolist()),
            batch_size=size or self.args.train_batch_size,
            collate_fn=self.train_collator,
            generator=torch.Generator(),  # its own, or iterating would move the global random state
        ):
            yield self._prepare_inputs(batch)
