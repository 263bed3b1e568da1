"""Sophia as used by second-order unlearning (SOUL): clipped steps, shorter where the loss is curved."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainingArguments

from mubench.trainers.addons.addon import Addon
from mubench.trainers.engine.paper import Paper

NAME = "sophia"
EPSILON = 1e-15


@dataclass
class SophiaArguments:
    """Arguments of Sophia, which ``--optim sophia`` selects."""

    sophia_rho: float = field(
        default=0.04,
        metadata={"help": "Scale of the curvature in Sophia's steps; the larger, the shorter the steps (rho)."},
    )
    sophia_beta1: float = field(default=0.9, metadata={"help": "Decay rate of the gradient average (beta1)."})
    sophia_beta2: float = field(default=0.95, metadata={"help": "Decay rate of the curvature average (beta2)."})

    def check_sophia(self) -> None:
        """Raise ``ValueError`` if an argument of Sophia is out of range."""
        if self.sophia_rho <= 0:
            raise ValueError(f"sophia_rho must be positive, got {self.sophia_rho}")
        for name in ("sophia_beta1", "sophia_beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")


class Sophia(torch.optim.Optimizer):
    """Takes clipped second-order steps.

    ``m <- beta1 m + (1 - beta1) g``, ``h <- beta2 h + (1 - beta2) g^2``,
    ``theta <- (1 - eta w) theta - eta sign(m) min(|m| / (rho B h), 1)`` (Sophia, Liu et al., 2305.14342, algorithm 3).

    ``h`` is the Gauss-Newton estimate from the training gradient, at every step, as in SOUL's code; Sophia-G itself
    samples labels for it every ten steps. So it costs no additional pass. Where ``h`` is 0 a step is ``eta sign(m)``,
    which is the longest step, weight decay aside. A weight whose gradient is zero up to rounding, such as the bias of
    attention's keys, follows the rounding.

    Args:
        params: Weights, or groups of them.
        lr: ``eta``.
        betas: ``beta1`` and ``beta2``.
        rho: ``rho``.
        rows: Examples of an optimizer step (``B``).
        weight_decay: ``w``.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.95),
        rho: float = 0.04,
        rows: int = 1,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "rho": rho, "rows": rows, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step of all weights that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)
        return loss

    def _update(self, weight: torch.Tensor, group: dict[str, Any]) -> None:
        gradient, state = weight.grad, self.state[weight]
        if not state:
            state["m"], state["h"] = torch.zeros_like(weight), torch.zeros_like(weight)
        (beta1, beta2), m, h = group["betas"], state["m"], state["h"]
        m.lerp_(gradient, 1 - beta1)
        h.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        length = (m.abs() / (group["rho"] * group["rows"] * h + EPSILON)).clamp(max=1)
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.addcmul_(m.sign(), length, value=-group["lr"])


def sophia(args: Any) -> tuple[type[Sophia], dict[str, Any]]:
    """Return optimizer class and options for a run's arguments, as `transformers.Trainer` takes them."""
    run: TrainingArguments = args
    return Sophia, {
        "lr": run.learning_rate,
        "betas": (args.sophia_beta1, args.sophia_beta2),
        "rho": args.sophia_rho,
        "rows": run.train_batch_size * run.gradient_accumulation_steps * run.world_size,
    }


SOPHIA = Addon(
    paper=Paper(
        "SOUL: Unlocking the Power of Second-Order Optimization for LLM Unlearning",
        "EMNLP 2024", "2404.18239", "Jia et al.",
    ),
    switch="optim sophia",
    arguments=tuple(SophiaArguments.__dataclass_fields__),
    optimizer=NAME,
)  # fmt: skip
