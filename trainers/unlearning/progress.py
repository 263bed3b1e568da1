"""`ProgressCallback`: reports steps, seconds and the task's loss on a few rows of each split while a run trains."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from mubench.trainers.engine.losses import model_inputs, per_example_loss
from mubench.trainers.inference.predict import evaluating
from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

ROWS = 32
POINTS = 20
Point = dict[str, float]


class ProgressCallback(TrainerCallback):
    """Tells how a run gets on, about `POINTS` times, and changes nothing of it: neither weights nor costs.

    A point has ``step``, ``steps``, ``seconds`` and, of a method, ``forget`` and ``retain``: the mean loss of the task
    on the first `ROWS` rows of each side, in nats.

    Args:
        tell: Gets every point; what it raises ends the run.

    Attributes:
        trainer: The trainer of a method; without one there are no losses to tell.
    """

    def __init__(self, tell: Callable[[Point], object]) -> None:
        self.tell = tell
        self.trainer: UnlearningTrainer | None = None
        self._start = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._point(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % max(1, state.max_steps // POINTS) == 0 or state.global_step == state.max_steps:
            self._point(state)

    def _point(self, state: Any) -> None:
        point: Point = {"step": state.global_step, "steps": state.max_steps}
        if self.trainer is not None:
            with self.trainer.aside():
                sides = {"forget": self.trainer.forget_rows, "retain": self.trainer.retain_rows}
                point |= {side: self._loss(self.trainer, rows[:ROWS]) for side, rows in sides.items() if len(rows)}
        self.tell({**point, "seconds": time.monotonic() - self._start})

    @staticmethod
    def _loss(trainer: UnlearningTrainer, rows: np.ndarray) -> float:
        """Return the mean loss of the task on some rows; nothing random is touched."""
        model = trainer.accelerator.unwrap_model(trainer.model)
        with torch.no_grad(), evaluating(model):
            (batch,) = trainer.batches(trainer.train_dataset, rows, size=len(rows))
            losses = per_example_loss(model(**model_inputs(batch)).logits, batch["labels"])
        return float(losses.mean())
