"""The gradients of forget and retain rows, kept apart within an optimizer step: what MUNBa, DualOptim and SAM need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from mubench.trainers.addons.dual_optim import ForgetOptimizer
from mubench.trainers.addons.munba import Gradient, bargain
from mubench.trainers.addons.sam import perturbed_weights
from mubench.trainers.engine.batches import select_rows
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.engine.parameters import has_batch_norm, trainable_weights
from mubench.trainers.unlearning.forget_retain import SPLITS
from mubench.trainers.unlearning.unlearning_arguments import enabled_addons

if TYPE_CHECKING:
    from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

ForwardBackward = Callable[[torch.nn.Module, Any, Any], torch.Tensor]


def set_gradient(weights: Sequence[torch.nn.Parameter], gradient: Gradient | None) -> None:
    """Set the gradient of the weights; ``None`` removes it."""
    for weight, part in zip(weights, gradient or [None] * len(weights), strict=True):
        weight.grad = part


def take_gradient(weights: Sequence[torch.nn.Parameter]) -> Gradient:
    """Remove the gradient of the weights and return it."""
    gradient = [weight.grad for weight in weights]
    set_gradient(weights, None)
    return gradient


def add_gradients(one: Gradient, other: Gradient) -> Gradient:
    """Return the sum of two gradients; ``None`` is zero."""
    return [b if a is None else a if b is None else a + b for a, b in zip(one, other, strict=True)]


class SplitGradients:
    """Runs forget and retain rows through the model separately, and combines their gradients once per step.

    Every row goes forward and backward once, as it does without: the counts of a run stay what they are. SAM takes the
    forget rows of the step through once more, so that it costs their passes twice: forward and backward rows of the
    student are those of the method, plus one forward and one backward of each forget row that it trains on (cached
    teachers run once; a method that uses the student itself as a target runs it again, at the weights of that moment).
    The gradients are those of the whole step, over micro-batches and processes. The gradient of
    `UnlearningTrainer.penalty` takes no part in a bargain.

    Where a step has rows of one split only, its gradient bargains with none, or goes to that split's optimizer.
    BatchNorm sees the rows of one split at a time.

    Args:
        trainer: The trainer of the method.
        forward_backward: Runs a batch forward and backward and returns its loss.

    Raises:
        ValueError: If weights are sharded, or BatchNorm would need the rows of other processes.

    Attributes:
        repeats_pass: Whether the forward pass is the second one of SAM.
    """

    def __init__(self, trainer: UnlearningTrainer, forward_backward: ForwardBackward) -> None:
        self.trainer, self.args, self.forward_backward = trainer, trainer.args, forward_backward
        names = ", ".join(addon.switch for addon in enabled_addons(self.args) if addon.splits_gradients)
        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            raise ValueError(f"expected whole weights in every process with {names}, got a launcher that shards them")
        if self.args.world_size > 1 and has_batch_norm(trainer.model):
            raise ValueError(f"expected one process with {names} and BatchNorm, got {self.args.world_size}")
        self.gradients: dict[str, Gradient] = {}
        self.forget_batches: list[Mapping[str, Any]] = []
        self.repeats_pass = False
        self._forget_optimizer: ForgetOptimizer | None = None

    @property
    def weights(self) -> list[torch.nn.Parameter]:
        return trainable_weights(self.trainer.model)

    @property
    def forget_optimizer(self) -> ForgetOptimizer:
        if self._forget_optimizer is None:
            self._forget_optimizer = ForgetOptimizer(self.args, self.weights)
        return self._forget_optimizer

    def check(self) -> None:
        """Raise ``ValueError`` if an addon needs rows of both splits and the steps of the run do not have them."""
        first_retain = len(self.trainer.train_dataset.forget_rows)
        phases = [
            tuple(
                split
                for split, rows in zip(SPLITS, (phase < first_retain, phase >= first_retain), strict=True)
                if rows.any()
            )
            for phase in self.trainer.phases(0)
        ]
        found = {split for phase in phases for split in phase}
        steps = ", then ".join(" and ".join(phase) for phase in dict.fromkeys(phases))
        got = f"got {type(self.trainer).__name__} with steps of {steps} rows"
        if self.args.harmonise and any(len(phase) == 1 for phase in phases):
            raise ValueError(f"expected forget and retain rows in every step for harmonise, {got}")
        if self.args.dual_optim and len(found) == 1:
            raise ValueError(f"expected steps of forget and of retain rows for dual_optim, {got}")
        if self.args.sam_rho is not None and "forget" not in found:
            raise ValueError(f"expected steps of forget rows for sam_rho, {got}")

    def accumulate(self, model: torch.nn.Module, batch: Mapping[str, Any], counts: Any) -> torch.Tensor:
        """Run both splits of a micro-batch, add to their gradients, and return the loss."""
        loss = torch.zeros((), device=self.args.device)
        for split, rows in zip(SPLITS, (batch["forget"], ~batch["forget"]), strict=True):
            if rows.any():
                part = select_rows(batch, rows)
                loss = loss + self._accumulate_split(split, model, part, counts)
                if split == "forget" and self.args.sam_rho is not None:
                    self.forget_batches.append(part)
        return loss

    def finish(self, model: torch.nn.Module, counts: Any) -> None:
        """Set the combined gradient of the whole step, after the forget optimizer, if there is one, has stepped."""
        gradients = {split: self._reduce(split) for split in SPLITS if counts[split]}
        if self.args.sam_rho is not None and "forget" in gradients:
            with perturbed_weights(self.weights, gradients["forget"], self.args.sam_rho):
                gradients["forget"] = self._repeat_forget_pass(model, counts)
        weights = self.weights
        none: Gradient = [None] * len(weights)
        forget, retain = (gradients.get(split, none) for split in SPLITS)
        if self.args.harmonise:
            forget, retain = bargain(forget, retain)
        if self.args.dual_optim and "forget" in gradients:
            set_gradient(weights, forget)
            self.trainer.after_backward()
            self.forget_optimizer.step(self.trainer._get_learning_rate())
            forget = none
        set_gradient(weights, add_gradients(forget, retain))

    def _repeat_forget_pass(self, model: torch.nn.Module, counts: Any) -> Gradient:
        """Return the forget gradient of the step at the weights as they are now."""
        self.repeats_pass = True
        losses = [self._accumulate_split("forget", model, part, counts) for part in self.forget_batches]
        self.repeats_pass, self.forget_batches = False, []
        if not all(torch.isfinite(loss) for loss in losses):
            raise NonFiniteError(f"expected a finite loss within sam_rho {self.args.sam_rho}, got one that is not")
        return self._reduce("forget")

    def _accumulate_split(self, split: str, model: torch.nn.Module, part: Any, counts: Any) -> torch.Tensor:
        """Run rows of one split, and add their gradient to the split's."""
        weights = self.weights
        set_gradient(weights, self.gradients.get(split))
        with self.trainer.accelerator.no_sync(model):  # processes reduce gradients once per step, see `_reduce`
            loss = self.forward_backward(model, part, counts)
        self.gradients[split] = take_gradient(weights)
        return loss

    def _reduce(self, split: str) -> Gradient:
        """Return the gradient of a split over all processes."""
        weights = self.weights
        own = self.gradients.pop(split, [None] * len(weights))
        if self.args.world_size == 1:
            return own
        parts = [torch.zeros_like(w) if part is None else part for w, part in zip(weights, own, strict=True)]
        exists = torch.tensor([part is not None for part in own], dtype=torch.float32, device=self.args.device)
        exists = self.trainer.accelerator.reduce(exists, "sum")
        flat = self.trainer.accelerator.reduce(torch.cat([part.flatten() for part in parts]), "mean")
        mean = flat.split([w.numel() for w in weights])
        return [p.view_as(w) if e else None for w, p, e in zip(weights, mean, exists.tolist(), strict=True)]
