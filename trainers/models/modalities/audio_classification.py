"""Recordings with one label each: one second, read with soundfile, for any speech backbone."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import datasets
import torch
import transformers
from transformers import PreTrainedConfig

from mubench.hub_builders.dataset.decoding import decode_media
from mubench.trainers.engine.augmentation import augment_audio
from mubench.trainers.models.modalities.modality import (
    ClassifierModality,
    Collator,
    EncodedRows,
    ModelPair,
    Splits,
    create_with_shared_body,
    zero_head,
)
from mubench.trainers.models.modalities.pretrained import read
from mubench.trainers.models.modalities.shifts import shift_recordings

RATE = 16_000
SECONDS = 1
PITCHES = (150, 4_000)

_SPEECH: dict[str, Any] = {
    "conv_dim": (128, 256),
    "conv_kernel": (400, 6),
    "conv_stride": (160, 5),
    "num_feat_extract_layers": 2,
    "conv_bias": True,
    "feat_extract_norm": "layer",  # over the channels of a time step, so that padding changes nothing
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 4,
    "hidden_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "classifier_proj_size": 128,
    # Dropout and masking would make models of the same rows disagree.
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "final_dropout": 0.0,
    "layerdrop": 0.0,
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
}


_WHISPER: dict[str, Any] = {
    "num_mel_bins": 16,
    "max_source_positions": SECONDS * 50,
    "d_model": 64,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "classifier_proj_size": 64,
    # The decoder takes no part in classification.
    "vocab_size": 16,
    "decoder_layers": 1,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 64,
    "max_target_positions": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "begin_suppress_tokens": None,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
}
MINI: dict[str, Callable[[], PreTrainedConfig]] = {
    "wav2vec2": partial(transformers.Wav2Vec2Config, **_SPEECH),
    "hubert": partial(transformers.HubertConfig, **_SPEECH),
    "whisper": partial(transformers.WhisperConfig, **_WHISPER),
}


CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    **MINI,
    # For real recordings: a Whisper encoder without attention layers, two convolutions and the mean over time.
    "whisper-conv": partial(
        transformers.WhisperConfig,
        **{**_WHISPER, "num_mel_bins": 40, "d_model": 128, "encoder_layers": 0, "init_std": 0.05},
    ),
}


def set_filter_bank(layer: torch.nn.Conv1d) -> None:
    """Initialise the layer on the raw sound as a filter bank: pitches evenly apart, each in four phases.

    Pretrained backbones have such a layer. From random weights a mini backbone would have to learn it from a thousand
    recordings, and models of other rows would learn another one.
    """
    time = torch.arange(layer.kernel_size[0]) / RATE
    pitches = torch.linspace(*PITCHES, layer.out_channels // 4)
    phases = torch.arange(4) * math.pi / 2
    waves = torch.cos(2 * math.pi * pitches[:, None, None] * time + phases[:, None]).flatten(0, 1)
    waves = waves * torch.hann_window(len(time))
    with torch.no_grad():
        layer.weight.copy_((waves / waves.norm(dim=1, keepdim=True))[:, None])


class AudioModality(ClassifierModality):
    """Audio classification."""

    auto = transformers.AutoModelForAudioClassification
    configs = CONFIGS
    train_transform = staticmethod(augment_audio)

    def create_from_config(self, config: PreTrainedConfig, rows: Splits, seed: int) -> ModelPair:
        make, is_whisper = partial(self.auto.from_config, config), config.model_type == "whisper"
        # Without attention layers all weights start alike for every seed, which decides the order of the rows alone.
        model: Any = create_with_shared_body(make, seed) if is_whisper and not config.encoder_layers else make()
        zero_head(model)
        if is_whisper:
            return model, transformers.WhisperFeatureExtractor(feature_size=config.num_mel_bins, chunk_length=SECONDS)
        set_filter_bank(model.base_model.feature_extractor.conv_layers[0].conv)
        return model, transformers.Wav2Vec2FeatureExtractor(sampling_rate=RATE, return_attention_mask=True)

    def load_processor(self, **source: Any) -> Any:
        return read(transformers.AutoFeatureExtractor, **source)

    def encode(self, rows: datasets.Dataset, processor: Any, max_length: int | None = None) -> EncodedRows:
        """Return the processor's features of at most a second of each recording, and ``labels``.

        Raises:
            ValueError: If a recording has another sampling rate than the processor.
        """

        def encode(batch: dict[str, list[Any]]) -> list[dict[str, Any]]:
            sounds = [_features(sound, processor) for sound in batch["audio"]]
            return [{**sound, "labels": label} for sound, label in zip(sounds, batch["label"], strict=True)]

        recordings = decode_media(rows)
        return EncodedRows(
            recordings, encode, sum(part.nbytes for part in _features(recordings[0]["audio"], processor).values())
        )

    def encode_shifted(self, rows: datasets.Dataset, processor: Any, max_length: int | None) -> EncodedRows:
        return self.encode(decode_media(rows).with_transform(shift_recordings), processor, max_length)

    def collator(self, processor: Any) -> Collator:
        def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
            sounds = [
                {key: value for key, value in item.items() if key in processor.model_input_names} for item in items
            ]
            labels = {"labels": torch.tensor([item["labels"] for item in items])} if "labels" in items[0] else {}
            return {**processor.pad(sounds, padding=True, return_tensors="pt"), **labels}

        return collate


def _features(sound: dict[str, Any], processor: Any) -> dict[str, Any]:
    """Return the features of a recording, without a batch axis.

    A model with an attention mask gets recordings at their own length; for all others, which would read the padding of
    a batch as sound, every recording is padded to one length.
    """
    if sound["sampling_rate"] != processor.sampling_rate:
        raise ValueError(
            f"expected recordings of {processor.sampling_rate} samples a second, got one of {sound['sampling_rate']}"
        )
    masked = processor.return_attention_mask
    features = processor(
        sound["array"],
        sampling_rate=processor.sampling_rate,
        max_length=getattr(processor, "n_samples", SECONDS * processor.sampling_rate),
        truncation=True,
        padding=False if masked else "max_length",
        return_attention_mask=True,  # so that normalisation leaves padding out
        return_tensors="np",
    )
    return {name: values[0] for name, values in features.items() if masked or name != "attention_mask"}
