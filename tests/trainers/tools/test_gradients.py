"""Gradients of single examples: vectorized over images, one at a time elsewhere, and the same either way."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageClassification

from mubench.trainers.models.modalities.image_classification import CONFIGS
from mubench.trainers.tools import gradients
from mubench.trainers.unlearning.cost_counter import CostCounter
from tests.fixtures import toy

F = toy.FORGET


def trainer(name: str, folder: Path, model: Any = None) -> Any:
    return toy.trainer(
        "ssd", model or toy.build(name, coupled=True, dropout=0.3), toy.split_rows(toy.rows(name)), folder
    )


def parts(made: Any, rows: np.ndarray) -> tuple[list[int], list[torch.Tensor]]:
    """Return how many examples came at once, and the gradients of all."""
    found = list(gradients.example_gradients(made, rows))
    return [len(part[0]) for part in found], [torch.cat(each) for each in zip(*found, strict=True)]


def one_at_a_time(made: Any, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    with monkeypatch.context() as patch:
        patch.setattr(gradients, "MAX_EXAMPLES", 1)
        sizes, found = parts(made, rows)
    assert sizes == [1] * len(rows)
    return found


@pytest.mark.parametrize("name", ["resnet", "vit"])
def test_images_come_many_at_a_time_with_the_same_gradients_and_costs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, rows = trainer(name, tmp_path), np.array([5, 0, 3, 1, 4])
    expected = one_at_a_time(made, rows, monkeypatch)
    monkeypatch.setattr(gradients, "MAX_EXAMPLES", 2)
    with CostCounter(made) as cost:
        sizes, found = parts(made, rows)
    assert sizes == [2, 2, 1] and cost.counts() == {"forward": 5, "backward": 5}
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
    assert all(weight.grad is None for weight in made.model.parameters())


@pytest.mark.parametrize("name", CONFIGS)
def test_every_image_backbone_can_be_vectorized(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = AutoModelForImageClassification.from_config(CONFIGS[name]())
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    rows = [{"pixel_values": image, "labels": i % 2} for i, image in enumerate(images)]
    made = toy.trainer("ssd", model, toy.split_rows(rows, 1), tmp_path)
    expected = one_at_a_time(made, np.arange(3), monkeypatch)
    sizes, found = parts(made, np.arange(3))
    assert sizes == [3]
    for values, wanted in zip(found, expected, strict=True):
        assert float((values - wanted).norm()) <= 1e-4 * float(wanted.norm()) + 1e-7


def test_few_examples_come_at_once_where_weights_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = trainer("vit", tmp_path)
    monkeypatch.setattr(gradients, "MAX_BYTES", 3 * 4 * sum(weight.numel() for weight in made.model.parameters()))
    assert parts(made, np.arange(F))[0] == [3] * (F // 3)


def test_fewer_examples_come_at_once_on_a_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "MAX_ON_CPU", 2)
    assert parts(trainer("resnet", tmp_path), np.arange(5))[0] == [2, 2, 1]


def test_texts_come_one_at_a_time(tmp_path: Path) -> None:
    assert parts(trainer("bert", tmp_path), np.arange(F))[0] == [1] * F


def test_few_large_images_come_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = trainer("vit", tmp_path)
    monkeypatch.setattr(gradients, "MAX_VALUES", 4 * toy.rows("vit")[0]["pixel_values"].numel())
    assert parts(made, np.arange(F))[0] == [4, F - 4]


def test_videos_come_one_at_a_time(tmp_path: Path) -> None:
    rows = [{"pixel_values": torch.randn(2, 3, 8, 8), "labels": i % 2} for i in range(4)]
    made = toy.trainer("ssd", FirstFrame(toy.build("vit")), toy.split_rows(rows, 2), tmp_path)
    assert parts(made, np.arange(4))[0] == [1] * 4


def test_frozen_weights_have_no_gradient(tmp_path: Path) -> None:
    made = trainer("vit", tmp_path)
    made.model.vit.requires_grad_(False)
    found = next(gradients.example_gradients(made, np.arange(F)))
    assert [part.shape for part in found] == [(F, *weight.shape) for weight in made.model.classifier.parameters()]


class FirstFrame(torch.nn.Module):
    """Classifies a video by its first frame."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixel_values: torch.Tensor) -> Any:
        return self.inner(pixel_values=pixel_values[:, 0])


class Branching(torch.nn.Module):
    """Reads a value of its input, which `torch.func.vmap` does not allow."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixel_values: torch.Tensor) -> Any:
        scale = 2 if float(pixel_values.mean()) > 0 else 1
        return self.inner(pixel_values=scale * pixel_values)


def test_a_model_that_cannot_be_vectorized_takes_one_at_a_time_and_gives_the_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = trainer("vit", tmp_path, Branching(toy.build("vit")))
    with CostCounter(made) as cost, caplog.at_level(logging.WARNING):
        sizes, _ = parts(made, np.arange(F))
    assert sizes == [1] * F and cost.counts() == {"forward": F, "backward": F}
    assert "gradients of single examples are computed one at a time: torch.func.vmap fails with" in caplog.text
