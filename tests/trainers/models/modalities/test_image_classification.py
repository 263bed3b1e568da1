"""Images: deterministic encoding, and model folders that transformers reads."""

import io

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageClassification, ViTImageProcessorPil, pipeline

from mubench.trainers.engine.rows import collate_rows, fetch_rows
from mubench.trainers.inference.predict import predict
from mubench.trainers.models.modalities import MODALITIES, pixel_rows
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


def encode_by_processor(rows, processor):
    return processor([row["image"] for row in rows], return_tensors="pt")["pixel_values"]


def test_rows_are_the_processors_values_to_the_bit_one_by_one_and_in_batches(made, rows):
    encoded, expected = MODALITY.encode(rows, made[1]), encode_by_processor(rows, made[1])
    order = [6, 0, 3, 0]
    batch = collate_rows(fetch_rows(encoded, order), MODALITY.collator(made[1]))
    assert batch.keys() == encoded[0].keys() == {"pixel_values", "labels"} and len(encoded) == len(rows)
    assert torch.equal(batch["pixel_values"], expected[order]) and batch["pixel_values"].dtype == torch.float32
    assert batch["labels"].tolist() == [rows[i]["label"] for i in order]
    assert all(torch.equal(encoded[i]["pixel_values"], expected[i]) for i in range(len(rows)))
    assert encoded[5]["labels"] == rows[5]["label"] and encoded.levels.dtype == torch.uint8


def test_rows_of_any_other_collator_are_given_one_by_one(made, rows):
    encoded = MODALITY.encode(rows, made[1])
    seen = collate_rows(fetch_rows(encoded, [2, 1]), lambda found: {"all": found})["all"]
    assert [row["labels"] for row in seen] == [2, 1]
    assert torch.equal(seen[0]["pixel_values"], encoded[2]["pixel_values"])


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(pixel_rows, "BATCH", 3)
    monkeypatch.setattr(pixel_rows, "memory_share", lambda: 7 * 3 * 32 * 32 - 1)
    return tmp_path / pixel_rows.FOLDER


def test_rows_that_do_not_fit_lie_in_a_file_that_is_made_once(made, rows, cache, monkeypatch):
    mapped = MODALITY.encode(rows, made[1])
    (file,) = cache.iterdir()
    written = file.stat().st_mtime_ns
    copy = datasets.Dataset.from_list(rows.cast_column("image", datasets.Image(decode=False)).to_list())
    again = MODALITY.encode(copy.cast(rows.features), made[1])
    assert [path.stat().st_mtime_ns for path in cache.iterdir()] == [written], "equal content, equal file"
    monkeypatch.setattr(pixel_rows, "memory_share", lambda: 7 * 3 * 32 * 32)
    kept = MODALITY.encode(rows, made[1])
    assert torch.equal(mapped.levels, kept.levels) and torch.equal(again.levels, kept.levels)


def test_other_rows_and_shifted_ones_have_files_of_their_own(made, rows, cache):
    MODALITY.encode(rows, made[1])
    MODALITY.encode(rows.select([1, 0, 2, 3, 4, 5, 6]), made[1])
    MODALITY.encode_shifted(rows, made[1], None)
    assert len(list(cache.iterdir())) == 3


def test_changes_are_distinguished_by_the_keys_that_callers_give(made, rows, cache):
    for key in ("one", "other", "one"):
        pixel_rows.PixelRows(rows, made[1], lambda batch: batch, key)
    assert len(list(cache.iterdir())) == 2
    with pytest.raises(ValueError, match=r"^expected a key with a change of columns, and none without, got ''"):
        pixel_rows.PixelRows(rows, made[1], lambda batch: batch)


def test_a_file_that_was_not_written_to_its_end_is_not_there(made, rows, cache, monkeypatch):
    monkeypatch.setattr(pixel_rows.np.lib.format, "write_array_header_1_0", lambda *_: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception):
        MODALITY.encode(rows, made[1])
    assert not list(cache.iterdir())


class Odd(ViTImageProcessorPil):
    """Does more to a level than to rescale and normalize it."""

    def rescale(self, image, scale, **_):
        return (image * scale).astype(np.float32) ** 2


def test_a_processor_that_does_more_than_normalize_is_refused(rows):
    with pytest.raises(ValueError, match=r"^expected a processor that rescales and normalizes .* got another: Odd$"):
        MODALITY.encode(rows, Odd(size={"height": 32, "width": 32}))


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


@pytest.mark.parametrize(("backbone", "millions", "side"), [("resnet-tiny", 0.31, 48), ("resnet-small", 1.24, 64)])
def test_a_backbone_for_real_images_enlarges_them_and_has_its_stated_size(rows, backbone, millions, side):
    model, processor = MODALITY.create(backbone, LABELS, {"train": rows}, seed=0)
    assert sum(weight.numel() for weight in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.01)
    assert tuple(MODALITY.encode(rows, processor)[0]["pixel_values"].shape) == (3, side, side)
    assert logits(model, processor, rows).shape == (7, 3)


def test_channels_are_the_last_axis_of_weights_made_and_read(made, tmp_path):
    for part in made:
        part.save_pretrained(tmp_path)
    for model, _ in (made, MODALITY.load(tmp_path)):
        kernels = [weight for weight in model.parameters() if weight.ndim == 4]
        assert kernels and all(weight.is_contiguous(memory_format=torch.channels_last) for weight in kernels)
