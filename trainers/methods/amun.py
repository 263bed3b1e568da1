"""AMUN: train on the nearest inputs of another class, in place of the forget rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.tools.adversarial import CONTINUOUS, NothingNearError, nearest, replaced, targets
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer

logger = logging.getLogger(__name__)


@dataclass
class AmunArguments(UnlearningArguments):
    """Arguments of `AmunTrainer`."""

    steps: int = field(default=50, metadata={"help": "Gradient steps of the attack at each radius."})
    radius: float = field(default=0.1, metadata={"help": "First radius, l2, of inputs from 0 to 1; it doubles."})

    def __post_init__(self) -> None:
        """Refuse an attack that is none."""
        super().__post_init__()
        if self.steps < 1:
            raise ValueError(f"steps must be 1 or more, got {self.steps}")
        if self.radius <= 0:
            raise ValueError(f"radius must be positive, got {self.radius}")


class AmunTrainer(UnlearningTrainer):
    """Trains on the retain rows and, in place of each forget row, on the nearest input of another class.

    ``L = mean CE(z, y)`` over ``retain`` and ``{(x', argmax f_0(x')) : x in forget}``, where ``x'`` is the first input
    on the way up the loss that the base model takes for another class, in balls that double (PGD, l2). Found once.

    Args:
        model: The base model.
        args: `AmunArguments`.
        processing_class: The image processor; without one, and for recordings, inputs are scaled by the range of an
            example's own values.

    Requirements:
        Forget and retain rows with one continuous input; memory for a second copy of the forget rows. At least
        ``steps`` passes of them for every radius that is tried; the largest holds every input. Rows that even that
        leaves in their class are left out, with a warning.

    Relations:
        Without forget rows this would be `FinetuneTrainer`; `BoundaryShrinkTrainer` moves the label and keeps the
        input.
    """

    paper = Paper("AMUN: Adversarial Machine UNlearning", "ICML 2025", "2503.00917", "Ebrahimpour-Boroojeny et al.")
    kinds = CONTINUOUS
    adapted_kinds = ("audio_classification", "video_classification")
    arguments = AmunArguments
    args: AmunArguments

    def prepare(self) -> None:
        """Look for the nearest inputs of another class.

        Raises:
            NothingNearError: If no row has one.
        """
        self.inputs: dict[int, torch.Tensor] = {}
        found: list[int] = []
        self.classes = torch.empty(len(self.forget_rows), dtype=torch.long)
        for target in targets(self, self.forget_rows):
            unit, classes = nearest(target, self.args.radius, self.args.steps)
            index = target.batch["index"].cpu()
            self.inputs |= dict(zip(index.tolist(), target.scale.inputs(unit).cpu(), strict=True))
            self.classes[index] = classes.cpu()
            found += index[(classes != target.batch["labels"]).cpu()].tolist()
        if not found:
            raise NothingNearError(
                f"expected inputs of another class near the forget rows, got none for all {len(self.classes)}"
            )
        if missing := len(self.classes) - len(found):
            logger.warning(
                "no input is of another class for %d of %d forget rows: left out", missing, len(self.classes)
            )
        self.found = np.sort(np.array(found))

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return the retain rows, and the forget rows that another input was found for."""
        return [np.concatenate([self.found, self.retain_rows])]

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the cross-entropy of all rows, the forget rows as they were found nearby."""
        forget, labels = batch["forget"], batch["labels"].clone()
        labels[forget] = self.classes[batch["index"][forget].cpu()].to(labels.device)
        return [Term("all", per_example_loss(self.logits(model, replaced(batch, self.inputs)), labels))]
