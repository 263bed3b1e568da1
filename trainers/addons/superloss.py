"""SuperLoss: a curriculum that lowers the weight of examples with a large loss."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mubench.trainers.addons.addon import Addon
from mubench.trainers.engine.losses import Term
from mubench.trainers.engine.paper import Paper

# File of a checkpoint with the mean losses so far.
FILE = "curriculum.json"
# Just above -1/e, where the slope of Lambert's W is infinite and Halley's iteration fails.
BRANCH = -1 / math.e + 1e-12


@dataclass
class SuperLossArguments:
    """Arguments of the curriculum."""

    curriculum: str | None = field(default=None, metadata={"help": "Weight examples by their loss: superloss."})
    curriculum_lambda: float = field(
        default=10.0,
        metadata={"help": "Regularisation of SuperLoss; the larger, the closer all weights are to 1 (lambda)."},
    )

    def check_curriculum(self) -> None:
        """Raise ``ValueError`` if the curriculum is unknown or lambda out of range."""
        if self.curriculum not in (None, "superloss"):
            raise ValueError(f"curriculum must be superloss, got {self.curriculum!r}")
        if not 0 < self.curriculum_lambda < math.inf:
            raise ValueError(f"curriculum_lambda must be more than 0 and finite, got {self.curriculum_lambda}")


def lambert_w(x: torch.Tensor) -> torch.Tensor:
    """Return the principal branch of Lambert's W, ``W e^W = x``, of any shape, by Halley's iteration.

    Args:
        x: Real numbers, clamped just above ``-1/e``.

    Returns:
        ``W(x) > -1``, fp64; NaN where ``x`` is.
    """
    x = x.double().clamp(min=BRANCH)
    root = (2 * (math.e * x + 1)).clamp(min=0).sqrt()  # the series at the branch point
    w = torch.where(x < 0, root - 1 - root**2 / 3, x.clamp(min=0).log1p())
    for _ in range(12):
        error = w * w.exp() - x
        w = w - error / (w.exp() * (w + 1) - (w + 2) * error / (2 * w + 2))
    return w


def confidence(losses: torch.Tensor, tau: float, lam: float) -> torch.Tensor:
    """Return SuperLoss's weight of every example, ``sigma = exp(-W(max(-2/e, (l - tau) / lambda) / 2))``.

    It is what minimises ``(l - tau) sigma + lambda (log sigma)^2`` (Castells et al., NeurIPS 2020).

    Args:
        losses: Losses per example, shape ``(b,)``.
        tau: The loss of weight 1.
        lam: Regularisation ``lambda``.

    Returns:
        Weights in ``(0, e]``, shape ``(b,)``; no gradient flows through them.
    """
    x = ((losses.detach().double() - tau) / lam).clamp(min=-2 / math.e) / 2
    return (-lambert_w(x)).exp().to(losses.dtype)


class SuperLoss:
    """Weights the values of every term by `confidence`, with ``tau`` the running mean of its values.

    ``tau`` is the mean over earlier optimizer steps, so that a step's weights depend neither on its micro-batches nor
    on the number of processes; in the first step, which has no mean yet, all weights are 1. Every term has its own
    mean. The gradient is that of SuperLoss itself, ``sigma grad l``. It costs no additional pass.

    Under ascent, examples that are already forgotten, whose loss is large, get a small weight.

    Args:
        lam: ``lambda``.

    Attributes:
        means: Sum and number of the values of every term so far.
        step: Sum and number of the values of the current step.
    """

    def __init__(self, lam: float) -> None:
        self.lam = lam
        self.means: dict[str, tuple[float, int]] = {}
        self.step: dict[str, tuple[torch.Tensor, int]] = {}

    def weigh(self, place: int, term: Term, *, note: bool = True) -> torch.Tensor:
        """Return a term's weighted values, shape ``(b,)``; ``note`` adds them to the means of later steps."""
        name, values = f"{place} {term.split}", term.values
        if note and len(values):
            total, count = self.step.get(name, (values.new_zeros((), dtype=torch.float64), 0))
            self.step[name] = (total + values.detach().double().sum(), count + len(values))
        if name not in self.means or not len(values):
            return values
        total_before, count_before = self.means[name]
        return confidence(values, total_before / count_before, self.lam) * values

    def advance(self, gather: Callable[[list[Any]], list[Any]]) -> None:
        """Add the values of a step to the means.

        Args:
            gather: Concatenates the lists of all processes.
        """
        for name, total, count in gather([(name, float(total), count) for name, (total, count) in self.step.items()]):
            total_before, count_before = self.means.get(name, (0.0, 0))
            self.means[name] = (total_before + total, count_before + count)
        self.step = {}

    def save(self, folder: Path) -> None:
        """Write the means into a checkpoint."""
        (folder / FILE).write_text(json.dumps(self.means))

    def load(self, folder: Path) -> None:
        """Read the means of a checkpoint."""
        means = json.loads((folder / FILE).read_text())
        self.means = {name: (total, count) for name, (total, count) in means.items()}


SUPERLOSS = Addon(
    paper=Paper("SuperLoss: A Generic Loss for Robust Curriculum Learning", "NeurIPS 2020", None, "Castells et al."),
    switch="curriculum",
    arguments=tuple(SuperLossArguments.__dataclass_fields__),
)
