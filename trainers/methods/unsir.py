"""UNSIR: impairs the model with error-maximising noise for the forgotten classes, then repairs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.tools.adversarial import Target, replace_inputs, targets
from mubench.trainers.unlearning.kinds import CONTINUOUS
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import Count


@dataclass
class UnsirArguments(UnlearningArguments):
    """Arguments of `UnsirTrainer`; the defaults are those of the original code."""

    noise_steps: Count = field(default=40, metadata={"help": "Training steps of the noise."})
    noise_rate: float = field(default=0.1, metadata={"help": "Learning rate of the noise (Adam)."})
    noise_decay: float = field(default=0.1, metadata={"help": "Weight of the noise's squared norm."})
    per_class: Count = field(default=500, metadata={"help": "Retain examples per class to train on, at most."})


class UnsirTrainer(UnlearningTrainer):
    """Impairs the model with error-maximising noise, and repairs it on part of the retain set.

    Noise ``N``, one input for each forget example: ``min -mean CE(f_0(N), y) + .1 mean |N|^2``. An epoch is two
    phases, impair on ``N`` with the labels of the forget set and on a retain subset, and repair on the subset alone:
    ``L = mean CE(z, y)``.

    Args:
        args: `UnsirArguments`; the original trains for one epoch.

    Requirements:
        A forget set of whole classes, which the retain set does not contain, and one continuous input; memory for a
        second copy of the forget set, of which only labels and shapes are read.

    Relations:
        `AmunTrainer` takes forget sets of any classes.
    """

    paper = Paper("Fast Yet Effective Machine Unlearning", "IEEE TNNLS 2023", "2111.08947", "Tarun et al.")
    kinds = CONTINUOUS
    adapted_kinds = ("audio_classification", "video_classification")
    arguments = UnsirArguments
    like = "finetune"
    args: UnsirArguments
    whole_classes = True

    def prepare(self) -> None:
        """Select the retain subset and train the noise.

        Raises:
            ValueError: If the retain set contains a forgotten class.
        """
        forgotten, labels = (self.train_dataset.classes(rows) for rows in (self.forget_rows, self.retain_rows))
        if len(shared := np.intersect1d(forgotten, labels)):
            raise ValueError(
                f"unsir forgets whole classes: expected none of them in the retain set, got {len(shared)}, "
                f"{shared[0]} the first"
            )
        order = self.generator("retain subset").permutation(len(labels))
        selected = [order[labels[order] == label][: self.args.per_class] for label in np.unique(labels)]
        self.subset = self.retain_rows[np.sort(np.concatenate(selected))]
        self.noise: dict[int, torch.Tensor] = {}
        generator = torch.Generator().manual_seed(int(self.generator("noise").integers(2**31)))
        for target in targets(self, self.forget_rows):
            noise = self.train_noise(target, torch.randn(target.batch[target.name].shape, generator=generator))
            self.noise |= dict(zip(target.batch["index"].tolist(), noise.cpu(), strict=True))

    def train_noise(self, target: Target, noise: torch.Tensor) -> torch.Tensor:
        """Return noise, shape ``(B, ...)``, trained against the current model."""
        noise = noise.to(target.batch[target.name]).requires_grad_(True)
        optimizer = torch.optim.Adam([noise], lr=self.args.noise_rate)
        for _ in range(self.args.noise_steps):
            logits = self.logits(self.model, {**target.batch, target.name: noise})
            error = per_example_loss(logits, target.batch["labels"])
            decay = noise.flatten(1).square().sum(dim=1)
            optimizer.zero_grad()
            (self.args.noise_decay * decay - error).mean().backward()
            optimizer.step()
        return noise.detach()

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return the impair and the repair phase."""
        return [np.concatenate([self.forget_rows, self.subset]), self.subset]

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the cross-entropy of all examples, with noise as the inputs of the forget set."""
        logits = self.logits(model, replace_inputs(batch, self.noise))
        return [Term("all", per_example_loss(logits, batch["labels"]))]
