"""SimNPO: negative preference optimisation without a reference model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.losses import per_example_loss, preference
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
class SimnpoArguments(UnlearningArguments):
    """Arguments of `SimnpoTrainer`."""

    beta: float = field(default=4.5, metadata={"help": "How soon an answer counts as forgotten (beta)."})
    delta: float = field(default=0.0, metadata={"help": "Loss per token that counts as forgotten, in nats (delta)."})
    gamma: float = field(default=0.125, metadata={"help": "Weight of the forget term."})
    alpha: float = field(default=1.0, metadata={"help": "Weight of the retain term."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta <= 0:
            raise ValueError(f"beta must be positive, got {self.beta}")
        if self.gamma < 0 or self.alpha < 0:
            raise ValueError(f"gamma and alpha must be 0 or more, got {self.gamma} and {self.alpha}")


class SimnpoTrainer(UnlearningTrainer):
    """Raises the loss per token of the forget set's answers, with a vanishing gradient.

    ``L = -gamma (2 / beta) mean_forget log sigmoid(beta (l - delta)) + alpha mean_retain CE(z, y)``, where ``l`` is
    the cross-entropy, averaged over the tokens of an answer, so that long and short answers weigh the same.

    An epoch is one pass over the forget set, each example paired with a sampled retain example.

    Args:
        model: The base model.
        args: `SimnpoArguments`; a batch size counts pairs.

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
    args: SimnpoArguments

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: the forget set, each example paired with a retain example."""
        return [pair_rows(self.forget_rows, self.retain_rows, self.generator(f"pairs {epoch}"))]

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the preference on the forget set and the cross-entropy of the retain set."""
        values, forget = per_example_loss(self.logits(model, batch), batch["labels"]), batch["forget"]
        return [
            Term("forget", preference(values[forget] - self.args.delta, self.args.beta), self.args.gamma),
            Term("retain", values[~forget], self.args.alpha),
        ]
