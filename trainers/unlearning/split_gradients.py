"""The gradients of forget and retain rows, kept apart within an optimizer step: what MUNBa, DualOptim and SAM need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from mubench.trainers.addons import enabled_addons
from mubench.trainers.addons.dual_optim import ForgetOptimizer
from mubench.trainers.addons.munba import Gradient, bargain
from mubench.trainers.addons.sam import uphill
from mubench.trainers.engine.batch_norm import has_batch_norm
from mubench.trainers.engine.losses import NonFiniteError, trainable
from mubench.trainers.unlearning.pairing import SPLITS
from mubench.trainers.unlearning.teachers import select

if TYPE_CHECKING:
    from mubench.trainers.unlearning.wrapped import WrappedTrainer

Pass = Callable[[torch.nn.Module, Any, Any], torch.Tensor]


def put(weights: Sequence[torch.nn.Parameter], gradient: Gradient | None) -> None:
    """Make a gradient that of the weights; ``None`` takes it away."""
    for weight, part in zip(weights, gradient or [None] * len(weights), strict=True):
        weight.grad = part


def taken(weights: Sequence[torch.nn.Parameter]) -> Gradient:
    """Take the gradient away from the weights and return it."""
    gradient = [weight.grad for weight in weights]
    put(weights, None)
    return gradient


def added(one: Gradient, other: Gradient) -> Gradient:
    """Return the sum of two gradients; ``None`` is zero."""
    return [b if a is None else a if b is None else a + b for a, b in zip(one, other, strict=True)]


class SplitGradients:
    """Runs forget and retain rows through the model by themselves, and makes one gradient of a whole step.

    Every row goes forward and backward once, as it does without: the counts of a run stay what they are. SAM takes the
    forget rows of the step through once more, so that it costs their passes twice: forward and backward rows of the
    student are those of the method, plus one forward and one backward of each forget row that it trains on (teachers
    that remember are asked once; a method that asks the student itself for a target asks again, where it stands then).
    The gradients are those of the whole step, over micro-batches and processes. What `UnlearningTrainer.penalty` adds
    is no party to a bargain.

    Where a step has rows of one side only, its gradient bargains with nobody, or goes to that side's optimizer.
    BatchNorm sees the rows of one side at a time.

    Args:
        trainer: The trainer of the method.
        one_pass: Runs a batch forward and backward and returns its loss.

    Raises:
        ValueError: If weights are sharded, or BatchNorm would have to meet rows of other processes.
    """

    def __init__(self, trainer: WrappedTrainer, one_pass: Pass) -> None:
        self.trainer, self.args, self.one_pass = trainer, trainer.args, one_pass
        names = ", ".join(addon.switch for addon in enabled_addons(self.args) if addon.splits_gradients)
        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            raise ValueError(f"expected whole weights in every process with {names}, got a launcher that shards them")
        if self.args.world_size > 1 and has_batch_norm(trainer.model):
            raise ValueError(f"expected one process with {names} and BatchNorm, got {self.args.world_size}")
        self.kept: dict[str, Gradient] = {}
        self.forgotten: list[Mapping[str, Any]] = []
        self.repeating = False
        self._dual: ForgetOptimizer | None = None

    @property
    def weights(self) -> list[torch.nn.Parameter]:
        """What is trained."""
        return trainable(self.trainer.model)

    @property
    def dual(self) -> ForgetOptimizer:
        """The optimizer of the forget gradients."""
        if self._dual is None:
            self._dual = ForgetOptimizer(self.args, self.weights)
        return self._dual

    def check(self) -> None:
        """Refuse what needs two sides where the steps of a run do not have them.

        Raises:
            ValueError: If that is so.
        """
        border = len(self.trainer.forget_rows)
        phases = [
            tuple(side for side, rows in zip(SPLITS, (phase < border, phase >= border), strict=True) if rows.any())
            for phase in self.trainer.phases(0)
        ]
        found = {side for phase in phases for side in phase}
        steps = ", then ".join(" and ".join(phase) for phase in dict.fromkeys(phases))
        got = f"got {type(self.trainer).__name__} with steps of {steps} rows"
        if self.args.harmonise and any(len(phase) == 1 for phase in phases):
            raise ValueError(f"expected forget and retain rows in every step for harmonise, {got}")
        if self.args.dual_optim and len(found) == 1:
            raise ValueError(f"expected steps of forget and of retain rows for dual_optim, {got}")
        if self.args.sam_rho is not None and "forget" not in found:
            raise ValueError(f"expected steps of forget rows for sam_rho, {got}")

    def add(self, model: torch.nn.Module, batch: Mapping[str, Any], counts: Any) -> torch.Tensor:
        """Run both sides of a micro-batch, and return its loss."""
        loss = torch.zeros((), device=self.args.device)
        for side, rows in zip(SPLITS, (batch["forget"], ~batch["forget"]), strict=True):
            if rows.any():
                part = select(batch, rows)
                loss = loss + self._through(side, model, part, counts)
                if side == "forget" and self.args.sam_rho is not None:
                    self.forgotten.append(part)
        return loss

    def finish(self, model: torch.nn.Module, counts: Any) -> None:
        """Leave the gradient of the whole step with the weights, and let the forget optimizer go first."""
        gradients = {side: self._everyones(side) for side in SPLITS if counts[side]}
        if self.args.sam_rho is not None and "forget" in gradients:
            with uphill(self.weights, gradients["forget"], self.args.sam_rho):
                gradients["forget"] = self._again(model, counts)
        weights = self.weights
        none: Gradient = [None] * len(weights)
        forget, retain = (gradients.get(side, none) for side in SPLITS)
        if self.args.harmonise:
            forget, retain = bargain(forget, retain)
        if self.args.dual_optim and "forget" in gradients:
            put(weights, forget)
            self.trainer.after_backward()
            self.dual.step(self.trainer._get_learning_rate())
            forget = none
        put(weights, added(forget, retain))

    def _again(self, model: torch.nn.Module, counts: Any) -> Gradient:
        """Return the forget gradient of the step at the weights as they are now."""
        self.repeating = True
        losses = [self._through("forget", model, part, counts) for part in self.forgotten]
        self.repeating, self.forgotten = False, []
        if not all(torch.isfinite(loss) for loss in losses):
            raise NonFiniteError(f"expected a finite loss within sam_rho {self.args.sam_rho}, got one that is not")
        return self._everyones("forget")

    def _through(self, side: str, model: torch.nn.Module, part: Any, counts: Any) -> torch.Tensor:
        """Run rows of one side, and add their gradient to the side's."""
        weights = self.weights
        put(weights, self.kept.get(side))
        with self.trainer.accelerator.no_sync(model):  # processes share gradients when a step is whole, see below
            loss = self.one_pass(model, part, counts)
        self.kept[side] = taken(weights)
        return loss

    def _everyones(self, side: str) -> Gradient:
        """Return the gradient of a side over all processes."""
        weights = self.weights
        own = self.kept.pop(side, [None] * len(weights))
        if self.args.world_size == 1:
            return own
        parts = [torch.zeros_like(w) if part is None else part for w, part in zip(weights, own, strict=True)]
        there = torch.tensor([part is not None for part in own], dtype=torch.float32, device=self.args.device)
        there = self.trainer.accelerator.reduce(there, "sum")
        flat = self.trainer.accelerator.reduce(torch.cat([part.flatten() for part in parts]), "mean")
        whole = flat.split([w.numel() for w in weights])
        return [p.view_as(w) if t else None for w, p, t in zip(weights, whole, there.tolist(), strict=True)]
