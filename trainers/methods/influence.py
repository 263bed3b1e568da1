"""Influence unlearning: removes the influence of the forget set by one Newton step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from mubench.trainers.engine.parameters import trainable_weights
from mubench.trainers.tools.gradients import example_gradients
from mubench.trainers.tools.importance import gradient_sum
from mubench.trainers.unlearning.kinds import ALL_KINDS
from mubench.trainers.unlearning.unlearning_trainer import Paper, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import Count, Positive

MAX_BYTES = 4 << 30


@dataclass
class InfluenceArguments(UnlearningArguments):
    """Arguments of `InfluenceTrainer`."""

    alpha: float = field(default=1.0, metadata={"help": "Length of the step (alpha); 1 is Newton's."})
    samples: Count = field(default=1000, metadata={"help": "Retain examples that the curvature is estimated on (M)."})
    damping: Positive = field(default=1.0, metadata={"help": "Added to the diagonal of the curvature (lambda)."})


def solve(rows: torch.Tensor, vector: torch.Tensor, damping: float) -> torch.Tensor:
    """Return ``(damping I + G^T G / M)^-1 v`` by a system of ``M`` equations (Woodbury), never one of ``P``.

    Args:
        rows: Gradients ``G``, shape ``(M, P)``.
        vector: ``v``, shape ``(P,)``.
        damping: Added to the diagonal; positive.

    Returns:
        The solution, shape ``(P,)``, in the type of ``vector``.
    """
    gram = (rows @ rows.T).double()
    gram.diagonal().add_(damping * len(rows))
    inner = torch.linalg.solve(gram, (rows @ vector).double())
    return (vector - rows.T @ inner.to(rows.dtype)) / damping


class InfluenceTrainer(UnlearningTrainer):
    """Takes one Newton step along the difference of the forget and retain sets' gradients; no training.

    ``theta <- theta + alpha H^-1 (n_F / n) (mean_forget grad CE - mean_retain grad CE)`` with ``H = lambda I + (1 / M)
    sum g_i g_i^T`` over the gradients of ``M`` retain examples, sampled from the run's seed. At the minimum of the
    training loss the vector is that of Newton's step for leaving out the forget set.

    The inverse is exact. The recursion of WoodFisher, as commonly implemented, moves along its first gradient alone.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Requirements:
        Forget and retain sets; one pass over both and over ``M`` single examples; memory for ``M`` times the weights,
        at most 4 GiB: larger models need fewer ``samples``, and half a GiB for gradients of single images.

    Relations:
        With a large ``damping`` this is one step of `NegGradTrainer` and `FinetuneTrainer` at once.
    """

    paper = Paper(
        "Understanding Black-box Predictions via Influence Functions", "ICML 2017", "1703.04730", "Koh and Liang"
    )
    kinds = ALL_KINDS
    arguments = InfluenceArguments
    args: InfluenceArguments
    per_weight = True

    def edit(self, model: torch.nn.Module) -> None:
        gradients = self._gradients(model)
        forget, retain = (
            torch.cat([gradient.flatten() for gradient in gradient_sum(self, rows)]) / len(rows)
            for rows in (self.forget_rows, self.retain_rows)
        )
        share = len(self.forget_rows) / len(self.train_dataset)
        step = self.args.alpha * solve(gradients, share * (forget - retain), self.args.damping)
        weights = trainable_weights(model)
        with torch.no_grad():
            for weight, part in zip(weights, step.split([weight.numel() for weight in weights]), strict=True):
                weight.add_(part.view_as(weight))

    def _gradients(self, model: torch.nn.Module) -> torch.Tensor:
        """Return the gradients of ``M`` sampled retain examples, shape ``(M, P)``."""
        size = sum(weight.numel() for weight in trainable_weights(model))
        count = min(self.args.samples, len(self.retain_rows))
        if 4 * size * count > MAX_BYTES:
            raise ValueError(
                f"influence stores a gradient of {size} weights for every sample, in at most 4 GiB: expected samples "
                f"of {MAX_BYTES // (4 * size)} or less, got {count}"
            )
        sampled = np.sort(self.generator("samples").choice(self.retain_rows, count, replace=False))
        gradients = torch.empty(count, size, device=self.args.device)
        done = 0
        for found in example_gradients(self, sampled):
            part = gradients[done : (done := done + len(found[0]))]
            torch.cat([gradient.flatten(1) for gradient in found], dim=1, out=part)
            del found
        return gradients
