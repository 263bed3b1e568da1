"""The forward passes of a model that draws, over the rows of a split: noise told apart, and a picture a caption."""

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
from mubench.trainers.inference.generate import drawn
from mubench.trainers.inference.image_outputs import DRAWS
from mubench.trainers.inference.predict import Collate, evaluating
from mubench.trainers.inference.storage import ClassOutputs, PictureOutputs

OutputFunction = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]


def predict_pictures(
    model: Any,
    dataset: Any,
    collate: Collate,
    rows: datasets.Dataset,
    look: OutputFunction,
    *,
    eval_seed: int = 0,
    batch_size: int = 256,
) -> PictureOutputs:
    """Return the losses of the fixed draws of every row, and what the picture drawn to its caption shows.

    Args:
        model: The model; it is asked in eval mode, without gradients, on the device it is on.
        dataset: Model-ready rows.
        collate: Turns a list of them into one batch.
        rows: The same rows, for their ids and labels.
        look: Says what pictures show, ``(N, h, w, 3)`` to logits ``(N, K)``.
        eval_seed: Seed of the drawings.
        batch_size: Rows per forward pass.

    Raises:
        ValueError: If there are no rows.
    """
    if not len(dataset):
        raise ValueError("expected at least 1 row to predict, got 0")
    with evaluating(model), torch.no_grad():
        batches = list(_batches(dataset, collate, batch_size, next(model.parameters()).device))
        losses = np.concatenate([_grid_losses(model, batch) for batch in batches])
        pictures = np.concatenate([drawn(model, batch, eval_seed=eval_seed) for batch in batches])
    shown = ClassOutputs(
        ids=np.asarray(rows["example_id"], dtype=np.str_),
        logits=look(pictures),
        labels=np.asarray(rows["label"], dtype=np.int64),
    )
    return PictureOutputs(shown, losses)


def _batches(dataset: Any, collate: Collate, size: int, device: torch.device) -> Iterator[Mapping[str, Any]]:
    for start in range(0, len(dataset), size):
        batch = collate([dict(dataset[i]) for i in range(start, min(start + size, len(dataset)))])
        yield {name: value.to(device) for name, value in batch.items()}


def _grid_losses(model: Any, batch: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """Return the losses of a batch, ``(B, DRAWS)``."""
    losses = []
    for draw in range(DRAWS):
        asked = add_grid_noise(model, batch, draw, DRAWS)
        losses.append(per_example_loss(model(**model_inputs(asked)).logits, asked["labels"]))
    return torch.stack(losses, dim=1).cpu().numpy()
