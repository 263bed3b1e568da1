"""DualOptim: a separate optimizer, with its own moments, for the gradients of the forget set."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers.training_args import OptimizerNames

from mubench.trainers.addons import sophia
from mubench.trainers.addons.addon import Addon
from mubench.trainers.engine.paper import Paper

# File of a checkpoint with the optimizer's moments.
FILE = "forget_optimizer.pt"
OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "adagrad", "rmsprop", "sgd", sophia.NAME)


@dataclass
class DualOptimArguments:
    """Arguments of DualOptim."""

    dual_optim: str | None = field(
        default=None, metadata={"help": f"Separate optimizer for the forget gradients: {', '.join(OPTIMIZERS)}."}
    )
    dual_learning_rate: float | None = field(
        default=None, metadata={"help": "Its learning rate, under the run's schedule; default: that of the run."}
    )

    def check_dual(self) -> None:
        """Raise ``ValueError`` if the optimizer is unknown, or a learning rate not positive: it gives the schedule."""
        if self.dual_optim not in (None, *OPTIMIZERS):
            raise ValueError(f"dual_optim must be one of {', '.join(OPTIMIZERS)}, got {self.dual_optim!r}")
        rates = (self.dual_learning_rate, getattr(self, "learning_rate", None))
        if self.dual_optim is not None and any(rate is not None and rate <= 0 for rate in rates):
            raise ValueError(f"expected learning rates above 0 with dual_optim, got {rates[1]} and {rates[0]}")


class ForgetOptimizer:
    """Updates weights by the gradient of the forget term, separately from the main optimizer.

    ``theta <- theta - U_forget(g_forget) - U_retain(g_retain)``, both gradients at the same ``theta``, each ``U`` with
    its own moments (Zhong et al., 2504.15827, where forget and retain steps alternate). A step without forget examples
    leaves the forget moments unchanged, and one without retain examples the retain moments. Weight decay is left to
    the main optimizer. Plain descent, which has no moments, gives the same result with one optimizer or two.

    The gradient is clipped by its own norm. It takes the memory of one more optimizer; no pass is added.

    Args:
        args: Arguments of the run.
        weights: Trained weights.
    """

    def __init__(self, args: Any, weights: Sequence[torch.nn.Parameter]) -> None:
        self.args, self.weights = args, weights
        kind, options = optimizer_of(args)
        self.optimizer: torch.optim.Optimizer = kind([{"params": list(weights), "weight_decay": 0.0}], **options)

    def step(self, rate: float) -> None:
        """Update the weights by their gradients.

        Args:
            rate: Learning rate of the main optimizer at this step.
        """
        own = self.args.dual_learning_rate or self.args.learning_rate
        for group in self.optimizer.param_groups:
            group["lr"] = own * rate / self.args.learning_rate
        if self.args.max_grad_norm > 0:
            torch.nn.utils.clip_grad_norm_(self.weights, self.args.max_grad_norm)
        self.optimizer.step()

    def save(self, folder: Path) -> None:
        """Write the moments into a checkpoint."""
        torch.save(self.optimizer.state_dict(), folder / FILE)

    def load(self, folder: Path) -> None:
        """Read the moments of a checkpoint."""
        self.optimizer.load_state_dict(torch.load(folder / FILE, weights_only=True))


def optimizer_of(args: Any) -> tuple[Any, dict[str, Any]]:
    """Return class and options of the optimizer that ``dual_optim`` names."""
    if args.dual_optim == sophia.NAME:
        return sophia.sophia(args)
    from transformers import Trainer  # noqa: PLC0415  (help needs the arguments of this file alone)

    forget_args = copy.copy(args)
    forget_args.optim = OptimizerNames(args.dual_optim)
    kind, options = Trainer.get_optimizer_cls_and_kwargs(forget_args)
    return kind, options


DUAL_OPTIM = Addon(
    paper=Paper(
        "DualOptim: Enhancing Efficacy and Stability in Machine Unlearning with Dual Optimizers",
        "NeurIPS 2025", "2504.15827", "Zhong et al.",
    ),
    switch="dual_optim",
    arguments=tuple(DualOptimArguments.__dataclass_fields__),
    splits_gradients=True,
)  # fmt: skip
