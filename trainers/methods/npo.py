"""Negative preference optimisation (NPO): treats the answers to forget as dispreferred."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import torch

from mubench.trainers.engine.losses import answer_nll, kl, per_example_loss, preference
from mubench.trainers.unlearning.kinds import ALL_KINDS, CLASSIFICATION, TEXT_TO_IMAGE
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import NonNegative, Positive


@dataclass
class NpoArguments(UnlearningArguments):
    """Arguments of `NpoTrainer`."""

    beta: Positive = field(default=0.1, metadata={"help": "How soon an answer counts as forgotten (beta)."})
    alpha: NonNegative = field(default=1.0, metadata={"help": "Weight of the retain term."})
    retain_loss: Annotated[str, ("nll", "kl")] = field(
        default="nll", metadata={"help": "Retain term: nll (labels) or kl (outputs of the base model)."}
    )


def forget_margins(trainer: UnlearningTrainer, logits: torch.Tensor, batch: Mapping[str, Any]) -> torch.Tensor:
    """Return ``S - S_0`` of the forget examples of a batch, shape ``(b,)``."""
    forget = batch["forget"]
    return answer_nll(logits[forget], batch["labels"][forget]) - trainer.teacher_nll("original", batch, forget)


def retain_values(
    trainer: UnlearningTrainer, name: str, logits: torch.Tensor, batch: Mapping[str, Any]
) -> torch.Tensor:
    """Return the retain term of that name (``nll`` or ``kl``) of the retain examples of a batch, shape ``(b,)``."""
    labels, retain = batch["labels"], ~batch["forget"]
    if name == "nll" or not retain.any():
        return per_example_loss(logits[retain], labels[retain])
    return kl(logits[retain], trainer.teacher_logits("original", batch, retain), labels[retain])


class NpoTrainer(UnlearningTrainer):
    """Lowers the probability of the forget set's answers below the base model's, with a vanishing gradient.

    ``L = -(2 / beta) mean_forget log sigmoid(beta (S - S_0)) + alpha mean_retain R``, where ``S = -log p(y)`` of a
    whole answer (the sum over its tokens), ``S_0`` is that of the base model, and ``R`` the cross-entropy or
    ``KL(p_0 || p)``, the mean over the answer tokens alone, where the authors' runs over prompt and padding too.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Requirements:
        Forget and retain sets. The teacher cache holds one number per forget example.

    Relations:
        ``beta -> 0`` is `NegGradTrainer` on the forget set, and so is the first step; `SimnpoTrainer` needs no base
        model, `DpoTrainer` adds a preferred answer.
    """

    paper = Paper(
        "Negative Preference Optimization: From Catastrophic Collapse to Effective Unlearning",
        "COLM 2024", "2404.05868", "Zhang et al.",
    )  # fmt: skip
    kinds = ALL_KINDS
    adapted_kinds = (*CLASSIFICATION, *TEXT_TO_IMAGE)
    arguments = NpoArguments
    like = "neg_grad"
    args: NpoArguments
    paired = True
    uses_teacher = True
    teacher_splits: ClassVar = {"original": ("forget", "retain")}

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        logits = self.logits(model, batch)
        return [
            Term("forget", preference(forget_margins(self, logits, batch), self.args.beta)),
            Term("retain", retain_values(self, self.args.retain_loss, logits, batch), self.args.alpha),
        ]
