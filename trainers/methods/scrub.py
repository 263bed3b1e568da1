"""SCRUB: move away from the original model on the forget rows, and back to it on the retain rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.losses import kd, per_example_loss
from mubench.trainers.unlearning.unlearning_trainer import (
    CLASSIFICATION,
    TEXT_GENERATION,
    TEXT_TO_IMAGE,
    Paper,
    Term,
    UnlearningArguments,
    UnlearningTrainer,
)


@dataclass
class ScrubArguments(UnlearningArguments):
    """Arguments of `ScrubTrainer`; the defaults are the paper's small setting."""

    gamma: float = field(default=1.0, metadata={"help": "Weight of the cross-entropy in the min pass (gamma)."})
    alpha: float = field(default=0.5, metadata={"help": "Weight of the distillation in the min pass (alpha)."})
    msteps: int = field(default=3, metadata={"help": "EpochEvaluationCallback that have a max pass, the first ones."})
    temperature: float = field(default=2.0, metadata={"help": "Temperature T of the distillation KD_T."})

    def __post_init__(self) -> None:
        """Refuse what is no schedule or no temperature."""
        super().__post_init__()
        if self.msteps < 0:
            raise ValueError(f"msteps must be 0 or more, got {self.msteps}")
        if self.temperature <= 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}")


class ScrubTrainer(UnlearningTrainer):
    """Alternates max passes over the forget rows with min passes over the retain rows.

    max pass: ``L = -mean_forget KD_T(theta_0 -> theta)``, in the first ``msteps`` epochs; min pass, in every epoch and
    after the max pass: ``L = mean_retain [gamma CE(z, y) + alpha KD_T(theta_0 -> theta)]``, where ``KD_T = T^2 KL``.

    The first epoch has a min pass before its max pass as well: at the original weights the gradient of ``KD_T`` is
    zero, and without dropout the max pass would follow rounding noise. ``msteps = 0`` needs no such pass and has none.

    Args:
        model: The base model.
        args: `ScrubArguments`.
        teacher: Takes the place of the frozen base model.

    Requirements:
        Forget and retain rows; ``num_train_epochs`` whole unless ``msteps`` is 0.

    Relations:
        ``gamma = 1, alpha = 0, msteps = 0`` is `FinetuneTrainer`. Published as SCRUB; SCRUB+R, which picks an epoch's
        checkpoint afterwards, is not part of it.
    """

    paper = Paper("Towards Unbounded Machine Unlearning", "NeurIPS 2023", "2302.09880", "Kurmanji et al.")
    kinds = (*CLASSIFICATION, *TEXT_GENERATION, *TEXT_TO_IMAGE)
    adapted_kinds = (*TEXT_GENERATION, *TEXT_TO_IMAGE)
    arguments = ScrubArguments
    args: ScrubArguments
    uses_teacher = True

    def prepare(self) -> None:
        """Keep the original model as the teacher."""
        self.teachers = {"original": self.frozen_original()}

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return the passes of an epoch."""
        if epoch >= self.args.msteps:
            return [self.retain_rows]
        passes = [self.forget_rows, self.retain_rows]
        return [self.retain_rows, *passes] if epoch == 0 else passes

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the terms of the pass that the rows belong to."""
        logits = self.logits(model, batch)
        distance = kd(logits, self.teacher_logits("original", batch), batch["labels"], self.args.temperature)
        forget = batch["forget"]
        return [
            Term("forget", distance[forget], weight=-1.0),
            Term("retain", per_example_loss(logits, batch["labels"])[~forget], weight=self.args.gamma),
            Term("retain", distance[~forget], weight=self.args.alpha),
        ]
