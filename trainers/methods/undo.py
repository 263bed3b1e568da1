"""UNDO: unlearns with another method, adds noise to the weights, and distils the unlearned model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import torch

from mubench.trainers.addons.sophia import SophiaArguments
from mubench.trainers.engine.losses import kl
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.methods import METHODS
from mubench.trainers.unlearning.kinds import CLASSIFICATION, TEXT_GENERATION
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import NonNegative, Positive, ShareOrZero

FIRST = ("neg_grad", "npo", "simnpo", "wga", "rmu")


@dataclass
class UndoArguments(UnlearningArguments):
    """Arguments of `UndoTrainer`; learning rate and epochs are those of the distillation."""

    first: Annotated[str, FIRST] = field(
        default="npo", metadata={"help": f"Method to unlearn with: {', '.join(FIRST)}."}
    )
    first_rate: NonNegative = field(default=1e-5, metadata={"help": "Learning rate of that method."})
    first_epochs: Positive = field(
        default=5.0, metadata={"help": "Epochs of that method; its other arguments keep their defaults."}
    )
    alpha: ShareOrZero = field(
        default=0.3, metadata={"help": "Share of every weight that is replaced by noise (alpha)."}
    )
    beta: NonNegative = field(default=0.1, metadata={"help": "Scale of the noise; 1 is that of a fresh model (beta)."})
    temperature: Positive = field(default=1.0, metadata={"help": "Temperature T of both softmaxes; no T^2 factor."})


def add_noise(model: torch.nn.Module, alpha: float, beta: float, generator: torch.Generator) -> None:
    """Blend every trained weight with Xavier noise: ``theta <- (1 - alpha) theta + alpha beta N``.

    Args:
        model: Changed in place. Weights of one dimension, such as those of norms, for which Xavier noise is not
            defined, shrink: their ``N`` is 0.
        alpha: Share of the noise.
        beta: Scale of the noise.
        generator: Random generator on the CPU.
    """
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                noise = torch.zeros(weight.shape)
                if weight.ndim > 1:
                    torch.nn.init.xavier_normal_(noise, generator=generator)
                weight.mul_(1 - alpha).add_(alpha * beta * noise.to(weight))


class UndoTrainer(UnlearningTrainer):
    """Unlearns with another method, adds noise to the weights, and distils the result on the retain set.

    ``theta_s`` by another method; ``theta <- (1 - alpha) theta_s + alpha beta N`` for every weight, with ``N`` Xavier
    noise for matrices and 0 for norms and biases, which shrink; then ``L = mean_retain KL(p_s || p)``.

    Knowledge that ``theta_s`` only suppresses is destroyed by the noise; distillation restores its outputs on the
    retain set alone.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Args:
        args: `UndoArguments`; the other method shares their batch size, optimizer and seed.

    Requirements:
        Forget and retain sets. A resumed run repeats the first method, with the same result.

    Relations:
        ``alpha = 0`` is the other method. `NoiseFtTrainer` adds noise to the base model and trains on labels.
    """

    paper = Paper("Distillation Robustifies Unlearning", "NeurIPS 2025", "2506.06278", "Lee et al.")
    kinds = (*CLASSIFICATION, *TEXT_GENERATION)
    arguments = UndoArguments
    like = "finetune"
    args: UndoArguments
    per_weight = True
    teacher_splits: ClassVar = {"suppressed": ("retain",)}

    def prepare(self) -> None:
        """Unlearn with the other method, keep the result as the teacher, and add noise to the weights."""
        self.inner = self.first_trainer()
        self.inner.train()
        self.inner.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.teachers = {"suppressed": self.frozen_original()}
        seed = int(self.generator("noise").integers(2**31))
        add_noise(self.model, self.args.alpha, self.args.beta, torch.Generator().manual_seed(seed))

    def first_trainer(self) -> UnlearningTrainer:
        """Return the trainer of the other method, on the same model and data."""
        kind = METHODS[self.args.first]
        fields = (*dataclasses.fields(TaskArguments), *dataclasses.fields(SophiaArguments))
        shared = {item.name: getattr(self.args, item.name) for item in fields if item.init}
        own = {"learning_rate": self.args.first_rate, "num_train_epochs": self.args.first_epochs, "max_steps": -1}
        args = kind.arguments(**{**shared, **own, "save_strategy": "no", "remember": self.args.remember})
        rows = self.train_dataset
        return kind(
            self.model,
            args,
            train_dataset={"forget": rows.forget, "retain": rows.retain},
            data_collator=self.data_collator,
            processing_class=self.processing_class,
            transform=self.transform,
        )

    def phases(self, epoch: int) -> list[Any]:
        return [self.retain_rows]

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        logits, retain = self.logits(model, batch), ~batch["forget"]
        values = logits.flatten(1).sum(dim=1)[:0]
        if retain.any():
            labels = batch["labels"][retain]
            values = kl(
                logits[retain], self.teacher_logits("suppressed", batch, retain), labels, self.args.temperature
            )
        return [Term("retain", values)]
