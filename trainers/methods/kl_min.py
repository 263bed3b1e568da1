"""KL minimisation: ascends on the forget set and distils the base model on the retain set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from mubench.trainers.engine.losses import kl, per_example_loss
from mubench.trainers.unlearning.kinds import CLASSIFICATION, TEXT_GENERATION
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import NonNegative


@dataclass
class KlMinArguments(UnlearningArguments):
    """Arguments of `KlMinTrainer`."""

    alpha: NonNegative = field(
        default=1.0, metadata={"help": "Weight of the divergence on the retain set (the paper's 1)."}
    )


class KlMinTrainer(UnlearningTrainer):
    """Ascends on the forget set and keeps the outputs on the retain set close to the base model's.

    ``L = -mean_forget CE(z, y) + alpha mean_retain KL(p_0 || p)``, where ``p_0`` is the output of the base model; for
    language models the mean over the answer tokens alone, not over prompt and padding. Where BatchNorm takes its
    statistics from the batch, both sets go through the model apart, as in the authors' code; elsewhere at once.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

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
    like = "neg_grad"
    args: KlMinArguments
    paired = True
    uses_teacher = True
    teacher_splits: ClassVar = {"original": ("retain",)}

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the ascent on the forget set and the divergence on the retain set."""
        logits, labels, forget = self.logits_of_splits(model, batch), batch["labels"], batch["forget"]
        values = logits.new_zeros(0)
        if not forget.all():
            original = self.teacher_logits("original", batch, ~forget)
            values = kl(logits[~forget], original, labels[~forget])
        return [
            Term("forget", per_example_loss(logits, labels)[forget], weight=-1.0),
            Term("retain", values, weight=self.args.alpha),
        ]
