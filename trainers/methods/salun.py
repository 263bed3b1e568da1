"""SalUn: random labels on the weights that matter most to the forget rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import torch

from mubench.hub_builders.terms import NonFiniteError, per_example_loss
from mubench.trainers.base import Paper
from mubench.trainers.methods.random_label import RandomLabelArguments, RandomLabelTrainer


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


def top_share(values: Sequence[torch.Tensor], share: float) -> list[torch.Tensor]:
    """Mark the largest ``floor(share * P)`` of ``P`` values over all tensors; ties go to the first.

    Args:
        values: Tensors of any shapes, ``P`` elements in all.
        share: Share to mark, in [0, 1].

    Returns:
        Bool tensors of the same shapes.

    Raises:
        NonFiniteError: If a value is NaN or infinite.
    """
    flat = torch.cat([value.flatten() for value in values])
    if not torch.isfinite(flat).all():
        raise NonFiniteError("expected finite saliency, got NaN or infinity")
    count = math.floor(Fraction(str(share)) * len(flat))  # .29 of 100 is 29, in floating point it is 28
    chosen = torch.zeros_like(flat, dtype=torch.bool)
    if count:
        threshold = flat.kthvalue(len(flat) - count + 1).values
        chosen = flat > threshold
        chosen[(flat == threshold).nonzero()[: count - int(chosen.sum()), 0]] = True
    parts = chosen.split([value.numel() for value in values])
    return [part.view(value.shape) for part, value in zip(parts, values, strict=True)]


class SalunTrainer(RandomLabelTrainer):
    """Computes a saliency mask at the original weights, then trains as `RandomLabelTrainer` within it.

    ``m = 1[|sum_forget grad CE| among the largest floor(rho P)]``, ``theta <- theta_0 + m * change``.

    The gradients are summed with their signs over all forget rows in eval mode; the ranking is global. They are masked
    before clipping, so the norm is that of the weights that move; the other weights are put back after each step, so
    that weight decay leaves them alone.

    Args:
        model: The base model.
        args: `SalunArguments`.

    Requirements:
        As `RandomLabelTrainer`; memory for one bit-mask byte per weight and the weights that stay.

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
        self.weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        moving = top_share(self.saliency(), self.args.rho)
        self.staying = [~mask for mask in moving]
        self.kept = [weight.detach()[mask] for weight, mask in zip(self.weights, self.staying, strict=True)]

    def saliency(self) -> list[torch.Tensor]:
        """Return ``|sum over forget rows of grad CE|`` for every trainable weight; no gradient is left behind."""
        self.model.eval()
        self.model.zero_grad()
        for batch in self.batches(self.train_dataset, self.forget_rows):
            per_example_loss(self.logits(self.model, batch), batch["labels"]).sum().backward()
        values = [torch.zeros_like(w) if w.grad is None else w.grad.abs() for w in self.weights]
        self.model.zero_grad()
        return values

    def after_backward(self) -> None:
        """Drop the gradients of the weights that stay."""
        for weight, mask in zip(self.weights, self.staying, strict=True):
            if weight.grad is not None:
                weight.grad.masked_fill_(mask, 0)

    def after_step(self) -> None:
        """Put back the weights that stay, to the bit."""
        with torch.no_grad():
            for weight, mask, kept in zip(self.weights, self.staying, self.kept, strict=True):
                weight.masked_scatter_(mask, kept)
