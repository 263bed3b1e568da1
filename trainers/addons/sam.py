"""Sharpness-aware minimisation (SAM) of the forget term alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from mubench.trainers.addons.addon import Addon
from mubench.trainers.addons.munba import Gradient, dot
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.engine.paper import Paper


@dataclass
class SamArguments:
    """Arguments of SAM."""

    sam_rho: float | None = field(
        default=None,
        metadata={"help": "Radius of the weight perturbation at which the forget gradient is taken (rho)."},
    )

    def check_sam(self) -> None:
        """Raise ``ValueError`` if the radius is negative or infinite."""
        if self.sam_rho is not None and not 0 <= self.sam_rho < math.inf:
            raise ValueError(f"sam_rho must be 0 or more and finite, got {self.sam_rho}")


@contextmanager
def perturbed_weights(weights: Sequence[torch.Tensor], gradient: Gradient, rho: float) -> Iterator[None]:
    """Hold weights at ``theta + rho g / |g|``, and restore them bit for bit.

    To first order this is the point of largest loss within ``rho`` (Foret et al., ICLR 2021, eq. 2). A zero gradient
    leaves the weights as they are.

    Args:
        weights: ``theta``.
        gradient: ``g``, of the whole optimizer step.
        rho: Radius.

    Raises:
        NonFiniteError: If the gradient is not finite.
    """
    length = math.sqrt(dot(gradient, gradient))
    if not math.isfinite(length):
        raise NonFiniteError(f"expected a finite forget gradient, got one of length {length}")
    before = [weight.detach().clone() for weight in weights]
    try:
        with torch.no_grad():
            for weight, part in zip(weights, gradient, strict=True):
                if part is not None and length:
                    weight.add_(part, alpha=rho / length)
        yield
    finally:
        with torch.no_grad():
            for weight, old in zip(weights, before, strict=True):
                weight.copy_(old)


SAM = Addon(
    paper=Paper(
        "Towards LLM Unlearning Resilient to Relearning Attacks: A Sharpness-Aware Minimization Perspective and "
        "Beyond",
        "ICML 2025", "2502.05374", "Fan et al.",
    ),
    switch="sam_rho",
    arguments=tuple(SamArguments.__dataclass_fields__),
    splits_gradients=True,
)  # fmt: skip
