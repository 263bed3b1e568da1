"""Gradients of losses in every trainable weight: summed over batches, or of single examples.

Images go through `torch.func.vmap`, many at a time; every other example goes through the model by itself, which is
exact for every architecture and needs no padding. Both in eval mode, at the current weights.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from mubench.trainers.engine.batches import model_inputs
from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.engine.parameters import trainable_weights
from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

logger = logging.getLogger(__name__)

# Limits of one pass: images, on a processor fewer, whose caches do not hold the gradients of more; their values (6
# images of 224 pixels); and bytes of their gradients.
MAX_EXAMPLES, MAX_ON_CPU, MAX_VALUES, MAX_BYTES = 128, 32, 2**20, 2**29
DIMENSIONS = (4, 1)  # of a batch of images, (B, C, H, W), and of its labels


def gradients(value: torch.Tensor, model: torch.nn.Module, *, keep: bool = False) -> list[torch.Tensor]:
    """Return the gradient of a scalar in every trainable weight; ``keep`` keeps the graph for another one."""
    weights = trainable_weights(model)
    return [*torch.autograd.grad(value, weights, retain_graph=keep, allow_unused=True, materialize_grads=True)]


def batch_gradients(trainer: UnlearningTrainer, rows: np.ndarray) -> Iterator[list[torch.Tensor]]:
    """Yield the gradient of the summed loss of every batch of training's size."""
    for batch in eval_batches(trainer, rows):
        yield gradients(_losses(trainer, batch).sum(), trainer.model)


def example_gradients(trainer: UnlearningTrainer, rows: np.ndarray) -> Iterator[list[torch.Tensor]]:
    """Yield the gradients of the losses of single examples, in the order of rows.

    Yields:
        A tensor of shape ``(b, *shape)`` for every trainable weight; ``b`` is 1 or more.
    """
    size = _images_per_pass(trainer, rows[:1])
    if size > 1:
        yield from (_vectorized_gradients(trainer, batch) for batch in eval_batches(trainer, rows, size))
    else:
        for batch in eval_batches(trainer, rows, 1):
            yield [found[None] for found in gradients(_losses(trainer, batch).sum(), trainer.model)]


def eval_batches(trainer: UnlearningTrainer, rows: np.ndarray, size: int | None = None) -> Iterator[dict[str, Any]]:
    """Return batches of some rows for a model in eval mode; ``size`` is training's by default."""
    trainer.model.eval()
    return trainer.batches(trainer.train_dataset, rows, size)


def _images_per_pass(trainer: UnlearningTrainer, rows: np.ndarray) -> int:
    """Return how many images go through the model at once: 1 unless rows are single images with a class.

    Args:
        trainer: The trainer.
        rows: The first row, with which a model is tried that `torch.func.vmap` may not support.
    """
    batch = next(eval_batches(trainer, rows, 1), None)
    if batch is None or [*model_inputs(batch)] != ["pixel_values"]:
        return 1
    images, labels = batch["pixel_values"], batch["labels"]
    if (images.ndim, labels.ndim) != DIMENSIONS:
        return 1
    weights = sum(weight.numel() for weight in trainable_weights(trainer.model))
    most = min(MAX_EXAMPLES, MAX_ON_CPU) if images.device.type == "cpu" else MAX_EXAMPLES
    size = min(most, MAX_VALUES // images.numel(), MAX_BYTES // max(4 * weights, 1))
    return size if size > 1 and _can_vectorize(trainer, batch) else 1


def _can_vectorize(trainer: UnlearningTrainer, batch: dict[str, Any]) -> bool:
    try:
        _vectorized_gradients(trainer, batch, count=0)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        logger.warning("gradients of single examples are computed one at a time: torch.func.vmap fails with %s", error)
        return False
    return True


def _vectorized_gradients(
    trainer: UnlearningTrainer, batch: dict[str, Any], count: int | None = None
) -> list[torch.Tensor]:
    """Return the gradients of every image of a batch in one pass, shapes ``(b, *shape)``.

    ``count`` is the number of examples to add to the cost, by default those of the batch.
    """
    model = _Losses(trainer)
    weights = {name: weight.detach().contiguous() for name, weight in model.named_parameters() if weight.requires_grad}

    def loss(weights: dict[str, torch.Tensor], image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.func.functional_call(model, weights, (image[None], label[None]))
        return found.sum()

    every = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))
    trainer.vectorized_rows = len(batch["labels"]) if count is None else count
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="There is a performance drop")  # of single operators, per pass
            found = every(weights, batch["pixel_values"], batch["labels"])
    finally:
        trainer.vectorized_rows = 1
    return [found[name] for name in weights]


class _Losses(torch.nn.Module):
    """A trainer's model that returns losses of images, for `torch.func.functional_call`."""

    def __init__(self, trainer: UnlearningTrainer) -> None:
        super().__init__()
        self.model = trainer.model
        self._logits = trainer.logits

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return per_example_loss(self._logits(self.model, {"pixel_values": images, "labels": labels}), labels)


def _losses(trainer: UnlearningTrainer, batch: dict[str, Any]) -> torch.Tensor:
    return per_example_loss(trainer.logits(trainer.model, batch), batch["labels"])
