"""NegGrad: gradient ascent on the forget set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.unlearning.kinds import ALL_KINDS
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer


@dataclass
class NegGradArguments(UnlearningArguments):
    """Gradient ascent has no arguments of its own."""


class NegGradTrainer(UnlearningTrainer):
    """Ascends on the loss of the forget set alone.

    ``L = -mean_forget CE(z, y)``

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Args:
        args: Training arguments; the loss is unbounded, so only learning rate and epochs limit it.

    Requirements:
        Forget set; the retain set is not read.

    Relations:
        The cheapest method and the quickest to ruin a model; `ScrubTrainer` alternates with passes over the retain
        set.
    """

    paper = Paper(
        "Unrolling SGD: Understanding Factors Influencing Machine Unlearning",
        "EuroS&P 2022", "2109.13398", "Thudi et al.",
    )  # fmt: skip
    kinds = ALL_KINDS
    arguments = NegGradArguments
    splits = ("forget",)

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        return [Term("forget", per_example_loss(self.logits(model, batch), batch["labels"]), weight=-1.0)]
