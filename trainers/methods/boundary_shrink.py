"""Boundary shrink: give every forget row the class on the other side of its nearest boundary."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.tools.adversarial import CONTINUOUS, NothingNearError, signed_step, targets
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer

logger = logging.getLogger(__name__)


@dataclass
class BoundaryShrinkArguments(UnlearningArguments):
    """Arguments of `BoundaryShrinkTrainer`."""

    epsilon: float = field(default=0.1, metadata={"help": "Step of the attack, of inputs from 0 to 1 (epsilon)."})

    def __post_init__(self) -> None:
        """Refuse a step that is none."""
        super().__post_init__()
        if not 0 < self.epsilon <= 1:
            raise ValueError(f"epsilon must lie in (0, 1], got {self.epsilon}")


class BoundaryShrinkTrainer(UnlearningTrainer):
    """Trains on the forget rows, labelled by what the base model says of them after one step up their loss.

    ``L = mean_forget CE(z, y')`` with ``y' = argmax f_0(clip(x + epsilon sign(grad_x CE)))``, computed once.

    Args:
        model: The base model.
        args: `BoundaryShrinkArguments`.
        processing_class: The image processor; without one, and for recordings, ``epsilon`` is a share of the range of
            an example's own values.

    Requirements:
        Forget rows with one continuous input; retain rows are not read. A forget row whose class outlasts the step is
        trained on with its own label; how many are not is logged, and none is an error.

    Relations:
        `RandomLabelTrainer` takes any other label; `BoundaryExpandTrainer` a class of its own; `AmunTrainer` trains on
        the changed inputs.
    """

    paper = Paper(
        "Boundary Unlearning: Rapid Forgetting of Deep Networks via Shifting the Decision Boundary",
        "CVPR 2023", "2303.11570", "Chen et al.",
    )  # fmt: skip
    kinds = CONTINUOUS
    adapted_kinds = ("audio_classification", "video_classification")
    arguments = BoundaryShrinkArguments
    args: BoundaryShrinkArguments
    splits = ("forget",)

    def prepare(self) -> None:
        """Attack the base model and keep the classes it then names.

        Raises:
            NothingNearError: If no class changes.
        """
        self.nearby = torch.empty(len(self.forget_rows), dtype=torch.long)
        changed = 0
        for target in targets(self, self.forget_rows):
            moved = signed_step(target, self.args.epsilon)
            with torch.no_grad():
                classes = target.logits(moved).argmax(dim=1)
            self.nearby[target.batch["index"].cpu()] = classes.cpu()
            changed += int((classes != target.batch["labels"]).sum())
        if not changed:
            raise NothingNearError(
                f"expected forget rows whose class changes within epsilon {self.args.epsilon}, got none of "
                f"{len(self.nearby)}"
            )
        logger.info("the attack changed the class of %d of %d forget rows", changed, len(self.nearby))

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the cross-entropy of the forget rows with the classes nearby."""
        forget = batch["forget"]
        labels = self.nearby[batch["index"][forget].cpu()].to(batch["labels"].device)
        return [Term("forget", per_example_loss(self.logits(model, batch)[forget], labels))]
