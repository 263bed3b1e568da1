"""Videos with one label each: frames evenly apart, read with PyAV, for any video backbone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import transformers
from transformers import PreTrainedConfig

from mubench.hub_builders.dataset.decoding import decode_media
from mubench.trainers.engine.augmentation import augment_video
from mubench.trainers.models.modalities.modality import (
    ClassifierModality,
    EncodedRows,
    ModelPair,
    Splits,
    create_with_shared_body,
    zero_head,
)
from mubench.trainers.models.modalities.pretrained import read
from mubench.trainers.models.modalities.shifts import shift_videos

SIZE, LENGTH = 32, 8

MINI: dict[str, Callable[[], PreTrainedConfig]] = {
    "videomae": partial(
        transformers.VideoMAEConfig,
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
    ),
    "timesformer": partial(
        transformers.TimesformerConfig,
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
    ),
}

CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    **MINI,
    # For real clips: small patches, and one tube a clip as in the mini backbone.
    "videomae-tiny": partial(
        transformers.VideoMAEConfig,
        image_size=64,
        num_frames=LENGTH,
        patch_size=8,
        tubelet_size=LENGTH,
        hidden_size=128,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=256,
        initializer_range=0.06,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    ),
}


def sample_frames(frames: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.uint8]:
    """Return ``count`` frames evenly apart, the first and the last among them; of a shorter video some repeat."""
    return frames[np.linspace(0, len(frames) - 1, count).round().astype(int)]


class VideoModality(ClassifierModality):
    """Video classification."""

    auto = transformers.AutoModelForVideoClassification
    configs = CONFIGS
    train_transform = staticmethod(augment_video)

    def create_from_config(self, config: PreTrainedConfig, rows: Splits, seed: int) -> ModelPair:
        side = {"height": config.image_size, "width": config.image_size}
        processor: Any = transformers.VideoMAEImageProcessorPil(size=side, crop_size=side)
        processor.num_frames = config.num_frames
        make = partial(self.auto.from_config, config)
        # From other initial weights, models of few real clips learned other things about unseen ones.
        model = make() if config.image_size == SIZE else create_with_shared_body(make, seed)
        zero_head(model)
        return model, processor

    def load_processor(self, **source: Any) -> Any:
        frames = read(transformers.AutoConfig, **source).num_frames
        processor: Any = read(transformers.VideoMAEImageProcessorPil, **source)
        processor.num_frames = frames  # published files do not have it, so no argument sets it
        return processor

    def encode(self, rows: datasets.Dataset, processor: Any, max_length: int | None = None) -> EncodedRows:
        """Return ``pixel_values`` (frames, 3, H, W) float32 and ``labels``."""

        def encode(batch: dict[str, list[Any]]) -> list[dict[str, Any]]:
            videos = [_pixels(video, processor) for video in batch["video"]]
            return [{"pixel_values": v, "labels": y} for v, y in zip(videos, batch["label"], strict=True)]

        videos = decode_media(rows)
        return EncodedRows(videos, encode, _pixels(videos[0]["video"], processor).nbytes)

    def encode_shifted(self, rows: datasets.Dataset, processor: Any, max_length: int | None) -> EncodedRows:
        return self.encode(decode_media(rows).with_transform(shift_videos), processor, max_length)


def _pixels(video: npt.NDArray[np.uint8], processor: Any) -> Any:
    frames = list(sample_frames(video, processor.num_frames))
    return processor(frames, return_tensors="pt")["pixel_values"][0]
