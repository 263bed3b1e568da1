"""Bad teaching: distils a random teacher on the forget set and the base model on the retain set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

from mubench.trainers.engine.fresh_model import has_fresh, random_copy
from mubench.trainers.engine.losses import kl
from mubench.trainers.unlearning.forget_retain import sample_rows
from mubench.trainers.unlearning.kinds import ALL_KINDS, TEXT_GENERATION, TEXT_TO_IMAGE
from mubench.trainers.unlearning.teachers import frozen_copy
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import Positive, Share


@dataclass
class BadTeachingArguments(UnlearningArguments):
    """Arguments of `BadTeachingTrainer`."""

    retain_share: Share = field(default=0.3, metadata={"help": "Share of the retain set to distil on (the paper's)."})
    temperature: Positive = field(default=1.0, metadata={"help": "Temperature T of both softmaxes; no T^2 factor."})


class BadTeachingTrainer(UnlearningTrainer):
    """Distils an untrained teacher on the forget set and the base model on part of the retain set.

    ``L = mean KL(p_bad || p_student)`` over the forget set and ``KL(p_good || p_student)`` over a subset of the retain
    set, one mean over both. The good teacher is the base model, the bad one a fresh initialisation of its config; both
    are frozen, and labels are not used. For text-to-image models the divergence is the squared distance of predicted
    noise.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Args:
        bad_teacher: The incompetent teacher; required if ``model`` is neither a `transformers` model nor has a method
            ``fresh``.

    Requirements:
        Forget and retain sets. The subset of the retain set is sampled once, from the run's seed.

    Relations:
        Its target is the output of an untrained model, which a retrained model does not resemble; `ScrubTrainer` has
        no such target.
    """

    paper = Paper(
        "Can Bad Teaching Induce Forgetting? Unlearning in Deep Networks Using an Incompetent Teacher",
        "AAAI 2023", "2205.08096", "Chundawat et al.",
    )  # fmt: skip
    kinds = ALL_KINDS
    adapted_kinds = (*TEXT_GENERATION, *TEXT_TO_IMAGE)
    arguments = BadTeachingArguments
    args: BadTeachingArguments
    uses_teacher = True
    teacher_splits: ClassVar = {"good": ("retain",), "bad": ("forget",)}

    def __init__(
        self,
        model: torch.nn.Module,
        args: BadTeachingArguments | None = None,
        *,
        bad_teacher: torch.nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        if bad_teacher is None and not has_fresh(model):
            raise ValueError(
                f"expected bad_teacher= for a plain {type(model).__name__}, which cannot be reinitialised, got none"
            )
        super().__init__(model, args, **kwargs)
        self.bad_teacher = bad_teacher

    def prepare(self) -> None:
        """Create both teachers."""
        seed = int(self.generator("bad teacher").integers(2**31))
        bad = random_copy(self.model, seed) if self.bad_teacher is None else frozen_copy(self.bad_teacher)
        self.teachers = {"good": self.frozen_original(), "bad": bad.to(self.args.device)}

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: the forget set and the subset of the retain set."""
        subset = sample_rows(self.retain_rows, self.args.retain_share, self.generator("retain subset"))
        return [np.concatenate([self.forget_rows, subset])]

    def targets(self, batch: Mapping[str, Any], like: torch.Tensor) -> torch.Tensor:
        """Return the logits of each example's own teacher, in the shape of ``like``, ``(B, ...)``."""
        logits = torch.empty_like(like, requires_grad=False)
        for name, rows in (("bad", batch["forget"]), ("good", ~batch["forget"])):
            if rows.any():
                logits[rows] = self.teacher_logits(name, batch, rows).to(logits.dtype)
        return logits

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        logits = self.logits(model, batch)
        return [Term("all", kl(logits, self.targets(batch, logits.detach()), batch["labels"], self.args.temperature))]
