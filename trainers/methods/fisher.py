"""Fisher forgetting: adds noise to every weight, more where the retain set needs it less."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from mubench.trainers.engine.parameters import trainable_weights
from mubench.trainers.tools.importance import fisher_diagonal
from mubench.trainers.unlearning.kinds import ALL_KINDS
from mubench.trainers.unlearning.unlearning_trainer import Paper, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import NonNegative

# Of the original code: the floor of the information, its largest inverse (final layer: the second), the factor for the
# final layer and vectors, and the variance for rows of a forgotten class.
FLOOR, LARGEST, LARGEST_FINAL, FACTOR, CLASS_VARIANCE = 1e-8, 1e3, 1e2, 10.0, 1e-4


@dataclass
class FisherArguments(UnlearningArguments):
    """Arguments of `FisherTrainer`."""

    alpha: NonNegative = field(default=1e-6, metadata={"help": "Scale of the variance of the noise (alpha)."})


def noise_variance(information: torch.Tensor, alpha: float, *, final: bool) -> torch.Tensor:
    """Return the variance of the noise on a weight: ``alpha min(1 / (F + 1e-8), 1e3)``, smoothed as in the original.

    Args:
        information: Diagonal of the Fisher matrix, in the shape of the weight.
        alpha: Scale.
        final: Whether the weight is of the final layer: at most ``1e2`` in place of ``1e3``.

    Returns:
        Variances in the same shape; in a matrix or kernel their mean over the second axis. Those of the final layer
        and of vectors are ten times as large.
    """
    variance = alpha * (1 / (information + FLOOR)).clamp(max=LARGEST_FINAL if final else LARGEST)
    if variance.ndim > 1:
        variance = variance.mean(dim=1, keepdim=True).expand_as(information)
    return variance * (FACTOR if final or information.ndim == 1 else 1.0)


class FisherTrainer(UnlearningTrainer):
    """Adds noise to the weights once, by the inverse Fisher information of the retain set; no training.

    ``theta <- theta + sqrt(v) xi`` with ``v`` from ``1 / F`` (`noise_variance`), ``xi`` standard normal, and ``F =
    mean_{i in retain} E_{y ~ p_i} (d log p_i(y) / d theta)^2``, exact up to 20 classes and with one sampled label per
    example beyond. If whole classes are forgotten, their rows of the final layer start from zero, with variance
    ``1e-4``.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Args:
        model: The base model. Weights whose first axis is as long as its logits are the final layer.

    Requirements:
        Retain set; ``K`` backward passes per example up to 20 classes, else one. Of the forget set only the labels are
        read, if there is one.

    Relations:
        `SsdTrainer` compares the importance for both sets and adds no noise.
    """

    paper = Paper(
        "Eternal Sunshine of the Spotless Net: Selective Forgetting in Deep Networks",
        "CVPR 2020", "1911.04933", "Golatkar et al.",
    )  # fmt: skip
    kinds = ALL_KINDS
    arguments = FisherArguments
    args: FisherArguments
    per_weight = True
    splits = ("retain",)

    def edit(self, model: torch.nn.Module) -> None:
        """Compute the Fisher information of the retain set, then add the noise."""
        diagonal, classes = fisher_diagonal(self, self.retain_rows)
        forgotten = self._forgotten_classes() if self.args.alpha else np.empty(0)
        generator = torch.Generator().manual_seed(int(self.generator("noise").integers(2**31)))
        with torch.no_grad():
            for weight, information in zip(trainable_weights(model), diagonal, strict=True):
                final = weight.shape[0] == classes
                variance = noise_variance(information, self.args.alpha, final=final)
                if final and len(forgotten):
                    variance = self._clear(weight, variance, forgotten)
                weight.add_(variance.sqrt() * torch.randn(weight.shape, generator=generator).to(weight))

    def _forgotten_classes(self) -> np.ndarray:
        """Return the classes that occur in the forget set only."""
        forgotten, retained = (self.train_dataset.classes(rows) for rows in (self.forget_rows, self.retain_rows))
        return np.setdiff1d(forgotten, retained)

    @staticmethod
    def _clear(weight: torch.Tensor, variance: torch.Tensor, classes: np.ndarray) -> torch.Tensor:
        """Zero the rows of forgotten classes, and return the variances with theirs."""
        rows = torch.from_numpy(classes).to(weight.device)
        weight[rows] = 0
        return variance.clone().index_fill_(0, rows, CLASS_VARIANCE * FACTOR)
