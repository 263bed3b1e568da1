"""KL minimisation: ascends on the forget set and distils the base model on the retain set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.losses import kl, per_example_loss
from mubench.trainers.unlearning.forget_retain import pair_rows
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

    alpha: float = field(default=1.0, metadata={"help": "Weight of the divergence on the retain set (the paper's 1)."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha < 0:
            raise ValueError(f"alpha must be 0 or more, got {self.alpha}")


class KlMinTrainer(UnlearningTrainer):
    """Ascends on the forget set and keeps the outputs on the retain set close to the base model's.

    ``L = -mean_forget CE(z, y) + alpha mean_retain KL(p_0 || p)``, where ``p_0`` is the output of the base model; for
    language models the mean over the answer tokens alone, not over prompt and padding.

    An epoch is one pass over the forget set, each example paired with a sampled retain example.

    Args:
        model: The base model.
        args: `KlMinArguments`; a batch size counts pairs.
        teacher: Replaces the frozen base model.

    Requirements:
        Forget and retain sets. The loss is unbounded, as that of `NegGradTrainer`, with which its first step
        coincides: at the original weights the divergence has no gradient.

    Relations:
        `NegGradPlusTrainer` trains on the labels of the retain set. Published as KL minimisation, for TOFU.
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
        """Return one phase: the forget set, each example paired with a retain example."""
        return [pair_rows(self.forget_rows, self.retain_rows, self.generator(f"pairs {epoch}"))]

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the ascent on the forget set and the divergence on the retain set, from one forward pass."""
        logits, labels, forget = self.logits(model, batch), batch["labels"], batch["forget"]
        values = logits.new_zeros(0)
        if not forget.all():
            original = self.teacher_logits("original", batch, ~forget)
            values = kl(logits[~forget], original, labels[~forget])
        return [
            Term("forget", per_example_loss(logits, labels)[forget], weight=-1.0),
            Term("retain", values, weight=self.args.alpha),
        ]
