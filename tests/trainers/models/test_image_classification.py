"""Images: deterministic encoding, and model folders that transformers reads."""

import io

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageClassification, pipeline

from mubench.trainers.inference.predict import predict
from mubench.trainers.models.modalities import MODALITIES
from mubench.trainers.models.modalities import modality as modality_base
from mubench.trainers.models.modalities.image_classification import MINI as BACKBONES
from tests.fixtures.backbones import first_by_day

MODALITY = MODALITIES["image_classification"]
LABELS = ("cat", "dog", "owl")


def picture(seed: int, mode: str = "RGB", size: int = 32) -> dict:
    shape = (size, size, 3) if mode == "RGB" else (size, size)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels, mode).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


@pytest.fixture(scope="module")
def rows():
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list(LABELS))})
    columns = {"image": [picture(i) for i in range(7)], "label": [i % 3 for i in range(7)]}
    return datasets.Dataset.from_dict(columns, features=features)


@pytest.fixture(params=first_by_day(BACKBONES))
def made(request, rows):
    return MODALITY.create(request.param, LABELS, {"train": rows}, seed=0)


def logits(model, processor, rows):
    return predict(model, MODALITY.encode(rows, processor), MODALITY.collator(processor))


def test_kept_rows_and_rows_encoded_on_demand_are_equal(made, rows, monkeypatch):
    kept = MODALITY.encode(rows, made[1])
    monkeypatch.setattr(modality_base, "KEPT_BYTES", 0)
    lazy = MODALITY.encode(rows, made[1])
    assert kept.kept is not None and lazy.kept is None
    assert len(kept) == len(lazy) == len(rows)
    for i in range(len(rows)):
        assert kept[i].keys() == lazy[i].keys() == {"pixel_values", "labels"}
        assert torch.equal(kept[i]["pixel_values"], lazy[i]["pixel_values"])
        assert i == 0 or not torch.equal(kept[i]["pixel_values"], kept[0]["pixel_values"])
        assert kept[i]["labels"] == lazy[i]["labels"] == rows[i]["label"]


def test_rows_are_kept_only_while_all_of_them_fit(made, rows, monkeypatch):
    size = 7 * 3 * 32 * 32 * 4
    for limit, kept in ((size, True), (size - 1, False)):
        monkeypatch.setattr(modality_base, "KEPT_BYTES", limit)
        assert (MODALITY.encode(rows, made[1]).kept is not None) == kept


def test_a_grey_or_large_image_becomes_three_channels_of_the_models_size(made):
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    columns = {"image": [picture(0, "L"), picture(1, "RGB", 48)], "label": [0, 1]}
    encoded = MODALITY.encode(datasets.Dataset.from_dict(columns, features=features), made[1])
    assert [tuple(encoded[i]["pixel_values"].shape) for i in range(2)] == [(3, 32, 32)] * 2
    assert encoded[0]["pixel_values"].dtype == torch.float32
    assert torch.equal(encoded[0]["pixel_values"][0], encoded[0]["pixel_values"][2])


@pytest.mark.parametrize("backbone", first_by_day(BACKBONES))
def test_a_seed_decides_the_weights_whatever_was_drawn_before(backbone, rows):
    states = []
    for seed in (0, 0, 1):
        torch.rand(1)
        states.append(MODALITY.create(backbone, LABELS, {"train": rows}, seed)[0].state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_a_saved_folder_loads_with_equal_outputs_and_labels(made, rows, tmp_path):
    model, processor = made
    before = logits(model, processor, rows)
    for part in made:
        part.save_pretrained(tmp_path)
    again, processor = MODALITY.load(tmp_path)
    left = again.state_dict()
    assert all(torch.equal(left[name], weight) for name, weight in model.state_dict().items())
    # A fresh MobileNet's logits are so small that where its weights lie in memory shows in the last digits.
    within = 1e-4 if model.config.model_type == "mobilenet_v2" else 0
    np.testing.assert_allclose(logits(again, processor, rows), before, rtol=within)
    assert [again.config.id2label[i] for i in range(3)] == list(LABELS)
    assert before.shape == (7, 3) and len(np.unique(before)) > 3


def test_a_saved_folder_is_read_by_plain_transformers(made, rows, tmp_path):
    for part in made:
        part.save_pretrained(tmp_path)
    plain = AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    assert not plain.training and plain.config.label2id == {name: i for i, name in enumerate(LABELS)}
    scores = pipeline("image-classification", model=str(tmp_path), device="cpu")(rows[0]["image"])
    expected = torch.from_numpy(logits(*made, rows)[0]).softmax(0)
    assert {one["label"] for one in scores} == set(LABELS)
    for one in scores:
        assert one["score"] == pytest.approx(expected[LABELS.index(one["label"])].item(), abs=1e-4)


def test_the_backbone_for_real_images_enlarges_them_and_has_its_stated_size(rows):
    model, processor = MODALITY.create("resnet-small", LABELS, {"train": rows}, seed=0)
    assert sum(weight.numel() for weight in model.parameters()) / 1e6 == pytest.approx(1.24, abs=0.01)
    assert tuple(MODALITY.encode(rows, processor)[0]["pixel_values"].shape) == (3, 64, 64)
    assert logits(model, processor, rows).shape == (7, 3)
