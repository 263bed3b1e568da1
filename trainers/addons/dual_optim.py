"""DualOptim: an optimizer for the gradients of forget rows, with moments of its own."""

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

# Of a checkpoint: what the optimizer remembers.
FILE = "forget_optimizer.pt"
OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "adagrad", "rmsprop", "sgd", sophia.NAME)


@dataclass
class DualOptimArguments:
    """Arguments of DualOptim."""

    dual_optim: str | None = field(
        default=None,
        metadata={"help": f"Give the forget gradients an optimizer of their own: {', '.join(OPTIMIZERS)}."},
    )
    dual_learning_rate: float | None = field(
        default=None, metadata={"help": "Its learning rate; default: that of the run. It follows the same schedule."}
    )

    def check_dual(self) -> None:
        """Refuse an optimizer that is none, and rates that no schedule can be read off.

        Raises:
            ValueError: If there is one.
        """
        if self.dual_optim not in (None, *OPTIMIZERS):
            raise ValueError(f"dual_optim must be one of {', '.join(OPTIMIZERS)}, got {self.dual_optim!r}")
        rates = (self.dual_learning_rate, getattr(self, "learning_rate", None))
        if self.dual_optim is not None and any(rate is not None and rate <= 0 for rate in rates):
            raise ValueError(f"expected learning rates above 0 with dual_optim, got {rates[1]} and {rates[0]}")


class ForgetOptimizer:
    """Moves weights by the gradient of the forget term, apart from the optimizer of all else.

    ``theta <- theta - U_forget(g_forget) - U_retain(g_retain)``, both gradients at the same ``theta``, each ``U`` with
    moments of its own (Zhong et al., 2504.15827, where forget and retain steps alternate). A step without
    forget rows leaves the moments of forgetting as they are, and one without retain rows those of retaining. Weight
    decay belongs to the other optimizer. Plain descent, which has no moments, is the same with one optimizer or two.

    The gradient is clipped by its own length. TeacherCache for one more optimizer; no pass is added.

    Args:
        args: Arguments of the run.
        weights: What is trained.
    """

    def __init__(self, args: Any, weights: Sequence[torch.nn.Parameter]) -> None:
        self.args, self.weights = args, weights
        kind, options = optimizer_of(args)
        self.optimizer: torch.optim.Optimizer = kind([{"params": list(weights), "weight_decay": 0.0}], **options)

    def step(self, rate: float) -> None:
        """Move the weights by their gradients.

        Args:
            rate: Learning rate of the other optimizer at this step.
        """
        own = self.args.dual_learning_rate or self.args.learning_rate
        for group in self.optimizer.param_groups:
            group["lr"] = own * rate / self.args.learning_rate
        if self.args.max_grad_norm > 0:
            torch.nn.utils.clip_grad_norm_(self.weights, self.args.max_grad_norm)
        self.optimizer.step()

    def save(self, folder: Path) -> None:
        """Write the moments beside a checkpoint."""
        torch.save(self.optimizer.state_dict(), folder / FILE)

    def load(self, folder: Path) -> None:
        """Read them back."""
        self.optimizer.load_state_dict(torch.load(folder / FILE, weights_only=True))


def optimizer_of(args: Any) -> tuple[Any, dict[str, Any]]:
    """Return class and options of the optimizer that ``dual_optim`` names."""
    if args.dual_optim == sophia.NAME:
        return sophia.sophia(args)
    from transformers import Trainer  # noqa: PLC0415  (help needs the arguments of this file alone)

    other = copy.copy(args)
    other.optim = OptimizerNames(args.dual_optim)
    kind, options = Trainer.get_optimizer_cls_and_kwargs(other)
    return kind, options


DUAL_OPTIM = Addon(
    paper=Paper(
        "DualOptim: Enhancing Efficacy and Stability in Machine Unlearning with Dual Optimizers",
        "NeurIPS 2025", "2504.15827", "Zhong et al.",
    ),
    switch="dual_optim",
    arguments=tuple(DualOptimArguments.__dataclass_fields__),
    on=lambda args: args.dual_optim is not None,
    splits_gradients=True,
)  # fmt: skip
