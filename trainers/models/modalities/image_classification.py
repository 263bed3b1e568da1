"""Pictures with one label each: decoded with Pillow, classified by any image backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    ConvNextConfig,
    MobileNetV2Config,
    PreTrainedConfig,
    PreTrainedModel,
    ResNetConfig,
    SwinConfig,
    ViTConfig,
    ViTImageProcessorPil,
    default_data_collator,
    set_seed,
)

from mubench.hub_builders.tasks import BACKBONES
from mubench.trainers.engine.augmentation import augment_images
from mubench.trainers.models.modalities.modality import EncodedRows, Modality, class_names
from mubench.trainers.models.modalities.weights import origin, published, whole

SIZE = 32


def _resnet() -> PreTrainedConfig:
    return ResNetConfig(embedding_size=16, hidden_sizes=[16, 32, 64], depths=[1, 1, 1], layer_type="basic")


def _vit() -> PreTrainedConfig:
    # With the published initialisation (.02) this width learned .70 to .94 of the training rows in 18 to 25 epochs of
    # the settings tried, and with .08 all of them.
    return ViTConfig(
        image_size=SIZE,
        patch_size=16,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        initializer_range=0.08,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def _convnext() -> PreTrainedConfig:
    # A layer scale of 1e-6, as published, leaves every block an identity for as short a training as ours.
    return ConvNextConfig(
        image_size=SIZE, num_stages=3, hidden_sizes=[16, 32, 64], depths=[1, 1, 1], layer_scale_init_value=1.0
    )


def _swin() -> PreTrainedConfig:
    return SwinConfig(
        image_size=SIZE,
        embed_dim=24,
        depths=[2, 1],
        num_heads=[2, 4],
        window_size=4,
        initializer_range=0.08,
        drop_path_rate=0.0,
    )


def _mobilenet() -> PreTrainedConfig:
    return MobileNetV2Config(
        image_size=SIZE, depth_multiplier=0.25, finegrained_output=False, classifier_dropout_prob=0.0
    )


MINI: dict[str, Callable[[], PreTrainedConfig]] = {
    "resnet": _resnet,
    "vit": _vit,
    "convnext": _convnext,
    "swin": _swin,
    "mobilenet": _mobilenet,
}


class ImageModality(Modality):
    """Image classification."""

    def create(
        self, backbone: str, labels: Sequence[str], rows: Mapping[str, datasets.Dataset], seed: int
    ) -> tuple[PreTrainedModel, Any]:
        """Return a mini backbone at its initialisation, or pretrained weights with a fresh head."""
        set_seed(seed)
        if BACKBONES[backbone].hub_id is None:
            config = MINI[backbone]()
            config.update(class_names(labels))
            processor = ViTImageProcessorPil(size={"height": SIZE, "width": SIZE})
            return AutoModelForImageClassification.from_config(config), processor
        model = published(AutoModelForImageClassification, backbone, **class_names(labels))
        return model, AutoImageProcessor.from_pretrained(**origin(backbone), backend="pil")

    def load(self, folder: Path | str) -> tuple[PreTrainedModel, Any]:
        """Load an image classifier and its processor."""
        model = whole(AutoModelForImageClassification, folder)
        return model, AutoImageProcessor.from_pretrained(folder, backend="pil")

    def encode(self, rows: datasets.Dataset, processor: Any, max_length: int | None = None) -> EncodedRows:
        """Return ``pixel_values`` (3, H, W) float32 and ``labels``."""

        def encode(batch: dict[str, list[Any]]) -> list[dict[str, Any]]:
            shown = [picture.convert("RGB") for picture in batch["image"]]
            pixels = processor(shown, return_tensors="pt")["pixel_values"]
            return [{"pixel_values": p, "labels": y} for p, y in zip(pixels, batch["label"], strict=True)]

        return EncodedRows(rows, encode, encode(rows[:1])[0]["pixel_values"].nbytes)

    def train_transform(self, batch: Mapping[str, Any], chances: torch.Tensor) -> dict[str, Any]:
        """Return a training batch whose rows are moved, and some mirrored."""
        return augment_images(batch, chances)

    def collator(self, processor: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
        """Return the plain collator: pictures have one size."""
        return default_data_collator
