"""The suite's own look at pictures that a model drew: one of our image classifiers, trained on the task's pictures."""

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
    """A classifier that says what a picture shows.

    Attributes:
        model: The classifier.
        processor: Its processor.
        seed: Seed of the drawings that it looks at.
    """

    model: PreTrainedModel
    processor: Any
    seed: int = 0

    def __call__(self, pictures: list[Image.Image]) -> npt.NDArray[np.float32]:
        """Return the classifier's logits for every picture, ``(N, K)``."""
        pixels: torch.Tensor = self.processor(pictures, return_tensors="pt")["pixel_values"]
        return predict(self.model, [{"pixel_values": one} for one in pixels], default_data_collator)
