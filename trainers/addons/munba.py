"""MUNBa: forget and retain rows bargain about the direction of a step."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from mubench.trainers.addons.addon import Addon
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.engine.paper import Paper

Gradient = list[torch.Tensor | None]
# Up to here two gradients count as opposed: what is left of their sum is rounding noise.
OPPOSED = 1e-6


@dataclass
class MunbaArguments:
    """Arguments of the bargain."""

    harmonise: str | None = field(
        default=None, metadata={"help": "Let the gradients of forget and retain rows bargain about a step: munba."}
    )

    def check_harmonise(self) -> None:
        """Refuse an unknown way to harmonise.

        Raises:
            ValueError: If it is one.
        """
        if self.harmonise not in (None, "munba"):
            raise ValueError(f"harmonise must be munba, got {self.harmonise!r}")


def dot(one: Gradient, other: Gradient) -> float:
    """Return the inner product of two gradients, in fp64; ``None`` is zero."""
    products = [
        (a.double() * b.double()).sum()
        for a, b in zip(one, other, strict=True)
        if a is not None and b is not None
    ]  # fmt: skip
    return float(sum(products))


def scaled(gradient: Gradient, factor: float) -> Gradient:
    """Return a gradient times a number."""
    return [None if part is None else part * factor for part in gradient]


def shares(forget: Gradient, retain: Gradient) -> tuple[float, float]:
    """Return the weights that the Nash bargain of two gradients gives them.

    ``a = 1 / (|g| sqrt(1 + cos))`` for each, which solves ``G^T G a = 1 / a``: the bargain with the largest product
    of what both gain (Wu and Harandi, 2411.15537; the closed form for two). The sum ``(f / |f| + r / |r|) / sqrt(1 +
    cos)`` has length ``sqrt 2``, whatever the two are. A zero gradient has nothing to bargain about, and leaves the
    other its own direction, of length 1; two that are opposed agree on no step, and get 0.

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
    together = 1 + fr / (ff * rr) ** 0.5
    if together < OPPOSED:
        return 0.0, 0.0
    return (ff * together) ** -0.5, (rr * together) ** -0.5


def bargain(forget: Gradient, retain: Gradient) -> tuple[Gradient, Gradient]:
    """Return both gradients with their `shares`; their sum is the step to take."""
    a, b = shares(forget, retain)
    return scaled(forget, a), scaled(retain, b)


MUNBA = Addon(
    paper=Paper("MUNBa: Machine Unlearning via Nash Bargaining", "ICCV 2025", "2411.15537", "Wu and Harandi"),
    switch="harmonise",
    arguments=tuple(MunbaArguments.__dataclass_fields__),
    on=lambda args: args.harmonise is not None,
    splits_gradients=True,
)
