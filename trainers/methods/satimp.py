"""SatImp: gradient ascent on the forget set, most on tokens that are neither forgotten nor sure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.methods.wga import weighted_loss
from mubench.trainers.unlearning.kinds import TEXT_GENERATION
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import NonNegative


@dataclass
class SatimpArguments(UnlearningArguments):
    """Arguments of `SatimpTrainer`; the defaults are those of open-unlearning's configuration."""

    beta1: NonNegative = field(default=5.0, metadata={"help": "Power of the token probability (saturation)."})
    beta2: NonNegative = field(default=1.0, metadata={"help": "Power of one less the probability (importance)."})
    gamma: NonNegative = field(default=0.1, metadata={"help": "Weight of the forget term."})
    alpha: NonNegative = field(default=1.0, metadata={"help": "Weight of the retain term."})


class SatimpTrainer(UnlearningTrainer):
    """Ascends on the forget set, most on known but unsure tokens, and descends on the retain set.

    ``L = -gamma mean_forget mean_t p_t^beta1 (1 - p_t)^beta2 CE_t + alpha mean_retain CE(z, y)``, where ``p_t`` is the
    probability of token ``t``, without a gradient: the first power spares tokens that are forgotten (saturation), the
    second those that any model predicts (importance).

    It reads the tokens of the answer, end token included, and averages over those of a row, then over rows, see
    `UnlearningTrainer`; the authors average over all answer tokens of a batch.

    Requirements:
        Forget and retain sets; no second model.

    Relations:
        ``beta2 = 0`` is `WgaTrainer`, and ``beta1 = beta2 = 0`` ascent, as `NegGradTrainer`.
    """

    paper = Paper(
        "Exploring Criteria of Loss Reweighting to Enhance LLM Unlearning", "ICML 2025", "2505.11953", "Yang et al."
    )
    kinds = TEXT_GENERATION
    arguments = SatimpArguments
    like = "neg_grad"
    args: SatimpArguments
    paired = True

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        logits, labels, forget = self.logits(model, batch), batch["labels"], batch["forget"]
        ascent = weighted_loss(logits[forget], labels[forget], self.args.beta1, self.args.beta2)
        return [
            Term("forget", ascent, -self.args.gamma),
            Term("retain", per_example_loss(logits[~forget], labels[~forget]), self.args.alpha),
        ]
