"""SimNPO: negative preference optimisation without a reference model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mubench.trainers.engine.losses import per_example_loss, preference
from mubench.trainers.unlearning.kinds import CLASSIFICATION, TEXT_GENERATION
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import NonNegative, Positive


@dataclass
class SimnpoArguments(UnlearningArguments):
    """Arguments of `SimnpoTrainer`."""

    beta: Positive = field(default=4.5, metadata={"help": "How soon an answer counts as forgotten (beta)."})
    delta: float = field(default=0.0, metadata={"help": "Loss per token that counts as forgotten, in nats (delta)."})
    gamma: NonNegative = field(default=0.125, metadata={"help": "Weight of the forget term."})
    alpha: NonNegative = field(default=1.0, metadata={"help": "Weight of the retain term."})


class SimnpoTrainer(UnlearningTrainer):
    """Raises the loss per token of the forget set's answers, with a vanishing gradient.

    ``L = -gamma (2 / beta) mean_forget log sigmoid(beta (l - delta)) + alpha mean_retain CE(z, y)``, where ``l`` is
    the cross-entropy, averaged over the tokens of an answer, so that long and short answers weigh the same.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Requirements:
        Forget and retain sets; no second model.

    Relations:
        `NpoTrainer` compares with the base model instead of with ``delta``.
    """

    paper = Paper(
        "Simplicity Prevails: Rethinking Negative Preference Optimization for LLM Unlearning",
        "NeurIPS 2025", "2410.07163", "Fan et al.",
    )  # fmt: skip
    kinds = (*CLASSIFICATION, *TEXT_GENERATION)
    adapted_kinds = CLASSIFICATION
    arguments = SimnpoArguments
    like = "neg_grad"
    args: SimnpoArguments
    paired = True

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        values, forget = per_example_loss(self.logits(model, batch), batch["labels"]), batch["forget"]
        return [
            Term("forget", preference(values[forget] - self.args.delta, self.args.beta), self.args.gamma),
            Term("retain", values[~forget], self.args.alpha),
        ]
