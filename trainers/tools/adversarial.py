"""Inputs changed against a model: one signed gradient step, and the nearest one that is classified otherwise.

Both work on continuous inputs, on a scale from 0 to 1. For pixels, those of videos too, that is the picture's own,
which the image processor's mean and deviation give back; for any other input (recordings; pictures without a
processor) it is from the smallest to the largest value of the example: an adapter of ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from mubench.hub_builders.tasks import Kind
from mubench.trainers.engine.batches import model_inputs
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

# Kinds of task with an input of real numbers; of a pair of pictures with a statement, the pictures.
CONTINUOUS: tuple[Kind, ...] = (
    "image_classification", "image_pair_classification", "audio_classification", "video_classification",
)  # fmt: skip
LEVELS = 255


class NothingNearError(ValueError):
    """No input near the forget rows is of another class; nothing was trained."""


def continuous_input(batch: Mapping[str, Any]) -> str:
    """Return the name of the model's one input of real numbers.

    Raises:
        ValueError: If there is none, or more than one.
    """
    inputs = model_inputs(batch)
    names = [name for name, value in inputs.items() if torch.is_tensor(value) and value.is_floating_point()]
    if len(names) != 1:
        raise ValueError(
            f"expected one continuous input to change, such as pixel_values, got {', '.join(names) or 'none'} among "
            f"{', '.join(inputs)}"
        )
    return names[0]


@dataclass(frozen=True)
class Scale:
    """Where 0 and 1 lie in a batch of inputs.

    Attributes:
        low: Input at 0; broadcasts over the batch ``(B, ...)``.
        span: Input at 1, less that at 0.
        is_pixels: Whether values lie on the 256 levels of a picture.
    """

    low: torch.Tensor
    span: torch.Tensor
    is_pixels: bool

    @classmethod
    def of(cls, inputs: torch.Tensor, processor: Any) -> Scale:
        """Return the scale of a batch, given the processor that made it, or ``None``."""
        processor = getattr(processor, "image_processor", processor)
        if getattr(processor, "do_normalize", False) and getattr(processor, "image_mean", None) is not None:
            mean, deviation = (
                torch.as_tensor(values, dtype=inputs.dtype, device=inputs.device).view(-1, 1, 1)
                for values in (processor.image_mean, processor.image_std)
            )
            return cls(-mean / deviation, 1 / deviation, is_pixels=True)
        shape = (len(inputs), *[1] * (inputs.ndim - 1))
        low, high = inputs.flatten(1).amin(dim=1).view(shape), inputs.flatten(1).amax(dim=1).view(shape)
        return cls(low, torch.where(high > low, high - low, 1), is_pixels=False)

    def unit(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs on the scale from 0 to 1."""
        return (inputs - self.low) / self.span

    def inputs(self, unit: torch.Tensor) -> torch.Tensor:
        """Return what `unit` was made of."""
        return self.low + self.span * unit


@contextmanager
def attacked(model: torch.nn.Module) -> Iterator[None]:
    """Hold a model still: eval mode, and no gradients of its weights, which spares half a backward pass."""
    training = [module for module in model.modules() if module.training]
    needed = [weight for weight in model.parameters() if weight.requires_grad]
    model.eval()
    for weight in needed:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in needed:
            weight.requires_grad_(True)
        for module in training:
            module.training = True


@dataclass
class Target:
    """A batch under attack: the model's view of it as a function of one input, from 0 to 1.

    Attributes:
        trainer: Whose model is attacked.
        batch: The batch.
        name: The input that is changed.
        scale: Its scale.
    """

    trainer: UnlearningTrainer
    batch: dict[str, Any]
    name: str
    scale: Scale

    @classmethod
    def of(cls, trainer: UnlearningTrainer, batch: dict[str, Any]) -> Target:
        """Return a batch as a target."""
        name = continuous_input(batch)
        if not torch.isfinite(batch[name]).all():
            raise NonFiniteError(f"expected finite {name}, got NaN or infinity")
        return cls(trainer, batch, name, Scale.of(batch[name], trainer.processing_class))

    @property
    def start(self) -> torch.Tensor:
        """The unchanged input, from 0 to 1, shape ``(B, ...)``."""
        return self.scale.unit(self.batch[self.name])

    def logits(self, unit: torch.Tensor) -> torch.Tensor:
        """Return the model's logits for changed inputs, shape ``(B, K)``."""
        return self.trainer.logits(self.trainer.model, {**self.batch, self.name: self.scale.inputs(unit)})

    def gradient(self, unit: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits, and the gradient of every row's loss for its own input."""
        unit = unit.detach().requires_grad_(True)
        logits = self.logits(unit)
        losses = per_example_loss(logits, self.batch["labels"])
        (found,) = torch.autograd.grad(losses.sum(), unit)
        return logits.detach(), found

    def rows(self, kept: torch.Tensor) -> Target:
        """Return some rows alone, bool, shape ``(B,)``."""
        batch = {key: value[kept] if torch.is_tensor(value) else value for key, value in self.batch.items()}
        scale = (
            self.scale
            if self.scale.is_pixels
            else replace(self.scale, low=self.scale.low[kept], span=self.scale.span[kept])
        )
        return replace(self, batch=batch, scale=scale)


def targets(trainer: UnlearningTrainer, rows: np.ndarray) -> Iterator[Target]:
    """Yield some rows as targets, batch by batch, with the model held still."""
    with attacked(trainer.model):
        for batch in trainer.batches(trainer.train_dataset, rows):
            yield Target.of(trainer, batch)


def signed_step(target: Target, epsilon: float) -> torch.Tensor:
    """Return inputs after one step up the sign of the loss's gradient (FGSM); pixels move by whole levels.

    Args:
        target: A batch with labels.
        epsilon: Length of the step in every value, at most, on the scale from 0 to 1.

    Returns:
        Values from 0 to 1, shape ``(B, ...)``.
    """
    start = target.start
    _, slope = target.gradient(start)
    if not target.scale.is_pixels:
        return (start + epsilon * slope.sign()).clamp(0, 1)
    levels = math.floor(epsilon * LEVELS + 1e-9)
    return ((start * LEVELS).round() + levels * slope.sign()).clamp(0, LEVELS) / LEVELS


def nearest(target: Target, radius: float, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Look for inputs of another class nearby: up the loss, in a ball that doubles when ``steps`` are over (PGD, l2).

    Rows leave the search as soon as their class is another one.

    Args:
        target: A batch with labels.
        radius: The first ball's, in the l2 norm on the scale from 0 to 1.
        steps: Gradient steps a ball.

    Returns:
        Values from 0 to 1, shape ``(B, ...)``, and the model's classes for them, ``(B,)``. A row that the model gets
        wrong as it is stays as it is; so does one, with its own label, that keeps its class in a ball that holds every
        input.
    """
    unit, found, classes = target.start, target.start, target.batch["labels"].clone()
    left, largest = torch.arange(len(unit), device=unit.device), unit[0].numel() ** 0.5
    step = 0
    while True:
        logits, slope = target.gradient(unit)
        seen = logits.argmax(dim=1)
        kept = seen == target.batch["labels"]
        found[left[~kept]], classes[left[~kept]] = unit[~kept], seen[~kept]
        if not kept.any():
            return found, classes
        if not kept.all():
            target, unit, slope, left = target.rows(kept), unit[kept], slope[kept], left[kept]
        if step and step % steps == 0:
            if radius > largest:
                return found, classes
            radius *= 2
        unit = _within(unit + 2.5 * radius / steps * slope / _norm(slope), target.start, radius)
        step += 1


def _within(moved: torch.Tensor, start: torch.Tensor, radius: float) -> torch.Tensor:
    """Return the nearest values in a ball around the start, then those from 0 to 1."""
    change = moved - start
    return (start + change * (radius / _norm(change)).clamp(max=1)).clamp(0, 1)


def _norm(values: torch.Tensor) -> torch.Tensor:
    """Return the l2 norm of every row, shaped to divide it."""
    shape = (len(values), *[1] * (values.ndim - 1))
    return values.flatten(1).norm(dim=1).clamp(min=1e-30).view(shape)


def replaced(batch: Mapping[str, Any], inputs: Mapping[int, torch.Tensor]) -> dict[str, Any]:
    """Return a batch in which the rows that have another input, by their index, have that one.

    Args:
        batch: A collated batch with ``index``.
        inputs: Inputs by index, padded as they were when they were made; more or less padding is as good.
    """
    name = continuous_input(batch)
    values = batch[name].clone()
    for row, index in enumerate(batch["index"].tolist()):
        if index in inputs:
            other = inputs[index]
            shared = tuple(slice(min(a, b)) for a, b in zip(values.shape[1:], other.shape, strict=True))
            values[row][shared] = other[shared].to(values)
    return {**batch, name: values}
