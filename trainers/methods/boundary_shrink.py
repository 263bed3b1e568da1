"""Boundary shrink: relabels each forget example with the class across its nearest decision boundary."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.tools.adversarial import NoAdversarialInputError, signed_step, targets
from mubench.trainers.unlearning.kinds import CONTINUOUS
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import Share

logger = logging.getLogger(__name__)


@dataclass
class BoundaryShrinkArguments(UnlearningArguments):
    """Arguments of `BoundaryShrinkTrainer`."""

    epsilon: Share = field(default=0.1, metadata={"help": "Step of the attack, for inputs from 0 to 1 (epsilon)."})


class BoundaryShrinkTrainer(UnlearningTrainer):
    """Trains the forget set on the classes that the base model predicts after one adversarial step.

    ``L = mean_forget CE(z, y')`` with ``y' = argmax f_0(clip(x + epsilon sign(grad_x CE)))``, computed once.

    Args:
        processing_class: The image processor; without one, and for recordings, ``epsilon`` is a share of the range of
            an example's own values.

    Requirements:
        Forget set with one continuous input; the retain set is not read. A forget example that keeps its class is
        trained with its own label; the number of changed classes is logged, and 0 is an error.

    Relations:
        `RandomLabelTrainer` uses any other label; `BoundaryExpandTrainer` a class of its own; `AmunTrainer` trains on
        the perturbed inputs.
    """

    paper = Paper(
        "Boundary Unlearning: Rapid Forgetting of Deep Networks via Shifting the Decision Boundary",
        "CVPR 2023", "2303.11570", "Chen et al.",
    )  # fmt: skip
    kinds = CONTINUOUS
    adapted_kinds = ("audio_classification", "video_classification")
    arguments = BoundaryShrinkArguments
    like = "neg_grad"
    args: BoundaryShrinkArguments
    splits = ("forget",)

    def prepare(self) -> None:
        """Attack the base model once and store its predictions as labels.

        Raises:
            NoAdversarialInputError: If no class changes.
        """
        self.nearest_classes = torch.empty(len(self.forget_rows), dtype=torch.long)
        changed = 0
        for target in targets(self, self.forget_rows):
            perturbed = signed_step(target, self.args.epsilon)
            with torch.no_grad():
                classes = target.logits(perturbed).argmax(dim=1)
            self.nearest_classes[target.batch["index"].cpu()] = classes.cpu()
            changed += int((classes != target.batch["labels"]).sum())
        if not changed:
            raise NoAdversarialInputError(
                f"expected forget examples whose class changes within epsilon {self.args.epsilon}, got none of "
                f"{len(self.nearest_classes)}"
            )
        logger.info("the attack changed the class of %d of %d forget examples", changed, len(self.nearest_classes))

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        forget = batch["forget"]
        labels = self.nearest_classes[batch["index"][forget].cpu()].to(batch["labels"].device)
        return [Term("forget", per_example_loss(self.logits(model, batch)[forget], labels))]
