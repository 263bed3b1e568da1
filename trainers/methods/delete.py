"""DELETE: distils the base model's output on the forget set without the true class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from mubench.trainers.engine.losses import lower_label_logit, soft_cross_entropy
from mubench.trainers.unlearning.kinds import CLASSIFICATION, TEXT_GENERATION
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer


@dataclass
class DeleteArguments(UnlearningArguments):
    """DELETE has no arguments of its own."""


class DeleteTrainer(UnlearningTrainer):
    """Distils the base model on the forget set, with its logit of the true class removed.

    ``L = mean_forget KL(q || p)`` with ``q = softmax(z_0, where z_0[y] = -inf)`` and ``p = softmax(z)``; for language
    models the mean over the answer tokens. The other classes keep the odds they have in the base model.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Requirements:
        Forget set; the retain set is not read. With two classes the target is a flipped label, which pushes the forget
        set below the confidence of a retrained model.

    Relations:
        `CeUTrainer` removes the true class from the current model's output; `UndialTrainer` lowers its logit instead.
    """

    paper = Paper(
        "Decoupled Distillation to Erase: A General Unlearning Method for Any Class-centric Tasks",
        "CVPR 2025", "2503.23751", "Zhou et al.",
    )  # fmt: skip
    kinds = (*CLASSIFICATION, *TEXT_GENERATION)
    adapted_kinds = TEXT_GENERATION
    arguments = DeleteArguments
    like = "neg_grad"
    splits = ("forget",)
    uses_teacher = True
    teacher_splits: ClassVar = {"original": ("forget",)}

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        logits, labels = self.logits(model, batch), batch["labels"]
        target = lower_label_logit(self.teacher_logits("original", batch), labels, math.inf).softmax(dim=-1)
        values = soft_cross_entropy(target, logits, labels, less_entropy=True)
        return [Term("forget", values[batch["forget"]])]
