"""Videos with one label each: frames evenly apart, read with PyAV, for any video backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import torch
from transformers import (
    AutoConfig,
    AutoModelForVideoClassification,
    PreTrainedConfig,
    PreTrainedModel,
    TimesformerConfig,
    VideoMAEConfig,
    VideoMAEImageProcessorPil,
    default_data_collator,
    set_seed,
)

from mubench.hub_builders.dataset.decoding import decode_media
from mubench.hub_builders.tasks import BACKBONES
from mubench.trainers.engine.augmentation import augment_video
from mubench.trainers.models.modalities.modality import (
    EncodedRows,
    Modality,
    checkpoint_source,
    class_names,
    load_complete,
    load_published,
    zero_head,
)

SIZE, LENGTH = 32, 8


def _videomae() -> PreTrainedConfig:
    return VideoMAEConfig(
        image_size=SIZE,
        num_frames=LENGTH,
        patch_size=16,
        # A tube is as long as a clip, so that one layer sees motion.
        tubelet_size=LENGTH,
        hidden_size=128,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=128,
        initializer_range=0.06,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def _timesformer() -> PreTrainedConfig:
    return TimesformerConfig(
        image_size=SIZE,
        num_frames=LENGTH,
        patch_size=16,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        initializer_range=0.08,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        drop_path_rate=0,
    )


MINI: dict[str, Callable[[], PreTrainedConfig]] = {"videomae": _videomae, "timesformer": _timesformer}


def sample_frames(frames: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.uint8]:
    """Return ``count`` frames evenly apart, the first and the last among them; of a shorter video some repeat."""
    return frames[np.linspace(0, len(frames) - 1, count).round().astype(int)]


class VideoModality(Modality):
    """Video classification."""

    def create(
        self, backbone: str, labels: Sequence[str], rows: Mapping[str, datasets.Dataset], seed: int
    ) -> tuple[PreTrainedModel, Any]:
        """Return a mini backbone at its initialisation, or pretrained weights with a fresh head."""
        set_seed(seed)
        if BACKBONES[backbone].hub_id is None:
            config = MINI[backbone]()
            config.update(class_names(labels))
            side = {"height": SIZE, "width": SIZE}
            processor: Any = VideoMAEImageProcessorPil(size=side, crop_size=side)
            processor.num_frames = LENGTH
            model = AutoModelForVideoClassification.from_config(config)
            zero_head(model)
            return model, processor
        model = load_published(AutoModelForVideoClassification, backbone, **class_names(labels))
        return model, _processor(**checkpoint_source(backbone))

    def load(self, folder: Path | str) -> tuple[PreTrainedModel, Any]:
        """Load a video classifier and its processor."""
        return load_complete(AutoModelForVideoClassification, folder), _processor(folder)

    def encode(self, rows: datasets.Dataset, processor: Any, max_length: int | None = None) -> EncodedRows:
        """Return ``pixel_values`` (frames, 3, H, W) float32 and ``labels``."""

        def encode(batch: dict[str, list[Any]]) -> list[dict[str, Any]]:
            videos = [_pixels(video, processor) for video in batch["video"]]
            return [{"pixel_values": v, "labels": y} for v, y in zip(videos, batch["label"], strict=True)]

        videos = decode_media(rows)
        return EncodedRows(videos, encode, _pixels(videos[0]["video"], processor).nbytes)

    def train_transform(self, batch: Mapping[str, Any], random_numbers: torch.Tensor) -> dict[str, Any]:
        """Return a training batch with shifted rows, all frames of a clip alike."""
        return augment_video(batch, random_numbers)

    def collator(self, processor: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
        """Return the plain collator: videos have one size and length."""
        return default_data_collator


def _processor(pretrained_model_name_or_path: Path | str, revision: str = "main") -> Any:
    """Return the processor of a folder or a Hub repository, with the number of frames that its model takes."""
    source: dict[str, Any] = {"pretrained_model_name_or_path": pretrained_model_name_or_path, "revision": revision}
    frames = AutoConfig.from_pretrained(**source).num_frames
    processor: Any = VideoMAEImageProcessorPil.from_pretrained(**source)
    processor.num_frames = frames  # published files do not have it, so no argument sets it
    return processor


def _pixels(video: npt.NDArray[np.uint8], processor: Any) -> Any:
    """Return the pixels of a video's sampled frames."""
    frames = list(sample_frames(video, processor.num_frames))
    return processor(frames, return_tensors="pt")["pixel_values"][0]
