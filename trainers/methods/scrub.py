"""SCRUB: moves away from the base model on the forget set and back to it on the retain set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

from mubench.trainers.engine.losses import kd, per_example_loss
from mubench.trainers.unlearning.kinds import ALL_KINDS, TEXT_GENERATION, TEXT_TO_IMAGE
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import CountOrZero, Positive


@dataclass
class ScrubArguments(UnlearningArguments):
    """Arguments of `ScrubTrainer`; the defaults are those of the paper's small setting."""

    gamma: float = field(default=1.0, metadata={"help": "Weight of the cross-entropy in the min pass (gamma)."})
    alpha: float = field(default=0.5, metadata={"help": "Weight of the distillation in the min pass (alpha)."})
    msteps: CountOrZero = field(default=3, metadata={"help": "Number of initial epochs with a max pass."})
    temperature: Positive = field(default=2.0, metadata={"help": "Temperature T of the distillation KD_T."})


class ScrubTrainer(UnlearningTrainer):
    """Alternates max passes over the forget set with min passes over the retain set.

    max pass: ``L = -mean_forget KD_T(theta_0 -> theta)``, in the first ``msteps`` epochs; min pass, in every epoch and
    after the max pass: ``L = mean_retain [gamma CE(z, y) + alpha KD_T(theta_0 -> theta)]``, where ``KD_T = T^2 KL``.

    The first epoch has an additional min pass before its max pass: at the original weights the gradient of ``KD_T`` is
    zero, and without dropout the max pass would follow rounding noise. With ``msteps = 0`` there is no such pass.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Requirements:
        Forget and retain sets; a whole ``num_train_epochs`` unless ``msteps`` is 0.

    Relations:
        ``gamma = 1, alpha = 0, msteps = 0`` is `FinetuneTrainer`. Published as SCRUB; SCRUB+R, which selects a
        checkpoint afterwards, is not part of it.
    """

    paper = Paper("Towards Unbounded Machine Unlearning", "NeurIPS 2023", "2302.09880", "Kurmanji et al.")
    kinds = ALL_KINDS
    adapted_kinds = (*TEXT_GENERATION, *TEXT_TO_IMAGE)
    arguments = ScrubArguments
    args: ScrubArguments
    uses_teacher = True
    teacher_splits: ClassVar = {"original": ("forget", "retain")}

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return the passes of an epoch."""
        if epoch >= self.args.msteps:
            return [self.retain_rows]
        passes = [self.forget_rows, self.retain_rows]
        return [self.retain_rows, *passes] if epoch == 0 else passes

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the terms of both passes; those of the other pass are empty."""
        logits = self.logits(model, batch)
        distance = kd(logits, self.teacher_logits("original", batch), batch["labels"], self.args.temperature)
        forget = batch["forget"]
        return [
            Term("forget", distance[forget], weight=-1.0),
            Term("retain", per_example_loss(logits, batch["labels"])[~forget], weight=self.args.gamma),
            Term("retain", distance[~forget], weight=self.args.alpha),
        ]
