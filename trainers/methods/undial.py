"""UNDIAL: distils the base model on the forget set with the logit of the true class lowered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

from mubench.trainers.engine.losses import lower_label_logit, per_example_loss, soft_cross_entropy
from mubench.trainers.unlearning.forget_retain import pair_rows
from mubench.trainers.unlearning.kinds import CLASSIFICATION, TEXT_GENERATION
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import NonNegative


@dataclass
class UndialArguments(UnlearningArguments):
    """Arguments of `UndialTrainer`; the defaults are those in use for TOFU."""

    beta: NonNegative = field(
        default=10.0, metadata={"help": "Amount by which the logit of the true class is lowered (beta)."}
    )
    alpha: NonNegative = field(
        default=0.0, metadata={"help": "Weight of the cross-entropy of paired retain examples; 0: none."}
    )


class UndialTrainer(UnlearningTrainer):
    """Distils the base model on the forget set, with its logit of the true class lowered.

    ``L = mean_forget CE(q, p) + alpha mean_retain CE(z, y)`` with ``q = softmax(z_0 - beta onehot(y))`` and
    ``p = softmax(z)``; for language models the mean over the answer tokens, each with its own target.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Args:
        args: `UndialArguments`; with ``alpha`` a batch size counts pairs of a forget and a retain example.

    Requirements:
        Forget set, and with ``alpha`` the retain set. The target is bounded, so longer training has no further effect.

    Relations:
        ``beta = 0`` distils the model from itself; ``beta -> infinity`` is `DeleteTrainer`, except for the entropy of
        the target, which is constant. `CeUTrainer` has no teacher.
    """

    paper = Paper(
        "UNDIAL: Self-Distillation with Adjusted Logits for Robust Unlearning in Large Language Models",
        "NAACL 2025", "2402.10052", "Dong et al.",
    )  # fmt: skip
    kinds = (*CLASSIFICATION, *TEXT_GENERATION)
    adapted_kinds = CLASSIFICATION
    arguments = UndialArguments
    like = "neg_grad"
    args: UndialArguments
    splits = ("forget",)
    uses_teacher = True
    teacher_splits: ClassVar = {"original": ("forget",)}

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: the forget set, paired with retain examples if ``alpha`` is not 0."""
        if not self.args.alpha:
            return [self.forget_rows]
        return [pair_rows(self.forget_rows, self.retain_rows, self.generator(f"pairs {epoch}"))]

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        logits, labels, forget = self.logits(model, batch), batch["labels"], batch["forget"]
        values = logits.new_zeros(0)
        if forget.any():
            original = self.teacher_logits("original", batch, forget)
            target = lower_label_logit(original, labels[forget], self.args.beta).softmax(dim=-1)
            values = soft_cross_entropy(target, logits[forget], labels[forget])
        return [
            Term("forget", values),
            Term("retain", per_example_loss(logits, labels)[~forget], weight=self.args.alpha),
        ]
