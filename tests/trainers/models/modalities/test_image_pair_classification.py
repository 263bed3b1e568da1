"""Pairs of images with a statement: encoding, padding, and folders with equal outputs once loaded."""

import io

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoProcessor, ViltForImagesAndTextClassification

from mubench.trainers.models.modalities import MODALITIES

MODALITY = MODALITIES["image_pair_classification"]
LABELS = ("False", "True")
SIZES = [((32, 32), (32, 32)), ((32, 32), (48, 32)), ((40, 60), (32, 32))]


def picture(seed: int, size: tuple[int, int], mode: str = "RGB") -> dict:
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels, mode).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def table(pairs: list[tuple[dict, dict]], texts: list[str]) -> datasets.Dataset:
    features = datasets.Features({
        "example_id": datasets.Value("string"), "image_0": datasets.Image(), "image_1": datasets.Image(),
        "text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(LABELS)),
    })  # fmt: skip
    columns = {
        "example_id": [f"row-{row}" for row in range(len(texts))],
        **{f"image_{side}": [pair[side] for pair in pairs] for side in (0, 1)},
        "text": texts,
        "label": [row % 2 for row in range(len(texts))],
    }
    return datasets.Dataset.from_dict(columns, features=features)


@pytest.fixture(scope="module")
def rows():
    pairs = [tuple(picture(10 * i + side, size) for side, size in enumerate(sizes)) for i, sizes in enumerate(SIZES)]
    return table(pairs, ["a jar of Ada", "a jar of Bob and of Cleo", "a cup"])


@pytest.fixture(scope="module")
def made(rows):
    return MODALITY.create("vilt", LABELS, {"train": rows}, seed=0)


def predict(model, processor, rows):
    return MODALITY.predict(model, processor, rows, MODALITY.encode(rows, processor, 40))


def test_a_row_has_two_pictures_and_the_words(made, rows):
    for _ in range(2):
        row = MODALITY.encode(rows, made[1], 40)[1]
        assert row["pixel_values"].shape == (2, 3, 32, 48) and row["pixel_values"].dtype == torch.float32
        assert row["pixel_mask"].sum((1, 2)).tolist() == [32 * 32, 32 * 48]
        assert made[1].tokenizer.decode(row["input_ids"]) == "[CLS] a jar of bob and of cleo [SEP]"
        assert row["labels"] == 1
        assert torch.equal(row["pixel_values"], MODALITY.encode(rows, made[1], 40)[1]["pixel_values"])


def test_words_are_cut_at_the_longest_length(made, rows):
    assert [len(row["input_ids"]) for row in MODALITY.encode(rows, made[1], 5)] == [5, 5, 4]


def test_a_grey_picture_becomes_three_channels(made):
    grey = table([(picture(0, (32, 32), "L"), picture(1, (32, 32)))], ["a jar"])
    pixels = MODALITY.encode(grey, made[1], 40)[0]["pixel_values"]
    assert pixels.shape == (2, 3, 32, 32)


def test_a_batch_is_padded_at_the_end_and_keeps_other_columns(made, rows):
    encoded = MODALITY.encode(rows, made[1], 40)
    batch = MODALITY.collator(made[1])([{**encoded[i], "index": i, "forget": i == 1} for i in range(3)])
    assert batch["pixel_values"].shape == (3, 2, 3, 48, 48) and batch["pixel_mask"].shape == (3, 2, 48, 48)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (3, 9)
    assert batch["attention_mask"].sum(1).tolist() == [6, 9, 4]
    assert (batch["labels"].tolist(), batch["index"].tolist()) == ([0, 1, 0], [0, 1, 2])
    assert batch["forget"].tolist() == [False, True, False]
    for i in range(3):
        height, width = encoded[i]["pixel_mask"].shape[1:]
        assert torch.equal(batch["pixel_values"][i, :, :, :height, :width], encoded[i]["pixel_values"])
        assert batch["pixel_mask"][i].sum() == encoded[i]["pixel_mask"].sum()


def test_padding_changes_no_output(made, rows):
    together = predict(*made, rows).logits
    alone = [predict(*made, rows.select([i])).logits[0] for i in range(3)]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_both_images_and_their_order_count(made):
    a, b = picture(0, (32, 32)), picture(1, (32, 32))
    logits = predict(*made, table([(a, b), (b, a), (a, a)], ["a jar"] * 3)).logits
    assert np.abs(logits[0] - logits[1]).max() > 1e-3 and np.abs(logits[0] - logits[2]).max() > 1e-3


def test_outputs_do_not_depend_on_random_numbers_and_take_none(made, rows):
    torch.manual_seed(1)
    first = predict(*made, rows)
    drawn = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(3), drawn)
    assert predict(*made, rows).equals(first)


def test_embeddings_of_names_start_at_zero_and_a_seed_decides_the_head(made, rows):
    tokenizer = made[1].tokenizer
    weight = made[0].get_input_embeddings().weight
    silent = {word for word in ("a", "jar", "of", "ada", "bob") if not weight[tokenizer.vocab[word]].any()}
    assert silent == {"ada", "bob"}
    states = [MODALITY.create("vilt", LABELS, {"train": rows}, seed)[0].state_dict() for seed in (0, 1)]
    assert all(torch.equal(states[0][name], value) for name, value in made[0].state_dict().items())
    assert not all(torch.equal(states[0][name], value) for name, value in states[1].items())


def test_a_saved_folder_loads_with_equal_outputs_here_and_in_plain_transformers(made, rows, tmp_path):
    for part in made:
        part.save_pretrained(tmp_path)
    before = predict(*made, rows)
    assert predict(*MODALITY.load(tmp_path), rows).equals(before)
    plain = ViltForImagesAndTextClassification.from_pretrained(tmp_path)
    assert plain.config.label2id == {"False": 0, "True": 1}
    assert predict(plain, AutoProcessor.from_pretrained(tmp_path, backend="pil"), rows).equals(before)
    encoder = AutoModel.from_pretrained(tmp_path)
    for name, value in made[0].vilt.state_dict().items():
        assert torch.equal(encoder.state_dict()[name], value)
