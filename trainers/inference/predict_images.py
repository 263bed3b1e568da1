"""The forward passes of a text-to-image model over a split: denoising losses, and an image for every caption."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import torch

from mubench.trainers.engine.batches import model_inputs
from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.engine.noise import add_grid_noise
from mubench.trainers.inference.class_outputs import ClassOutputs
from mubench.trainers.inference.generate import generate_images
from mubench.trainers.inference.image_outputs import NOISE_LEVELS, ImageOutputs
from mubench.trainers.inference.predict import Collate, eval_mode

Classify = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]


def predict_images(
    model: Any,
    dataset: Any,
    collate: Collate,
    rows: datasets.Dataset,
    classify: Classify,
    *,
    eval_seed: int = 0,
    batch_size: int = 256,
) -> ImageOutputs:
    """Return the losses of every row at the fixed noise levels, and the classes of the image for its caption.

    Args:
        model: The model; it runs in eval mode, without gradients, on its device.
        dataset: Model-ready rows.
        collate: Turns a list of them into one batch.
        rows: The same rows, for their ids and labels.
        classify: Maps images ``(N, h, w, 3)`` to logits ``(N, K)``.
        eval_seed: Seed of the generated images.
        batch_size: Rows per forward pass.

    Raises:
        ValueError: If there are no rows.
    """
    if not len(dataset):
        raise ValueError("expected at least 1 row to predict, got 0")
    with eval_mode(model), torch.no_grad():
        batches = list(_batches(dataset, collate, batch_size, next(model.parameters()).device))
        losses = np.concatenate([_grid_losses(model, batch) for batch in batches])
        images = np.concatenate([generate_images(model, batch, eval_seed=eval_seed) for batch in batches])
    classes = ClassOutputs(
        ids=np.asarray(rows["example_id"], dtype=np.str_),
        logits=classify(images),
        labels=np.asarray(rows["label"], dtype=np.int64),
    )
    return ImageOutputs(classes, losses)


def _batches(dataset: Any, collate: Collate, size: int, device: torch.device) -> Iterator[Mapping[str, Any]]:
    for start in range(0, len(dataset), size):
        batch = collate([dict(dataset[i]) for i in range(start, min(start + size, len(dataset)))])
        yield {name: value.to(device) for name, value in batch.items()}


def _grid_losses(model: Any, batch: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """Return the losses of a batch, ``(B, NOISE_LEVELS)``."""
    losses = []
    for level in range(NOISE_LEVELS):
        noisy = add_grid_noise(model, batch, level, NOISE_LEVELS)
        losses.append(per_example_loss(model(**model_inputs(noisy)).logits, noisy["labels"]))
    return torch.stack(losses, dim=1).cpu().numpy()
