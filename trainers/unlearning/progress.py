"""`ProgressCallback`: reports steps, seconds and the task's loss on a few rows of each split while a run trains."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from mubench.trainers.engine.batches import model_inputs
from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.inference.predict import eval_mode
from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

ROWS = 32
POINTS = 20
Point = dict[str, float]


class ProgressCallback(TrainerCallback):
    """Reports the progress of a run about `POINTS` times, and changes neither its weights nor its costs.

    A point has ``step``, ``steps``, ``seconds`` and, of a method, ``forget`` and ``retain``: the mean loss of the task
    on the first `ROWS` rows of each split, in nats.

    Args:
        report: Is called with every point; what it raises ends the run.

    Attributes:
        trainer: The trainer of a method; without one no losses are reported.
    """

    def __init__(self, report: Callable[[Point], object]) -> None:
        self.report = report
        self.trainer: UnlearningTrainer | None = None
        self._start = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._report(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % max(1, state.max_steps // POINTS) == 0 or state.global_step == state.max_steps:
            self._report(state)

    def _report(self, state: Any) -> None:
        point: Point = {"step": state.global_step, "steps": state.max_steps}
        if self.trainer is not None:
            with self.trainer.exclude_from_cost():
                splits = {"forget": self.trainer.forget_rows, "retain": self.trainer.retain_rows}
                point |= {split: self._loss(self.trainer, rows[:ROWS]) for split, rows in splits.items() if len(rows)}
        self.report({**point, "seconds": time.monotonic() - self._start})

    @staticmethod
    def _loss(trainer: UnlearningTrainer, rows: np.ndarray) -> float:
        """Return the mean loss of the task on some rows, without touching anything random."""
        model = trainer.accelerator.unwrap_model(trainer.model)
        with torch.no_grad(), eval_mode(model):
            (batch,) = trainer.batches(trainer.train_dataset, rows, size=len(rows))
            losses = per_example_loss(model(**model_inputs(batch)).logits, batch["labels"])
        return float(losses.mean())
