"""NegGrad: gradient ascent on the forget rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from mubench.trainers.engine.losses import per_example_loss
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
class NegGradArguments(UnlearningArguments):
    """Gradient ascent has no arguments of its own."""


class NegGradTrainer(UnlearningTrainer):
    """Raises the loss of the forget rows and looks at nothing else.

    ``L = -mean_forget CE(z, y)``

    Args:
        model: The base model.
        args: Training arguments; the loss is unbounded, so learning rate and epochs are all that limits it.

    Requirements:
        Forget rows; retain rows are not read.

    Relations:
        The cheapest method and the quickest to ruin a model; `ScrubTrainer` repairs on the retain rows in between.
    """

    paper = Paper(
        "Unrolling SGD: Understanding Factors Influencing Machine Unlearning",
        "EuroS&P 2022", "2109.13398", "Thudi et al.",
    )  # fmt: skip
    kinds = (*CLASSIFICATION, *TEXT_GENERATION, *TEXT_TO_IMAGE)
    arguments = NegGradArguments
    splits = ("forget",)

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the cross-entropy of the forget rows with its sign turned."""
        return [Term("forget", per_example_loss(self.logits(model, batch), batch["labels"]), weight=-1.0)]
