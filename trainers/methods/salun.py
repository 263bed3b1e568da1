"""SalUn: random labels on the weights that matter most to the forget rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from mubench.trainers.engine.weights import trainable_weights
from mubench.trainers.methods.random_label import RandomLabelArguments, RandomLabelTrainer
from mubench.trainers.tools.importance import gradient_sum, top_share
from mubench.trainers.tools.masks import PackedMask
from mubench.trainers.unlearning.unlearning_trainer import Paper


@dataclass
class SalunArguments(RandomLabelArguments):
    """Arguments of `SalunTrainer`."""

    rho: float = field(default=0.5, metadata={"help": "Share of the weights that may move (the threshold of m_S)."})
    redraw: bool = field(default=True, metadata={"help": "Draw the wrong labels anew each epoch, not once (y')."})

    def __post_init__(self) -> None:
        """Refuse a share that is none."""
        super().__post_init__()
        if not 0 <= self.rho <= 1:
            raise ValueError(f"rho must lie in [0, 1], got {self.rho}")


class SalunTrainer(RandomLabelTrainer):
    """Computes a saliency mask at the original weights, then trains as `RandomLabelTrainer` within it.

    ``m = 1[|sum_forget grad loss| among the largest floor(rho P)]``, ``theta <- theta_0 + m * change``.

    The gradients of the task's loss are summed with their signs over all forget rows, with their true labels, answers
    or captions, in eval mode; the ranking is global. They are masked
    before clipping, so the norm is that of the weights that move; the other weights are put back after each step, so
    that weight decay leaves them alone.

    Args:
        model: The base model.
        args: `SalunArguments`.

    Requirements:
        As `RandomLabelTrainer`; memory for one bit per weight and the weights that stay.

    Relations:
        ``rho = 1`` is `RandomLabelTrainer`; ``rho = 0`` moves no weight.
    """

    paper = Paper(
        "SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency in Both Image Classification and "
        "Generation", "ICLR 2024", "2310.12508", "Fan et al.",
    )  # fmt: skip
    arguments = SalunArguments
    args: SalunArguments
    per_weight = True

    def prepare(self) -> None:
        """Compute the mask and keep the weights that are to stay."""
        super().prepare()
        self.weights = trainable_weights(self.model)
        moving = top_share(self.saliency(), self.args.rho)
        self.staying = [PackedMask(~mask) for mask in moving]
        self.kept = [weight.detach()[~mask] for weight, mask in zip(self.weights, moving, strict=True)]

    def saliency(self) -> list[torch.Tensor]:
        """Return ``|sum over forget rows of grad loss|`` for every trainable weight; no gradient is left behind."""
        return [value.abs() for value in gradient_sum(self, self.forget_rows)]

    def after_backward(self) -> None:
        """Drop the gradients of the weights that stay."""
        for weight, mask in zip(self.weights, self.staying, strict=True):
            if weight.grad is not None:
                weight.grad.masked_fill_(mask.unpacked(), 0)

    def after_step(self) -> None:
        """Put back the weights that stay, to the bit."""
        with torch.no_grad():
            for weight, mask, kept in zip(self.weights, self.staying, self.kept, strict=True):
                weight.masked_scatter_(mask.unpacked(), kept)
