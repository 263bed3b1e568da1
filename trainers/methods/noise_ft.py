"""Noise and fine-tuning: adds noise to every weight, then trains on the retain set."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from mubench.trainers.methods.finetune import FinetuneArguments, FinetuneTrainer
from mubench.trainers.unlearning.unlearning_trainer import Paper
from mubench.trainers.unlearning.value_ranges import NonNegative


@dataclass
class NoiseFtArguments(FinetuneArguments):
    """Arguments of `NoiseFtTrainer`; the default of ``sigma`` is ours."""

    sigma: NonNegative = field(
        default=0.02, metadata={"help": "Standard deviation of the noise on every weight (sigma)."}
    )


class NoiseFtTrainer(FinetuneTrainer):
    """Adds noise to the weights once, then fine-tunes on the retain set.

    ``theta <- theta_0 + sigma xi`` with ``xi ~ N(0, 1)`` for every trained weight, then
    ``L = mean_retain CE(z, y)``.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Requirements:
        Retain set; the forget set is not read. The noise depends on the run's seed and is the same on every device.

    Relations:
        ``sigma = 0`` is `FinetuneTrainer`. Published as weight distortion, against relearning: fine-tuning starts away
        from the base model. `EuKTrainer` reinitialises some weights and leaves the others.
    """

    paper = Paper(
        "From Dormant to Deleted: Tamper-Resistant Unlearning Through Weight-Space Regularization",
        "arXiv 2025", "2505.22310", "Siddiqui et al.",
    )  # fmt: skip
    arguments = NoiseFtArguments
    like = "finetune"
    args: NoiseFtArguments

    def prepare(self) -> None:
        generator = torch.Generator().manual_seed(int(self.generator("noise").integers(2**31)))
        with torch.no_grad():
            for weight in self.model.parameters():
                if weight.requires_grad:
                    noise = self.args.sigma * torch.randn(weight.shape, generator=generator)
                    weight.add_(noise.to(device=weight.device, dtype=weight.dtype))
