"""SSD: dampens the weights that are far more important to the forget set than to all data."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from mubench.trainers.engine.parameters import trainable_weights
from mubench.trainers.tools.importance import mean_squares
from mubench.trainers.unlearning.kinds import ALL_KINDS
from mubench.trainers.unlearning.unlearning_trainer import Paper, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import NonNegative


@dataclass
class SsdArguments(UnlearningArguments):
    """Arguments of `SsdTrainer`; the defaults are those of the paper for CIFAR."""

    alpha: NonNegative = field(
        default=10.0,
        metadata={"help": "Ratio of forget to overall importance above which a weight is dampened (alpha)."},
    )
    dampening: NonNegative = field(default=1.0, metadata={"help": "Constant of the dampening (lambda)."})


def dampen(
    weight: torch.Tensor, forget: torch.Tensor, every: torch.Tensor, alpha: float, dampening: float
) -> torch.Tensor:
    """Return weights after selective dampening; none grows, and none changes sign.

    Args:
        weight: Weights of any shape.
        forget: Their importance to the forget set, in the same shape.
        every: Their importance to all data.
        alpha: A weight is dampened if ``forget > alpha * every``.
        dampening: It is then multiplied by ``min(dampening * every / forget, 1)``.
    """
    factor = (dampening * every / forget).clamp(max=1)
    return torch.where(forget > alpha * every, weight * factor, weight)


class SsdTrainer(UnlearningTrainer):
    """Dampens weights by the ratio of their importance to all data and to the forget set, without training.

    ``theta_j <- min(lambda I_D,j / I_F,j, 1) theta_j`` where ``I_F,j > alpha I_D,j``, with ``I_S,j = mean_{i in S} (d
    CE_i / d theta_j)^2`` and ``D`` all data, forget set included.

    Every example's gradient is squared by itself. The original squares the mean gradient of a batch, so that its
    ``alpha`` depends on the batch size.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Requirements:
        Forget and retain sets, one forward and one backward pass over each; memory for twice the weights, and
        half a GiB for gradients of single images. Buffers, such as the statistics of BatchNorm, do not change.

    Relations:
        `FisherTrainer` adds noise by importance; `SfronTrainer` trains the weights that SSD would dampen.
    """

    paper = Paper(
        "Fast Machine Unlearning Without Retraining Through Selective Synaptic Dampening",
        "AAAI 2024", "2308.07707", "Foster et al.",
    )  # fmt: skip
    kinds = ALL_KINDS
    arguments = SsdArguments
    args: SsdArguments
    per_weight = True

    def edit(self, model: torch.nn.Module) -> None:
        """Dampen the weights above the threshold."""
        forget = mean_squares(self, self.forget_rows)
        retain = mean_squares(self, self.retain_rows)
        share = len(self.forget_rows) / (len(self.forget_rows) + len(self.retain_rows))
        with torch.no_grad():
            for weight, f, r in zip(trainable_weights(model), forget, retain, strict=True):
                every = share * f + (1 - share) * r
                weight.copy_(dampen(weight, f, every, self.args.alpha, self.args.dampening))
