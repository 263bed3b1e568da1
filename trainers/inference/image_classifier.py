"""The classifier that judges generated images: one of our image classifiers, trained on the task's images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from transformers import PreTrainedModel, default_data_collator

from mubench.trainers.inference.predict import predict


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
