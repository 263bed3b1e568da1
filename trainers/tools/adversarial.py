"""Adversarial inputs: one signed gradient step (FGSM), and the nearest input of another predicted class (PGD).

Both work on continuous inputs, on a scale from 0 to 1. For pixels of images and videos that is the scale before the
image processor's normalisation; for any other input (audio; images without a processor) it runs from the smallest to
the largest value of the example, which is an adaptation of ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.batches import model_inputs
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.engine.parameters import trainable_weights
from mubench.trainers.inference.predict import eval_mode
from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

LEVELS = 255


class NoAdversarialInputError(ValueError):
    """No input near the forget set is of another predicted class; nothing was trained."""


def continuous_input(batch: Mapping[str, Any]) -> str:
    """Return the name of the model's only floating-point input.

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
    """Affine map between a batch of inputs and the scale from 0 to 1.

    Attributes:
        low: Input at 0; broadcasts over the batch ``(B, ...)``.
        span: Input at 1 minus input at 0.
        is_pixels: Whether values lie on the 256 levels of an image.
    """

    low: torch.Tensor
    span: torch.Tensor
    is_pixels: bool

    @classmethod
    def of(cls, inputs: torch.Tensor, processor: Any) -> Scale:
        """Return the scale of a batch from the processor that made it (``None``: from its values)."""
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

    def to_unit(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs on the scale from 0 to 1."""
        return (inputs - self.low) / self.span

    def from_unit(self, unit: torch.Tensor) -> torch.Tensor:
        """Return inputs, the inverse of `to_unit`."""
        return self.low + self.span * unit


@dataclass
class Target:
    """A batch under attack: the model's logits as a function of one input on the scale from 0 to 1.

    Attributes:
        trainer: Trainer of the attacked model.
        batch: The batch.
        name: Name of the input that is changed.
        scale: Scale of that input.
    """

    trainer: UnlearningTrainer
    batch: dict[str, Any]
    name: str
    scale: Scale

    @classmethod
    def of(cls, trainer: UnlearningTrainer, batch: dict[str, Any]) -> Target:
        """Return a batch as a target.

        Raises:
            NonFiniteError: If its continuous input is NaN or infinite somewhere.
        """
        name = continuous_input(batch)
        if not torch.isfinite(batch[name]).all():
            raise NonFiniteError(f"expected finite {name}, got NaN or infinity")
        return cls(trainer, batch, name, Scale.of(batch[name], trainer.processing_class))

    @property
    def start(self) -> torch.Tensor:
        """The unchanged input, from 0 to 1, shape ``(B, ...)``."""
        return self.scale.to_unit(self.batch[self.name])

    def logits(self, unit: torch.Tensor) -> torch.Tensor:
        """Return the model's logits for changed inputs, shape ``(B, K)``."""
        return self.trainer.logits(self.trainer.model, {**self.batch, self.name: self.scale.from_unit(unit)})

    def gradient(self, unit: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits ``(B, K)``, and the gradient of every example's loss in its own input ``(B, ...)``."""
        unit = unit.detach().requires_grad_(True)
        logits = self.logits(unit)
        losses = per_example_loss(logits, self.batch["labels"])
        (gradient,) = torch.autograd.grad(losses.sum(), unit)
        return logits.detach(), gradient

    def rows(self, kept: torch.Tensor) -> Target:
        """Return the target of some rows, given a mask ``(B,)`` of them."""
        batch = {key: value[kept] if torch.is_tensor(value) else value for key, value in self.batch.items()}
        scale = (
            self.scale
            if self.scale.is_pixels
            else replace(self.scale, low=self.scale.low[kept], span=self.scale.span[kept])
        )
        return replace(self, batch=batch, scale=scale)


def targets(trainer: UnlearningTrainer, rows: np.ndarray) -> Iterator[Target]:
    """Yield rows of the training set as targets, batch by batch, with the model in eval mode.

    Meanwhile its weights get no gradient, which saves half a backward pass.
    """
    trainable = trainable_weights(trainer.model)
    with eval_mode(trainer.model):
        for weight in trainable:
            weight.requires_grad_(False)
        try:
            for batch in trainer.batches(trainer.train_dataset, rows):
                yield Target.of(trainer, batch)
        finally:
            for weight in trainable:
                weight.requires_grad_(True)


def signed_step(target: Target, epsilon: float) -> torch.Tensor:
    """Return inputs after one step along the sign of the loss's gradient (FGSM, Goodfellow et al., ICLR 2015).

    Pixels move by whole levels.

    Args:
        target: A batch with labels.
        epsilon: Maximum change of every value, on the scale from 0 to 1.

    Returns:
        Values from 0 to 1, shape ``(B, ...)``.
    """
    start = target.start
    _, gradient = target.gradient(start)
    if not target.scale.is_pixels:
        return (start + epsilon * gradient.sign()).clamp(0, 1)
    levels = math.floor(epsilon * LEVELS + 1e-9)
    return ((start * LEVELS).round() + levels * gradient.sign()).clamp(0, LEVELS) / LEVELS


def nearest_adversarial(target: Target, radius: float, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Search for near inputs of another class by l2 PGD (Madry et al., ICLR 2018), in a ball that doubles in size.

    The radius doubles after every ``steps`` steps of length ``2.5 radius / steps``. A row leaves the search as soon as
    its predicted class changes.

    Args:
        target: A batch with labels.
        radius: First radius, in the l2 norm on the scale from 0 to 1.
        steps: Gradient steps per radius.

    Returns:
        Values from 0 to 1, shape ``(B, ...)``, and their predicted classes, shape ``(B,)``. A row that is
        misclassified from the start is returned unchanged; so is, with its own label, a row that keeps its class in a
        ball that contains every input.
    """
    unit, found, classes = target.start, target.start, target.batch["labels"].clone()
    left, largest = torch.arange(len(unit), device=unit.device), unit[0].numel() ** 0.5
    step = 0
    while True:
        logits, gradient = target.gradient(unit)
        predicted = logits.argmax(dim=1)
        kept = predicted == target.batch["labels"]
        found[left[~kept]], classes[left[~kept]] = unit[~kept], predicted[~kept]
        if not kept.any():
            return found, classes
        if not kept.all():
            target, unit, gradient, left = target.rows(kept), unit[kept], gradient[kept], left[kept]
        if step and step % steps == 0:
            if radius > largest:
                return found, classes
            radius *= 2
        change = unit + 2.5 * radius / steps * gradient / _norm(gradient) - target.start
        unit = (target.start + change * (radius / _norm(change)).clamp(max=1)).clamp(0, 1)
        step += 1


def _norm(values: torch.Tensor) -> torch.Tensor:
    """Return the l2 norm of every row, shape ``(B, 1, ...)``."""
    shape = (len(values), *[1] * (values.ndim - 1))
    return values.flatten(1).norm(dim=1).clamp(min=1e-30).view(shape)


def replace_inputs(batch: Mapping[str, Any], inputs: Mapping[int, torch.Tensor]) -> dict[str, Any]:
    """Return a batch with other inputs for some of its rows.

    Args:
        batch: A collated batch with ``index``.
        inputs: New input of a row by its index; its padding may differ from that of the batch.
    """
    name = continuous_input(batch)
    values = batch[name].clone()
    for row, index in enumerate(batch["index"].tolist()):
        if index in inputs:
            other = inputs[index]
            shared = tuple(slice(min(a, b)) for a, b in zip(values.shape[1:], other.shape, strict=True))
            values[row][shared] = other[shared].to(values)
    return {**batch, name: values}
