"""Negative preference optimisation (NPO): treats the answers to forget as dispreferred."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.losses import answer_nll, kl, per_example_loss, preference
from mubench.trainers.unlearning.forget_retain import pair_rows
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
class NpoArguments(UnlearningArguments):
    """Arguments of `NpoTrainer`."""

    beta: float = field(default=0.1, metadata={"help": "How soon an answer counts as forgotten (beta)."})
    alpha: float = field(default=1.0, metadata={"help": "Weight of the retain term."})
    retain_loss: str = field(
        default="nll", metadata={"help": "Retain term: nll (labels) or kl (outputs of the base model)."}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta <= 0:
            raise ValueError(f"beta must be positive, got {self.beta}")
        if self.alpha < 0:
            raise ValueError(f"alpha must be 0 or more, got {self.alpha}")
        if self.retain_loss not in ("nll", "kl"):
            raise ValueError(f"retain_loss must be nll or kl, got {self.retain_loss!r}")


class NpoTrainer(UnlearningTrainer):
    """Lowers the probability of the forget set's answers below the base model's, with a vanishing gradient.

    ``L = -(2 / beta) mean_forget log sigmoid(beta (S - S_0)) + alpha mean_retain R``, where ``S = -log p(y)`` of a
    whole answer (the sum over its tokens), ``S_0`` is that of the base model, and ``R`` the cross-entropy or
    ``KL(p_0 || p)``.

    An epoch is one pass over the forget set, each example paired with a sampled retain example.

    Args:
        model: The base model.
        args: `NpoArguments`; a batch size counts pairs.
        teacher: Replaces the frozen base model.

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
    kinds = (*CLASSIFICATION, *TEXT_GENERATION, *TEXT_TO_IMAGE)
    adapted_kinds = (*CLASSIFICATION, *TEXT_TO_IMAGE)
    arguments = NpoArguments
    args: NpoArguments
    uses_teacher = True

    def prepare(self) -> None:
        """Keep the base model as the teacher."""
        self.teachers = {"original": self.frozen_original()}

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: the forget set, each example paired with a retain example."""
        return [pair_rows(self.forget_rows, self.retain_rows, self.generator(f"pairs {epoch}"))]

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the preference on the forget set and the retain term."""
        logits = self.logits(model, batch)
        return [
            Term("forget", preference(self.margins(model, logits, batch), self.args.beta)),
            Term("retain", self.retain_values(logits, batch), self.args.alpha),
        ]

    def margins(self, model: torch.nn.Module, logits: torch.Tensor, batch: Mapping[str, Any]) -> torch.Tensor:
        """Return ``S - S_0`` of the forget examples of a batch, shape ``(b,)``."""
        forget = batch["forget"]
        return answer_nll(logits[forget], batch["labels"][forget]) - self.teacher_nll("original", batch, forget)

    def retain_values(self, logits: torch.Tensor, batch: Mapping[str, Any]) -> torch.Tensor:
        """Return the loss of the retain examples of a batch, shape ``(b,)``."""
        labels, retain = batch["labels"], ~batch["forget"]
        if self.args.retain_loss == "nll" or not retain.any():
            return per_example_loss(logits[retain], labels[retain])
        return kl(logits[retain], self.teacher_logits("original", batch, retain), labels[retain])
