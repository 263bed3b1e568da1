"""`ObservedTrainer`: what is counted of a run, and what is looked at between its epochs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mubench.trainers.engine.task_trainer import TaskTrainer

if TYPE_CHECKING:
    from mubench.trainers.evaluation.validation_score import ValidationScore
    from mubench.trainers.unlearning.cost import Counter
    from mubench.trainers.unlearning.epoch_evaluation import EpochEvaluationCallback
    from mubench.trainers.unlearning.output_functions import OutputFunction
    from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer


class ObservedTrainer(TaskTrainer):
    """Lets itself be counted and looked at, which changes nothing of the run.

    Attributes:
        counter: Counts examples forward and backward, if one is attached.
        inner: A trainer of another method that works on the same model; its teachers are counted too.
        look: What is looked at after every epoch; ``None`` for the trainer's own rows, of classes or tokens.
        oracle: What an epoch is worth beside retrained models; only ``keep oracle`` asks for it.
        epochs: Looks, once training has begun, if anybody asked for it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.counter: Counter | None = None
        self.inner: UnlearningTrainer | None = None
        self.look: OutputFunction | None = None
        self.oracle: ValidationScore | None = None
        self.epochs: EpochEvaluationCallback | None = None

    def costs(self) -> dict[str, float]:
        """Return what this process has spent on the run: seconds, and examples where a counter is attached."""
        return {**super().costs(), **(self.counter.counts() if self.counter else {})}

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Leave what is done within the block out of the costs: its seconds and its examples."""
        with super().aside(), self.counter.paused() if self.counter else contextlib.nullcontext():
            yield

    def history(self) -> list[dict[str, Any]]:
        """Return what was found after every epoch, if anybody looked."""
        return self.epochs.history() if self.epochs else []
