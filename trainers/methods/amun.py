"""AMUN: trains on the nearest adversarial inputs of the forget set beside the rows themselves."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils.data import Subset

from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.tools.adversarial import NoAdversarialInputError, nearest_adversarial, replace_inputs, targets
from mubench.trainers.unlearning.forget_retain import ForgetRetain
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
    forget_rows: bool = field(
        default=True,
        metadata={"help": "Train on the forget rows with their own labels too; false: the paper's ablation AdvOnly."},
    )


class AmunTrainer(UnlearningTrainer):
    """Trains on all rows and, for each forget example, on its nearest input of another class.

    ``L = mean CE(z, y)`` over ``retain``, ``forget`` with its own labels, and ``{(x', argmax f_0(x')) : x in
    forget}``, where ``x'`` is the first input along gradient ascent on the loss that the base model assigns to another
    class, in balls of doubling radius (PGD, l2). The attack runs once, before training. With ``forget_rows`` off, the
    paper's ablation AdvOnly, the forget set itself is left out: that is another method, with other results.

    Args:
        processing_class: The image processor; without one, and for recordings, inputs are scaled by the range of an
            example's own values.

    Requirements:
        Forget and retain sets with one continuous input; memory for a second copy of the forget set. The attack takes
        at least ``steps`` forward and backward passes over the forget set for each radius; the largest ball contains
        every input. Forget examples that keep their class even there have no adversarial input, with a warning.

    Relations:
        With neither kind of forget example this is `FinetuneTrainer`; `BoundaryShrinkTrainer` changes the label and
        keeps the input.
    """

    paper = Paper("AMUN: Adversarial Machine UNlearning", "ICML 2025", "2503.00917", "Ebrahimpour-Boroojeny et al.")
    kinds = CONTINUOUS
    adapted_kinds = ("audio_classification", "video_classification")
    arguments = AmunArguments
    like = "random_label"
    args: AmunArguments

    def prepare(self) -> None:
        """Find the nearest input of another class for each forget example, and add those found to the forget rows.

        Raises:
            NoAdversarialInputError: If no example has one.
        """
        inputs: dict[int, torch.Tensor] = {}
        attacked: list[int] = []
        labels = torch.empty(len(self.forget_rows), dtype=torch.long)
        for target in targets(self, self.forget_rows):
            unit, classes = nearest_adversarial(target, self.args.radius, self.args.steps)
            index = target.batch["index"].cpu()
            inputs |= dict(zip(index.tolist(), target.scale.from_unit(unit).cpu(), strict=True))
            labels[index] = classes.cpu()
            attacked += index[(classes != target.batch["labels"]).cpu()].tolist()
        if not attacked:
            raise NoAdversarialInputError(
                f"expected inputs of another class near the forget set, got none for all {len(labels)} examples"
            )
        if missing := len(labels) - len(attacked):
            logger.warning(
                "no adversarial input for %d of %d forget examples: none nearby is of another class",
                missing, len(labels),
            )  # fmt: skip
        self.add_rows(sorted(attacked), inputs, labels)

    def add_rows(self, attacked: list[int], inputs: Mapping[int, torch.Tensor], labels: torch.Tensor) -> None:
        """Add a copy of each attacked forget row behind the forget rows, which get its new input and label.

        Args:
            attacked: Indices of the rows for which the attack succeeded.
            inputs: Adversarial input of each forget row by its index.
            labels: Predicted classes of those inputs, shape ``(n_f,)``.
        """
        first = len(self.forget_rows)
        both: Any = Subset(self.train_dataset.forget, [*self.forget_rows.tolist(), *attacked])
        self.train_dataset = ForgetRetain({"forget": both, "retain": self.train_dataset.retain})
        self.retain_rows = self.train_dataset.retain_rows
        self.adversarial_rows = first + np.arange(len(attacked))
        self.inputs = {first + place: inputs[row] for place, row in enumerate(attacked)}
        self.classes = labels[attacked]

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: adversarial inputs, the retain set and, unless ``forget_rows`` is off, the forget set."""
        own = [self.forget_rows] if self.args.forget_rows else []
        return [np.concatenate([*own, self.adversarial_rows, self.retain_rows])]

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the cross-entropy of all examples, with the adversarial inputs and their classes in place."""
        index, labels = batch["index"].cpu(), batch["labels"].clone()
        place = index - len(self.forget_rows)
        added = (place >= 0) & (place < len(self.classes))
        labels[added.to(labels.device)] = self.classes[place[added]].to(labels.device)
        return [Term("all", per_example_loss(self.logits(model, replace_inputs(batch, self.inputs)), labels))]
