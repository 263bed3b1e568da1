"""The forward passes of a text-to-image model over a split: denoising losses, and an image for every caption."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from transformers import PreTrainedModel, default_data_collator

from mubench.trainers.engine.batches import model_inputs
from mubench.trainers.engine.losses import per_example_loss
from mubench.trainers.engine.noise import KEY, START, add_grid_noise, generators, noises
from mubench.trainers.inference.image_outputs import NOISE_LEVELS, ImageOutputs
from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.inference.predict import Collate, collate_batches, eval_mode, predict

# DDIM steps per image.
STEPS = 10
# Rows of a forward pass.
BATCH = 256

Classify = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]


def predict_images(
    model: Any, dataset: Any, collate: Collate, rows: datasets.Dataset, classify: Classify, *, eval_seed: int
) -> ImageOutputs:
    """Return the losses of every row at the fixed noise levels, and the classes of the image for its caption.

    Args:
        model: The model; it runs in eval mode, without gradients, on its device.
        dataset: Model-ready rows.
        collate: Turns a list of them into one batch.
        rows: The same rows, for their ids and labels.
        classify: Maps images ``(N, h, w, 3)`` to logits ``(N, K)``.
        eval_seed: Seed of the generated images.

    Raises:
        ValueError: If there are no rows.
    """
    with eval_mode(model), torch.no_grad():
        batches = list(_batches(model, dataset, collate))
        losses = np.concatenate([_grid_losses(model, batch) for batch in batches])
        images = np.concatenate([generate_images(model, batch, eval_seed=eval_seed) for batch in batches])
    classes = ClassOutputs(
        ids=np.asarray(rows["example_id"], dtype=np.str_),
        logits=classify(images),
        labels=np.asarray(rows["label"], dtype=np.int64),
    )
    return ImageOutputs(classes, losses)


def generate_all(model: Any, dataset: Any, collate: Collate, *, eval_seed: int) -> npt.NDArray[np.uint8]:
    """Return an image for the caption of every row, ``(N, h, w, 3)``; arguments are those of `predict_images`."""
    with eval_mode(model):
        batches = _batches(model, dataset, collate)
        return np.concatenate([generate_images(model, batch, eval_seed=eval_seed) for batch in batches])


def _batches(model: Any, dataset: Any, collate: Collate) -> Iterator[dict[str, Any]]:
    device = next(model.parameters()).device
    for batch in collate_batches(dataset, collate, BATCH):
        yield {name: value.to(device) for name, value in batch.items()}


def _grid_losses(model: Any, batch: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """Return the losses of a batch, ``(B, NOISE_LEVELS)``."""
    losses = []
    for level in range(NOISE_LEVELS):
        noisy = add_grid_noise(model, batch, level, NOISE_LEVELS)
        losses.append(per_example_loss(model(**model_inputs(noisy)).logits, noisy["labels"]))
    return torch.stack(losses, dim=1).cpu().numpy()


@torch.no_grad()
def generate_images(model: Any, batch: Mapping[str, Any], *, eval_seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return an image for every caption, ``(B, h, w, 3)``.

    Only the starting noise is random, and it depends on seed and row alone.

    Args:
        model: The model, in eval mode.
        batch: A batch with ``input_ids`` and ``row_key``; its images are not read.
        eval_seed: Seed of the starting noise.
    """
    device = next(model.parameters()).device
    schedule = type(model.schedule).from_config(model.schedule.config)  # generation changes a schedule
    schedule.set_timesteps(STEPS)
    captions = batch["input_ids"].to(device)
    sample = noises(generators(batch[KEY], START, 0, eval_seed), model.shape).to(device)
    for time in schedule.timesteps:
        predicted = model(sample=sample, timestep=time.expand(len(sample)).to(device), input_ids=captions).logits
        sample = schedule.step(predicted, time, sample).prev_sample
    pixels = (model.pixels(sample) + 1) * 127.5
    return pixels.round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


@dataclass(frozen=True)
class ImageClassifier:
    """An image classifier beside its processor.

    Attributes:
        model: The classifier.
        processor: Its processor.
        seed: Seed of the generated images that it judges.
    """

    model: PreTrainedModel
    processor: Any
    seed: int = 0

    def __call__(self, images: list[Image.Image]) -> npt.NDArray[np.float32]:
        """Return the logits of every image, ``(N, K)``."""
        pixels: torch.Tensor = self.processor(images, return_tensors="pt")["pixel_values"]
        return predict(self.model, [{"pixel_values": one} for one in pixels], default_data_collator)

    def features(self, images: list[Image.Image]) -> npt.NDArray[np.float32]:
        """Return what the classifier's last layer reads of every image, ``(N, D)``."""
        found: list[npt.NDArray[np.float32]] = []

        def keep(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            found.append(inputs[0].flatten(1).float().cpu().numpy())

        hook = self.model.get_submodule("classifier").register_forward_pre_hook(keep)
        try:
            self(images)
        finally:
            hook.remove()
        return np.concatenate(found)
