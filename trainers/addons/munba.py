"""MUNBa: combines the gradients of forget and retain set by a Nash bargain."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from mubench.trainers.addons.addon import Addon
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.engine.paper import Paper

Gradient = list[torch.Tensor | None]
# Below this 1 + cos two gradients are opposed: their sum is rounding noise.
OPPOSED = 1e-6


@dataclass
class MunbaArguments:
    """Arguments of the bargain."""

    harmonise: str | None = field(
        default=None, metadata={"help": "Combine the gradients of forget and retain set by a Nash bargain: munba."}
    )

    def check_harmonise(self) -> None:
        """Raise ``ValueError`` if the bargain is unknown."""
        if self.harmonise not in (None, "munba"):
            raise ValueError(f"harmonise must be munba, got {self.harmonise!r}")


def dot(one: Gradient, other: Gradient) -> float:
    """Return the inner product of two gradients, in fp64; ``None`` is zero."""
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    return float(sum((a.double() * b.double()).sum() for a, b in pairs))


def scale(gradient: Gradient, factor: float) -> Gradient:
    """Return a gradient times a number."""
    return [None if part is None else part * factor for part in gradient]


def nash_weights(forget: Gradient, retain: Gradient) -> tuple[float, float]:
    """Return the weights of two gradients in their Nash bargain.

    ``a = 1 / (|g| sqrt(1 + cos))`` for each, which solves ``G^T G a = 1 / a``: the bargain with the largest product
    of both gains (Wu and Harandi, 2411.15537; the closed form for two). The sum ``(f / |f| + r / |r|) / sqrt(1 +
    cos)`` always has length ``sqrt 2``. If one gradient is zero, the other keeps its direction, with length 1; two
    opposed gradients share no descent direction, and both get 0.

    Args:
        forget: Gradient of the forget loss.
        retain: Gradient of the retain loss.

    Raises:
        NonFiniteError: If a gradient is not finite.
    """
    ff, rr, fr = dot(forget, forget), dot(retain, retain), dot(forget, retain)
    if not torch.isfinite(torch.tensor([ff, rr, fr])).all():
        raise NonFiniteError(f"expected finite gradients to harmonise, got squared lengths {ff} and {rr}")
    if not ff or not rr:
        return (ff**-0.5 if ff else 0.0), (rr**-0.5 if rr else 0.0)
    one_plus_cosine = 1 + fr / (ff * rr) ** 0.5
    if one_plus_cosine < OPPOSED:
        return 0.0, 0.0
    return (ff * one_plus_cosine) ** -0.5, (rr * one_plus_cosine) ** -0.5


def bargain(forget: Gradient, retain: Gradient) -> tuple[Gradient, Gradient]:
    """Return both gradients times their `nash_weights`; their sum is the gradient of the step."""
    a, b = nash_weights(forget, retain)
    return scale(forget, a), scale(retain, b)


MUNBA = Addon(
    paper=Paper("MUNBa: Machine Unlearning via Nash Bargaining", "ICCV 2025", "2411.15537", "Wu and Harandi"),
    switch="harmonise",
    arguments=tuple(MunbaArguments.__dataclass_fields__),
    splits_gradients=True,
)
