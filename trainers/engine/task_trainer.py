"""`TaskTrainer`: per-example losses, averaged exactly, and the stop at what is not finite.

Letters: ``B`` rows of a batch, ``K`` classes, ``T`` tokens, ``V`` words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback, TrainingArguments
from transformers.trainer_utils import TrainOutput

from mubench.trainers.engine.augmenting import AugmentingTrainer
from mubench.trainers.engine.batch_norm import synchronized
from mubench.trainers.engine.distributed import leave_group_at_exit
from mubench.trainers.engine.lora import add_adapters, merge_adapters
from mubench.trainers.engine.losses import (
    NonFiniteError,
    Term,
    check_finite,
    model_inputs,
    per_example_loss,
    shift_labels,
    trainable,
)
from mubench.trainers.engine.noise import KEY, add_training_noise
from mubench.trainers.engine.resuming import ResumableTrainer
from mubench.trainers.engine.task_arguments import TaskArguments


class _Hooks(TrainerCallback):
    """Tells a trainer that an optimizer step or an epoch is over."""

    def __init__(self, trainer: TaskTrainer) -> None:
        self.trainer = trainer

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        self.trainer.after_step()

    def on_epoch_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        if self.trainer.after_epoch():
            control.should_training_stop = True


class TaskTrainer(AugmentingTrainer, ResumableTrainer):
    """Trains on per-example losses; base models use it as it is, unlearning methods subclass it.

    What differs from `transformers.Trainer`:

    - the loss is computed from the logits, one value an example, and averaged over the whole optimizer step: gradient
      accumulation and data parallelism change nothing but speed;
    - batches are a pure function of ``(seed, epoch)``, see `PlannedTrainer`, so that a resumed run is the
      uninterrupted one; so is what changes them at random, where that is asked for, see `AugmentingTrainer`;
    - checkpoints keep the parameter names that are in memory, see `ResumableTrainer`, since transformers restores
      renamed ones not at all;
    - a non-finite loss or weight raises `NonFiniteError`.

    Subclasses may override `phases`, `terms`, `penalty`, `after_backward`, `after_step` and `after_epoch`.
    """

    loss_is_scaled_for_ga = True

    def __init__(self, model: torch.nn.Module, args: TrainingArguments | None = None, **kwargs: Any) -> None:
        args = TaskArguments() if args is None else args
        model = synchronized(model, args)
        if isinstance(args, TaskArguments) and args.lora_rank is not None:
            self.check_adaptable()
            model = add_adapters(model, args, args.seed)
        super().__init__(model=model, args=args, **kwargs)
        leave_group_at_exit()
        self.remove_callback(PrinterCallback)  # it prints raw log lines where progress bars are off
        self.add_callback(_Hooks(self))
        self._sums: dict[str, torch.Tensor] = {}
        self._rows: dict[str, int] = {}

    # What a method may say

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the summands of the loss of one micro-batch."""
        return [Term("all", per_example_loss(self.logits(model, batch), batch["labels"]))]

    def penalty(self, model: torch.nn.Module) -> torch.Tensor | None:
        """Return a term that depends on the weights alone; it is computed once an optimizer step."""
        return None

    def after_backward(self) -> None:
        """Run when the gradients of an optimizer step are complete, before they are clipped."""

    def after_step(self) -> None:
        """Run right after the optimizer has moved the weights."""

    def after_epoch(self) -> bool:
        """Run after an epoch, where all are of one length, and say whether training is to end."""
        return False

    def check_adaptable(self) -> None:
        """Raise ``ValueError`` if it makes no sense to train adapters in place of weights."""

    def logits(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
        """Run a forward pass and return its logits, shape ``(B, K)`` or ``(B, T, V)``."""
        output: torch.Tensor = model(**model_inputs(batch)).logits
        return output

    def history(self) -> list[dict[str, Any]]:
        """Return what a run tells of its epochs beside the result."""
        return []

    # How it is computed

    def _prepare_inputs(self, inputs: Any) -> dict[str, Any]:
        """Move a batch to the device, its labels where the logits predict them; spoil pictures that are to be told."""
        prepared = super()._prepare_inputs(inputs)
        model = self.accelerator.unwrap_model(self.model)
        if KEY in prepared:
            prepared = add_training_noise(model, prepared, seed=self.data_seed, step=self.state.global_step)
        return shift_labels(model, prepared)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a micro-batch, scaled so that summing over the step gives the exact mean."""
        if return_outputs:  # evaluation: the plain loss of the task, never an unlearning objective
            outputs = model(**model_inputs(inputs))
            return per_example_loss(outputs.logits, inputs["labels"]).mean(), {"logits": outputs.logits}
        loss = torch.zeros((), device=self.args.device)
        for place, term in enumerate(self.terms(model, inputs)):
            self._note(term.split, term.values)
            mean = self.weighed(place, term).sum() / max(num_items_in_batch[term.split], 1)
            loss = loss + term.weight * self.args.world_size * mean
        return loss

    def weighed(self, place: int, term: Term) -> torch.Tensor:
        """Return the values of one of the terms, ``(b,)``, as they count in the loss."""
        return term.values

    def forward_backward(self, model: Any, inputs: Any, num_items_in_batch: Any) -> torch.Tensor:
        """Run one micro-batch forward and backward, and return its loss."""
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        return loss

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Run one micro-batch and stop the run if its loss is not finite."""
        loss = self.forward_backward(model, inputs, num_items_in_batch)
        if self.accelerator.sync_gradients:
            loss = loss + self._add_penalty(self.accelerator.unwrap_model(model))
        if not torch.isfinite(loss):
            raise NonFiniteError(f"expected a finite loss, got {loss.item()} at step {self.state.global_step + 1}")
        if self.accelerator.sync_gradients:
            self.after_backward()
        return loss

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """Train, and check every weight at the end.

        Raises:
            NonFiniteError: If the loss or a weight became NaN or infinite.
        """
        self.start_clock()
        output = super().train(*args, **kwargs)
        check_finite(self.model)
        if self.adapts:
            self.model = self.model_wrapped = merge_adapters(self.model)
        return output

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log, beside the loss, the mean value of every term since the last log."""
        means = {f"loss_{name}": float(total) / max(self._rows[name], 1) for name, total in self._sums.items()}
        self._sums, self._rows = {}, {}
        super().log({**logs, **means}, *args, **kwargs)

    def _add_penalty(self, model: torch.nn.Module) -> torch.Tensor:
        """Add the penalty's gradient to the step's, and return its value."""
        penalty = self.penalty(model)
        if penalty is None:
            return torch.zeros((), device=self.args.device)
        # Apart from the loss: a backward pass would reach weights that the forward pass does not use, which data
        # parallelism does not wait for.
        weights = trainable(model)
        scale = self.accelerator.scaler.get_scale() if self.accelerator.scaler is not None else 1.0
        gradients = torch.autograd.grad(scale * penalty, weights, allow_unused=True)
        for weight, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:
                weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
        self._note("penalty", penalty.detach()[None])
        return penalty.detach()

    def _note(self, name: str, values: torch.Tensor) -> None:
        total = values.detach().sum()
        self._sums[name] = self._sums.get(name, torch.zeros_like(total)) + total
        self._rows[name] = self._rows.get(name, 0) + len(values)
