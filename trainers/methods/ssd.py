"""SSD: dampen the weights that matter far more to the forget rows than to all rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from mubench.trainers.engine.weights import trainable_weights
from mubench.trainers.tools.importance import mean_squares
from mubench.trainers.unlearning.unlearning_trainer import (
    CLASSIFICATION,
    TEXT_GENERATION,
    TEXT_TO_IMAGE,
    Paper,
    UnlearningArguments,
    UnlearningTrainer,
)


@dataclass
class SsdArguments(UnlearningArguments):
    """Arguments of `SsdTrainer`; the defaults are the paper's for CIFAR."""

    alpha: float = field(default=10.0, metadata={"help": "How many times as important a weight must be (alpha)."})
    dampening: float = field(default=1.0, metadata={"help": "Constant of the dampening (lambda)."})

    def __post_init__(self) -> None:
        """Refuse a threshold or a dampening below zero."""
        super().__post_init__()
        for name in ("alpha", "dampening"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")


def dampened(
    weight: torch.Tensor, forget: torch.Tensor, every: torch.Tensor, alpha: float, dampening: float
) -> torch.Tensor:
    """Return weights after selective dampening; none grows, and none changes sign.

    Args:
        weight: Weights of any shape.
        forget: Their importance to the forget rows, in the same shape.
        every: Their importance to all rows.
        alpha: A weight is touched if ``forget > alpha * every``.
        dampening: It is then multiplied by ``min(dampening * every / forget, 1)``.
    """
    factor = (dampening * every / forget).clamp(max=1)
    return torch.where(forget > alpha * every, weight * factor, weight)


class SsdTrainer(UnlearningTrainer):
    """Multiplies weights by how much less they matter to all rows than to forget rows, without training.

    ``theta_j <- min(lambda I_D,j / I_F,j, 1) theta_j`` where ``I_F,j > alpha I_D,j``, with ``I_S,j = mean_{i in S} (d
    CE_i / d theta_j)^2`` and ``D`` all rows, forget rows included.

    Every example's gradient is squared by itself. The original squares the mean gradient of a batch, so that its
    ``alpha`` depends on the batch size.

    Args:
        model: The base model.
        args: `SsdArguments`.

    Requirements:
        Forget and retain rows, one forward and one backward pass of each; memory for twice the weights. Buffers, such
        as the statistics of BatchNorm, stay.

    Relations:
        `FisherTrainer` adds noise by importance; `SfronTrainer` trains where SSD would dampen.
    """

    paper = Paper(
        "Fast Machine Unlearning Without Retraining Through Selective Synaptic Dampening",
        "AAAI 2024", "2308.07707", "Foster et al.",
    )  # fmt: skip
    kinds = (*CLASSIFICATION, *TEXT_GENERATION, *TEXT_TO_IMAGE)
    arguments = SsdArguments
    args: SsdArguments
    per_weight = True

    def edit(self, model: torch.nn.Module) -> None:
        """Dampen the weights that stand out."""
        forget = mean_squares(self, self.forget_rows)
        retain = mean_squares(self, self.retain_rows)
        share = len(self.forget_rows) / (len(self.forget_rows) + len(self.retain_rows))
        with torch.no_grad():
            for weight, f, r in zip(trainable_weights(model), forget, retain, strict=True):
                every = share * f + (1 - share) * r
                weight.copy_(dampened(weight, f, every, self.args.alpha, self.args.dampening))
