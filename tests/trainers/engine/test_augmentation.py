"""Augmentation of training batches: what is shifted where, what is mirrored, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import ASTFeatureExtractor, WhisperFeatureExtractor

from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.definition import AUGMENTED
from mubench.trainers.engine.augmentation import (
    NUMBERS_PER_ROW,
    augment_audio,
    augment_image_pairs,
    augment_images,
    augment_video,
    random_shifts,
    shift_images,
)
from mubench.trainers.models.base_models import train_base
from mubench.trainers.models.modalities import MODALITIES
from mubench.trainers.models.setting import Setting

# Random numbers that leave a row alone: not mirrored, not shifted, no louder.
STILL = [0.5, 0.5, 0.5]


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def random_numbers(rows: int) -> torch.Tensor:
    return torch.rand(rows, NUMBERS_PER_ROW, generator=torch.Generator().manual_seed(1))


BATCHES: dict[str, tuple[Any, dict[str, torch.Tensor]]] = {
    "images": (augment_images, {"pixel_values": noise(6, 3, 16, 24)}),
    "clips": (augment_video, {"pixel_values": noise(6, 4, 3, 16, 16)}),
    "pairs": (
        augment_image_pairs,
        {"pixel_values": noise(6, 2, 3, 16, 16), "pixel_mask": torch.ones(6, 2, 16, 16, dtype=int)},
    ),
    "waves": (augment_audio, {"input_values": noise(6, 50), "attention_mask": torch.ones(6, 50, dtype=int)}),
    "features": (augment_audio, {"input_features": noise(6, 4, 50)}),
    "features by time": (augment_audio, {"input_values": noise(6, 50, 4)}),
}


@pytest.mark.parametrize("kind", BATCHES)
def test_inputs_change_and_nothing_else_does(kind: str) -> None:
    change, batch = BATCHES[kind]
    batch = {**batch, "labels": torch.arange(6), "index": torch.arange(6)}
    before = {name: value.clone() for name, value in batch.items()}
    made = change(batch, random_numbers(6))
    name = next(iter(batch))
    assert made.keys() == batch.keys()
    assert made[name].shape == batch[name].shape and made[name].dtype == batch[name].dtype
    assert sum(not torch.equal(new, old) for new, old in zip(made[name], batch[name], strict=True)) >= 5
    assert all(torch.equal(made[key], before[key]) for key in batch if key != name)
    assert torch.equal(batch[name], before[name]), "the batch itself stays"
    still = change(batch, torch.tensor([STILL] * 6))
    assert torch.equal(still[name], batch[name])


@pytest.mark.parametrize("kind", BATCHES)
def test_a_row_is_changed_by_its_own_numbers_alone(kind: str) -> None:
    change, batch = BATCHES[kind]
    whole = change(batch, random_numbers(6))
    part = change({name: value[2:4] for name, value in batch.items()}, random_numbers(6)[2:4])
    name = next(iter(batch))
    assert torch.equal(part[name], whole[name][2:4])
    assert not torch.equal(change(batch, random_numbers(6).flip(0))[name], whole[name])


def test_every_distance_is_as_likely_as_any_other() -> None:
    numbers = torch.arange(900) / 900
    found, counts = random_shifts(numbers, torch.full((900,), 4)).unique(return_counts=True)
    assert found.tolist() == list(range(-4, 5)) and set(counts.tolist()) == {100}
    most = torch.full((1,), 1 - 2.0**-24)
    assert [random_shifts(most, torch.tensor([reach])).item() for reach in range(40)] == list(range(40))


def test_an_image_is_shifted_by_an_eighth_at_most_and_its_edge_is_repeated() -> None:
    picture = noise(1, 3, 32, 32)
    last = 1 - 2.0**-24
    down = shift_images(picture, torch.tensor([[0.5, last, 0.5]]))
    assert torch.equal(down[:, :, 4:], picture[:, :, :-4])
    assert torch.equal(down[:, :, :4], picture[:, :, :1].expand(-1, -1, 4, -1))
    left = shift_images(picture, torch.tensor([[0.5, 0.5, 0.0]]))
    assert torch.equal(left[..., :-4], picture[..., 4:])
    assert torch.equal(left[..., -4:], picture[..., -1:].expand(-1, -1, -1, 4))


def test_half_of_the_images_are_mirrored() -> None:
    batch = {"pixel_values": noise(4, 3, 8, 8)}
    mirrored = augment_images(batch, torch.tensor([[number, *STILL[1:]] for number in (0.0, 0.49, 0.5, 0.99)]))
    assert torch.equal(mirrored["pixel_values"][:2], batch["pixel_values"][:2].flip(-1))
    assert torch.equal(mirrored["pixel_values"][2:], batch["pixel_values"][2:])
    both = augment_images(batch, torch.tensor([[0.0, 0.0, 0.0]] * 4))["pixel_values"]
    alone = augment_images(batch, torch.tensor([[0.9, 0.0, 0.0]] * 4))["pixel_values"]
    assert torch.equal(both, alone.flip(-1)), "an image is shifted and then mirrored"


def test_all_frames_of_a_clip_are_shifted_alike_and_none_is_mirrored() -> None:
    clip = noise(5, 1, 3, 16, 16).expand(-1, 4, -1, -1, -1)
    made = augment_video({"pixel_values": clip}, random_numbers(5))["pixel_values"]
    assert torch.equal(made, made[:, :1].expand_as(made))
    low, high = (torch.tensor([[number, 0.1, 0.7]] * 5) for number in (0.0, 0.99))
    assert torch.equal(*(augment_video({"pixel_values": clip}, one)["pixel_values"] for one in (low, high)))


def test_the_padding_of_a_pair_stays_where_it_is() -> None:
    small = noise(1, 2, 3, 16, 8)
    mask = torch.zeros(1, 2, 24, 16, dtype=int)
    mask[:, 0, :16, :8] = mask[:, 1] = 1
    pixels = torch.zeros(1, 2, 3, 24, 16)
    pixels[:, 0, :, :16, :8], pixels[:, 1] = small[:, 0], 1.0
    for numbers in ([0.0, 0.0, 0.0], [0.0, 0.99, 0.99]):
        made = augment_image_pairs({"pixel_values": pixels, "pixel_mask": mask}, torch.tensor([numbers]))
        assert made["pixel_mask"] is mask
        alone = shift_images(small[:, 0], torch.tensor([numbers]))
        assert torch.equal(made["pixel_values"][:, 0, :, :16, :8], alone)
        assert not made["pixel_values"][:, 0, :, 16:].any() and not made["pixel_values"][:, 0, :, :, 8:].any()
        assert made["pixel_values"][:, 1].eq(1).all()


def test_a_recording_is_shifted_within_its_own_length_and_never_wrapped_around() -> None:
    waves = torch.zeros(2, 60)
    waves[0, :20], waves[1] = torch.arange(20) + 1, torch.arange(60) + 1
    later = augment_audio({"input_values": waves}, torch.tensor([[0.999, 0.5, 0.0]] * 2))["input_values"]
    sooner = augment_audio({"input_values": waves}, torch.tensor([[0.0, 0.5, 0.0]] * 2))["input_values"]
    for row, length in ((0, 20), (1, 60)):
        by = length // 10
        assert torch.equal(later[row, by:length], waves[row, : length - by])
        assert not later[row, :by].any() and not later[row, length:].any()
        assert torch.equal(sooner[row, : length - by], waves[row, by:length])
        assert not sooner[row, length - by :].any()


def test_a_level_changes_by_three_decibels_at_most() -> None:
    waves = noise(3, 40)
    made = augment_audio({"input_values": waves}, torch.tensor([[0.5, number, 0.0] for number in (0.0, 0.5, 1.0)]))
    gains = torch.tensor([10 ** (-3 / 20), 1.0, 10 ** (3 / 20)])
    torch.testing.assert_close(made["input_values"], waves * gains[:, None])


def test_features_change_like_those_of_the_changed_recording() -> None:
    extractor = WhisperFeatureExtractor(feature_size=16, chunk_length=1)
    wave = 0.1 * noise(8_000).numpy()
    options: Any = {"sampling_rate": 16_000, "return_tensors": "pt"}
    plain = extractor(wave, **options)["input_features"]
    for number, gain in ((0.0, -3.0), (1.0, 3.0)):
        louder = extractor(wave * np.float32(10 ** (gain / 20)), **options)["input_features"]
        made = augment_audio({"input_features": plain}, torch.tensor([[0.5, number, 0.0]]))["input_features"]
        torch.testing.assert_close(made, louder, atol=1e-4, rtol=0)
    made = augment_audio({"input_features": plain}, torch.tensor([[0.999, 0.5, 0.0]]))["input_features"]
    by = next(by for by in range(1, 100) if torch.equal(made[..., by : by + 20], plain[..., :20]))
    assert by == 5, "a tenth of the half second of sound, at a hundred frames a second"
    assert made[..., :by].eq(plain.min()).all()


def test_features_by_time_change_like_those_of_the_changed_recording() -> None:
    extractor = ASTFeatureExtractor(num_mel_bins=16, max_length=98)
    wave = 0.1 * noise(16_000).numpy()
    options: Any = {"sampling_rate": 16_000, "return_tensors": "pt"}
    plain = extractor(wave, **options)["input_values"]
    louder = extractor(wave * np.float32(10 ** (3 / 20)), **options)["input_values"]
    made = augment_audio({"input_values": plain}, torch.tensor([[0.5, 1.0, 0.0]]))["input_values"]
    torch.testing.assert_close(made, louder, atol=1e-3, rtol=0)
    later = augment_audio({"input_values": plain}, torch.tensor([[0.999, 0.5, 0.0]]))["input_values"]
    assert torch.equal(later[:, 9:], plain[:, :-9]) and later[:, :9].eq(plain.min()).all()


@pytest.mark.parametrize("kind", MODALITIES)
def test_a_kind_has_a_transform_or_refuses_it_and_names_those_that_do(kind: Any) -> None:
    setting: Any = SimpleNamespace(task=SimpleNamespace(kind=kind), modality=MODALITIES[kind])
    assert Setting.train_transform(setting, False) is None
    if kind in AUGMENTED:
        assert Setting.train_transform(setting, True) == MODALITIES[kind].train_transform
        return
    with pytest.raises(ValueError, match=r"^expected augment for image_classification, .* alone, .*; got ") as refused:
        Setting.train_transform(setting, True)
    message = str(refused.value)
    assert all(name in message for name in (*AUGMENTED, f"got {kind}")) and "\n" not in message
    assert MODALITIES[kind].train_transform is None


def test_augmentation_of_texts_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    info: Any = SimpleNamespace(task="imdb", tier="mini", family="canonical", deletion_seed=0, split="0", files="0")
    task = TASKS["imdb"]
    setting = Setting(
        task=task, info=info, recipe=task.recipes["bert"], backbone="bert", data="nowhere", encoded={}, eval_seed=0
    )
    with pytest.raises(ValueError, match=r"got text_classification$"):
        train_base(setting, 0, models=tmp_path / "models", augment=True)
    assert not (tmp_path / "models").exists()
