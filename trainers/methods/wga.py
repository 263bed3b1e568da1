"""WGA: gradient ascent on the forget set, weighted by the probability of each token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.losses import mean_over_tokens, per_example_loss, unreduced_loss
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
class WgaArguments(UnlearningArguments):
    """Arguments of `WgaTrainer`."""

    beta: float = field(default=1.0, metadata={"help": "Power of the token probability in the weight (beta)."})
    gamma: float = field(default=1.0, metadata={"help": "Weight of the forget term."})
    alpha: float = field(default=1.0, metadata={"help": "Weight of the retain term."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.beta, self.gamma, self.alpha) < 0:
            got = f"{self.beta}, {self.gamma} and {self.alpha}"
            raise ValueError(f"beta, gamma and alpha must be 0 or more, got {got}")


def weighted_loss(logits: torch.Tensor, labels: torch.Tensor, beta: float) -> torch.Tensor:
    """Return ``p^beta CE`` of every example, or the mean of it over its tokens; the weights carry no gradient.

    Args:
        logits: Class scores, shape ``(B, K)``, or token scores, ``(B, T, V)``.
        labels: Labels of the batch, shape ``(B,)`` or ``(B, T)``.
        beta: Power of the probability ``p`` of the label.

    Returns:
        Losses in nats, fp32, shape ``(B,)``.
    """
    losses = unreduced_loss(logits, labels)
    values = (-beta * losses.detach()).exp() * losses
    return mean_over_tokens(values, labels) if values.ndim == 2 else values


class WgaTrainer(UnlearningTrainer):
    """Ascends on the forget set, weighted by each token's probability, and descends on the retain set.

    ``L = -gamma mean_forget mean_t p_t^beta CE_t + alpha mean_retain CE(z, y)``, where ``p_t`` is the probability of
    token ``t``, without a gradient; for classifiers that of the class.

    An epoch is one pass over the forget set, each example paired with a sampled retain example.

    Args:
        model: The base model.
        args: `WgaArguments`; a batch size counts pairs.

    Requirements:
        Forget and retain sets; no second model.

    Relations:
        ``beta = 0, alpha = 0`` is `NegGradTrainer`. The ascent fades once a token is forgotten, as in `SimnpoTrainer`.
    """

    paper = Paper(
        "Rethinking LLM Unlearning Objectives: A Gradient Perspective and Go Beyond",
        "ICLR 2025", "2502.19301", "Wang et al.",
    )  # fmt: skip
    kinds = (*CLASSIFICATION, *TEXT_GENERATION)
    adapted_kinds = CLASSIFICATION
    arguments = WgaArguments
    args: WgaArguments

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: the forget set, each example paired with a retain example."""
        return [pair_rows(self.forget_rows, self.retain_rows, self.generator(f"pairs {epoch}"))]

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the weighted ascent on the forget set and the cross-entropy of the retain set."""
        logits, labels, forget = self.logits(model, batch), batch["labels"], batch["forget"]
        return [
            Term("forget", weighted_loss(logits[forget], labels[forget], self.args.beta), -self.args.gamma),
            Term("retain", per_example_loss(logits[~forget], labels[~forget]), self.args.alpha),
        ]
