"""AMUN: trains on the nearest adversarial inputs in place of the forget set."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.tools.adversarial import NoAdversarialInputError, nearest_adversarial, replace_inputs, targets
from mubench.trainers.unlearning.kinds import CONTINUOUS
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import Count, Positive

logger = logging.getLogger(__name__)


@dataclass
class AmunArguments(UnlearningArguments):
    """Arguments of `AmunTrainer`."""

    steps: Count = field(default=50, metadata={"help": "Gradient steps of the attack at each radius."})
    radius: Positive = field(
        default=0.1, metadata={"help": "First radius of the attack (l2, inputs scaled to [0, 1]), doubled as needed."}
    )


class AmunTrainer(UnlearningTrainer):
    """Trains on the retain set and, in place of each forget example, on its nearest input of another class.

    ``L = mean CE(z, y)`` over ``retain`` and ``{(x', argmax f_0(x')) : x in forget}``, where ``x'`` is the first input
    along gradient ascent on the loss that the base model assigns to another class, in balls of doubling radius (PGD,
    l2). The attack runs once, before training.

    Args:
        processing_class: The image processor; without one, and for recordings, inputs are scaled by the range of an
            example's own values.

    Requirements:
        Forget and retain sets with one continuous input; memory for a second copy of the forget set. The attack takes
        at least ``steps`` forward and backward passes over the forget set for each radius; the largest ball contains
        every input. Forget examples that keep their class even there are left out, with a warning.

    Relations:
        Without the forget set this is `FinetuneTrainer`; `BoundaryShrinkTrainer` changes the label and keeps the
        input.
    """

    paper = Paper("AMUN: Adversarial Machine UNlearning", "ICML 2025", "2503.00917", "Ebrahimpour-Boroojeny et al.")
    kinds = CONTINUOUS
    adapted_kinds = ("audio_classification", "video_classification")
    arguments = AmunArguments
    like = "random_label"
    args: AmunArguments

    def prepare(self) -> None:
        """Find the nearest input of another class for each forget example.

        Raises:
            NoAdversarialInputError: If no example has one.
        """
        self.inputs: dict[int, torch.Tensor] = {}
        attacked: list[int] = []
        self.classes = torch.empty(len(self.forget_rows), dtype=torch.long)
        for target in targets(self, self.forget_rows):
            unit, classes = nearest_adversarial(target, self.args.radius, self.args.steps)
            index = target.batch["index"].cpu()
            self.inputs |= dict(zip(index.tolist(), target.scale.from_unit(unit).cpu(), strict=True))
            self.classes[index] = classes.cpu()
            attacked += index[(classes != target.batch["labels"]).cpu()].tolist()
        if not attacked:
            raise NoAdversarialInputError(
                f"expected inputs of another class near the forget set, got none for all {len(self.classes)} examples"
            )
        if missing := len(self.classes) - len(attacked):
            logger.warning(
                "left out %d of %d forget examples: no nearby input is of another class", missing, len(self.classes)
            )
        self.attacked_rows = np.sort(np.array(attacked))

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return the retain set and the forget examples for which the attack succeeded."""
        return [np.concatenate([self.attacked_rows, self.retain_rows])]

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the cross-entropy of all examples, with forget examples replaced by their adversarial inputs."""
        forget, labels = batch["forget"], batch["labels"].clone()
        labels[forget] = self.classes[batch["index"][forget].cpu()].to(labels.device)
        return [Term("all", per_example_loss(self.logits(model, replace_inputs(batch, self.inputs)), labels))]
