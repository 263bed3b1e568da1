"""WGA: gradient ascent on the forget set, weighted by the probability of each token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mubench.trainers.engine.losses import mean_over_tokens, per_example_loss, unreduced_loss
from mubench.trainers.unlearning.kinds import CLASSIFICATION, TEXT_GENERATION
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import NonNegative


@dataclass
class WgaArguments(UnlearningArguments):
    """Arguments of `WgaTrainer`."""

    beta: NonNegative = field(default=1.0, metadata={"help": "Power of the token probability in the weight (beta)."})
    gamma: NonNegative = field(default=1.0, metadata={"help": "Weight of the forget term."})
    alpha: NonNegative = field(default=1.0, metadata={"help": "Weight of the retain term."})


def weighted_loss(logits: torch.Tensor, labels: torch.Tensor, beta: float, complement: float = 0.0) -> torch.Tensor:
    """Return ``p^beta (1 - p)^complement CE`` of every example, or the mean of it over its tokens.

    The weights carry no gradient.

    Args:
        logits: Class scores, shape ``(B, K)``, or token scores, ``(B, T, V)``.
        labels: Labels of the batch, shape ``(B,)`` or ``(B, T)``.
        beta: Power of the probability ``p`` of the label.
        complement: Power of ``1 - p``.

    Returns:
        Losses in nats, fp32, shape ``(B,)``.
    """
    losses = unreduced_loss(logits, labels)
    weights = (-beta * losses.detach()).exp()
    if complement:
        weights = weights * (-torch.expm1(-losses.detach())).pow(complement)
    values = weights * losses
    return mean_over_tokens(values, labels) if values.ndim == 2 else values


class WgaTrainer(UnlearningTrainer):
    """Ascends on the forget set, weighted by each token's probability, and descends on the retain set.

    ``L = -gamma mean_forget mean_t p_t^beta CE_t + alpha mean_retain CE(z, y)``, where ``p_t`` is the probability of
    token ``t``, without a gradient; for classifiers that of the class.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Requirements:
        Forget and retain sets; no second model.

    Relations:
        ``beta = 0, alpha = 0`` is `NegGradTrainer`. The ascent fades once a token is forgotten, as in `SimnpoTrainer`.
        `SatimpTrainer` also spares tokens that are sure.
    """

    paper = Paper(
        "Rethinking LLM Unlearning Objectives: A Gradient Perspective and Go Beyond",
        "ICLR 2025", "2502.19301", "Wang et al.",
    )  # fmt: skip
    kinds = (*CLASSIFICATION, *TEXT_GENERATION)
    adapted_kinds = CLASSIFICATION
    arguments = WgaArguments
    like = "neg_grad"
    args: WgaArguments
    paired = True

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        logits, labels, forget = self.logits(model, batch), batch["labels"], batch["forget"]
        return [
            Term("forget", weighted_loss(logits[forget], labels[forget], self.args.beta), -self.args.gamma),
            Term("retain", per_example_loss(logits[~forget], labels[~forget]), self.args.alpha),
        ]
