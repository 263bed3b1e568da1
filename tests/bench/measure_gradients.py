"""Rows a second of squared gradients of single images, one at a time and vectorized, on resnet-tiny."""

from __future__ import annotations

import tempfile
import time
from unittest import mock

import numpy as np
import torch
from transformers import AutoModelForImageClassification

from mubench.trainers import METHODS
from mubench.trainers.models.modalities.image_classification import CONFIGS
from mubench.trainers.tools import gradients, importance
from tests.fixtures import toy

ROWS, ROUNDS = 512, 3


def _rate(trainer: object, most: int) -> float:
    """Return rows a second with at most so many at once, the best of some rounds."""
    best = 0.0
    with mock.patch.object(gradients, "MAX_EXAMPLES", most):
        for _ in range(ROUNDS):
            start = time.perf_counter()
            importance.mean_squares(trainer, np.arange(ROWS))  # type: ignore[arg-type]
            best = max(best, ROWS / (time.perf_counter() - start))
    return best


def measure() -> dict[str, float]:
    """Return both rates, on one core."""
    torch.manual_seed(0)
    model = AutoModelForImageClassification.from_config(CONFIGS["resnet-tiny"]())
    rows = [{"pixel_values": torch.randn(3, 32, 32), "labels": i % 2} for i in range(ROWS)]
    split = {"forget": rows[: ROWS // 2], "retain": rows[ROWS // 2 :]}
    with tempfile.TemporaryDirectory() as folder:
        kind = METHODS["ssd"]
        arguments = kind.arguments(output_dir=folder, report_to="none", use_cpu=True, disable_tqdm=True)
        trainer = kind(model, arguments, train_dataset=split, data_collator=toy.collator("vit"))
        return {
            "gradients_single_rows_s": _rate(trainer, 1),
            "gradients_vectorized_rows_s": _rate(trainer, gradients.MAX_EXAMPLES),
        }


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name} {value:.3f}")  # noqa: T201
