"""Noise and fine-tuning: blur every weight, then train on the retain rows."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from mubench.trainers.methods.finetune import FinetuneArguments, FinetuneTrainer
from mubench.trainers.unlearning.unlearning_trainer import Paper


@dataclass
class NoiseFtArguments(FinetuneArguments):
    """Arguments of `NoiseFtTrainer`; the default of ``sigma`` is ours."""

    sigma: float = field(default=0.02, metadata={"help": "Standard deviation of the noise on every weight (sigma)."})

    def __post_init__(self) -> None:
        """Refuse a deviation that is none."""
        super().__post_init__()
        if self.sigma < 0:
            raise ValueError(f"sigma must be 0 or more, got {self.sigma}")


class NoiseFtTrainer(FinetuneTrainer):
    """Adds noise to the weights once, then fine-tunes on the retain rows.

    ``theta <- theta_0 + sigma xi`` with ``xi ~ N(0, 1)`` for every trained weight, then
    ``L = mean_retain CE(z, y)``.

    Args:
        model: The base model.
        args: `NoiseFtArguments`.

    Requirements:
        Retain rows; forget rows are not read. The noise is drawn by the run's seed, the same on every device.

    Relations:
        ``sigma = 0`` is `FinetuneTrainer`. Published as weight distortion, against relearning: it moves the start of
        the fine-tuning away from the base model. `EuKTrainer` starts some weights anew and leaves the others.
    """

    paper = Paper(
        "From Dormant to Deleted: Tamper-Resistant Unlearning Through Weight-Space Regularization",
        "arXiv 2025", "2505.22310", "Siddiqui et al.",
    )  # fmt: skip
    arguments = NoiseFtArguments
    args: NoiseFtArguments

    def prepare(self) -> None:
        """Add the noise."""
        noise = torch.Generator().manual_seed(int(self.generator("noise").integers(2**31)))
        with torch.no_grad():
            for weight in self.model.parameters():
                if weight.requires_grad:
                    drawn = self.args.sigma * torch.randn(weight.shape, generator=noise)
                    weight.add_(drawn.to(device=weight.device, dtype=weight.dtype))
