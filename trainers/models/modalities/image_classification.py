"""Images with one label each, decoded with Pillow, for any image backbone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from transformers import PreTrainedConfig

from mubench.trainers.engine.augmentation import augment_images
from mubench.trainers.models.modalities.modality import ClassifierModality, EncodedRows, ModelPair, Splits
from mubench.trainers.models.modalities.pixel_rows import PixelRows
from mubench.trainers.models.modalities.pretrained import read
from mubench.trainers.models.modalities.shifts import shift_pictures

SIZE = 32

MINI: dict[str, Callable[[], PreTrainedConfig]] = {
    "resnet": partial(
        transformers.ResNetConfig, embedding_size=16, hidden_sizes=[16, 32, 64], depths=[1, 1, 1], layer_type="basic"
    ),
    # At the published initialisation (.02) this width learned .70 to .94 of the training rows in 18 to 25 epochs, at
    # .08 all of them.
    "vit": partial(
        transformers.ViTConfig,
        image_size=SIZE,
        patch_size=16,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        initializer_range=0.08,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    ),
    # At the published layer scale of 1e-6, every block stays an identity in so short a training.
    "convnext": partial(
        transformers.ConvNextConfig,
        image_size=SIZE,
        num_stages=3,
        hidden_sizes=[16, 32, 64],
        depths=[1, 1, 1],
        layer_scale_init_value=1.0,
    ),
    "swin": partial(
        transformers.SwinConfig,
        image_size=SIZE,
        embed_dim=24,
        depths=[2, 1],
        num_heads=[2, 4],
        window_size=4,
        initializer_range=0.08,
        drop_path_rate=0.0,
    ),
    "mobilenet": partial(
        transformers.MobileNetV2Config,
        image_size=SIZE,
        depth_multiplier=0.25,
        finegrained_output=False,
        classifier_dropout_prob=0.0,
    ),
}


def real_resnet(width: int, size: int) -> PreTrainedConfig:
    """Return a ResNet for real images of 32 pixels, which are enlarged: its first two layers divide the sides by 4.

    Args:
        width: Channels of the first stage; each of the two others doubles them.
        size: Side to which images are enlarged, in pixels.
    """
    config = transformers.ResNetConfig(
        embedding_size=width, hidden_sizes=[width, 2 * width, 4 * width], depths=[1, 1, 1], layer_type="basic"
    )
    config.update({"image_size": size})  # for the processor
    return config


CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    **MINI,
    "resnet-tiny": partial(real_resnet, 32, 48),
    "resnet-small": partial(real_resnet, 64, 64),
}


def _with_channels_last(pair: ModelPair) -> ModelPair:
    model, processor = pair
    return model.to(memory_format=torch.channels_last), processor


class ImageModality(ClassifierModality):
    """Image classification; channels are the last axis of weights in memory, where convolutions run faster."""

    auto = transformers.AutoModelForImageClassification
    configs = CONFIGS
    train_transform = staticmethod(augment_images)

    def create(self, backbone: str, labels: Sequence[str], rows: Splits, seed: int) -> ModelPair:
        return _with_channels_last(super().create(backbone, labels, rows, seed))

    def load(self, folder: Path | str) -> ModelPair:
        return _with_channels_last(super().load(folder))

    def create_from_config(self, config: PreTrainedConfig, rows: Splits, seed: int) -> ModelPair:
        side = getattr(config, "image_size", SIZE)
        processor = transformers.ViTImageProcessorPil(size={"height": side, "width": side})
        return self.auto.from_config(config), processor

    def load_processor(self, **source: Any) -> Any:
        return read(transformers.AutoImageProcessor, **source, backend="pil")

    def encode(self, rows: datasets.Dataset, processor: Any, max_length: int | None = None) -> EncodedRows:
        """Return ``pixel_values`` (3, H, W) float32 and ``labels``."""
        return PixelRows(rows, processor)

    def encode_shifted(self, rows: datasets.Dataset, processor: Any, max_length: int | None) -> EncodedRows:
        return PixelRows(rows, processor, shift_pictures, "shift_pictures")
