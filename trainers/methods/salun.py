"""SalUn: trains on random labels with the most salient weights for the forget set only."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from mubench.trainers.engine.parameters import trainable_weights
from mubench.trainers.methods.random_label import RandomLabelArguments, RandomLabelTrainer
from mubench.trainers.tools.importance import gradient_sum, top_share
from mubench.trainers.tools.masks import PackedMask
from mubench.trainers.unlearning.unlearning_trainer import Paper
from mubench.trainers.unlearning.value_ranges import ShareOrZero


@dataclass
class SalunArguments(RandomLabelArguments):
    """Arguments of `SalunTrainer`."""

    rho: ShareOrZero = field(
        default=0.5, metadata={"help": "Share of the weights that are trained (the threshold of m_S)."}
    )
    redraw: bool = field(default=True, metadata={"help": "Sample new wrong labels each epoch, not once (y')."})


class SalunTrainer(RandomLabelTrainer):
    """Computes a saliency mask at the original weights, then trains as `random_label` on the weights in it.

    ``m = 1[|sum_forget grad loss| among the largest floor(rho P)]``, ``theta <- theta_0 + m * change``.

    The gradients of the task's loss are summed with their signs over the whole forget set, with its true labels,
    answers or captions, in eval mode; the ranking is global. Gradients are masked before clipping, so their norm is
    that of the trained weights; the other weights are restored after each step, so weight decay does not change them.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Requirements:
        As `RandomLabelTrainer`; memory for one bit per weight and a copy of the frozen weights.

    Relations:
        ``rho = 1`` is `RandomLabelTrainer`; ``rho = 0`` changes no weight.
    """

    paper = Paper(
        "SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency in Both Image Classification and "
        "Generation", "ICLR 2024", "2310.12508", "Fan et al.",
    )  # fmt: skip
    arguments = SalunArguments
    args: SalunArguments
    per_weight = True

    def prepare(self) -> None:
        """Compute the mask and store the frozen weights."""
        super().prepare()
        self.weights = trainable_weights(self.model)
        salient = top_share(self.saliency(), self.args.rho)
        self.frozen_masks = [PackedMask(~mask) for mask in salient]
        self.frozen_values = [weight.detach()[~mask] for weight, mask in zip(self.weights, salient, strict=True)]

    def saliency(self) -> list[torch.Tensor]:
        """Return ``|sum_forget grad loss|`` for every trainable weight; gradients of the weights stay ``None``."""
        return [value.abs() for value in gradient_sum(self, self.forget_rows)]

    def after_backward(self) -> None:
        """Zero the gradients of the frozen weights."""
        for weight, mask in zip(self.weights, self.frozen_masks, strict=True):
            if weight.grad is not None:
                weight.grad.masked_fill_(mask.unpack(), 0)

    def after_step(self) -> None:
        """Restore the frozen weights, bit for bit."""
        with torch.no_grad():
            for weight, mask, values in zip(self.weights, self.frozen_masks, self.frozen_values, strict=True):
                weight.masked_scatter_(mask.unpack(), values)
