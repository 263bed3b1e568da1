"""KL minimisation: ascend on forget rows, and stay at the base model's outputs on retain rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.losses import kl, per_example_loss
from mubench.trainers.unlearning.pairing import pair_rows
from mubench.trainers.unlearning.unlearning_trainer import (
    CLASSIFICATION,
    TEXT_GENERATION,
    Paper,
    Term,
    UnlearningArguments,
    UnlearningTrainer,
)


@dataclass
class KlMinArguments(UnlearningArguments):
    """Arguments of `KlMinTrainer`."""

    alpha: float = field(
        default=1.0, metadata={"help": "Weight of the divergence on the retain rows (the paper's 1)."}
    )

    def __post_init__(self) -> None:
        """Refuse a weight that is none."""
        super().__post_init__()
        if self.alpha < 0:
            raise ValueError(f"alpha must be 0 or more, got {self.alpha}")


class KlMinTrainer(UnlearningTrainer):
    """Raises the loss of the forget rows and keeps the outputs on as many retain rows what they were.

    ``L = -mean_forget CE(z, y) + alpha mean_retain KL(p_0 || p)``, where ``p_0`` is what the base model says; of
    models that write, the mean over the answer tokens alone, not over prompt and padding.

    An epoch goes through the forget rows, each with a retain row that is drawn for it.

    Args:
        model: The base model.
        args: `KlMinArguments`; a batch size counts pairs.
        teacher: Takes the place of the frozen base model.

    Requirements:
        Forget and retain rows. The loss is unbounded, as that of `NegGradTrainer` is, whose first step is this one's:
        at the original weights the divergence has no gradient.

    Relations:
        `NegGradPlusTrainer` holds the retain rows to their labels. Published as KL minimisation, for TOFU.
    """

    paper = Paper("TOFU: A Task of Fictitious Unlearning for LLMs", "COLM 2024", "2401.06121", "Maini et al.")
    kinds = (*CLASSIFICATION, *TEXT_GENERATION)
    adapted_kinds = CLASSIFICATION
    arguments = KlMinArguments
    args: KlMinArguments
    uses_teacher = True

    def prepare(self) -> None:
        """Keep the base model as the teacher."""
        self.teachers = {"original": self.frozen_original()}

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: the forget rows, each with a retain row."""
        return [pair_rows(self.forget_rows, self.retain_rows, self.generator(f"pairs {epoch}"))]

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the ascent on the forget rows and the divergence of the retain rows, from one forward pass."""
        logits, labels, forget = self.logits(model, batch), batch["labels"], batch["forget"]
        values = logits.new_zeros(0)
        if not forget.all():
            original = self.teacher_logits("original", batch, ~forget)
            values = kl(logits[~forget], original, labels[~forget])
        return [
            Term("forget", per_example_loss(logits, labels)[forget], weight=-1.0),
            Term("retain", values, weight=self.args.alpha),
        ]
