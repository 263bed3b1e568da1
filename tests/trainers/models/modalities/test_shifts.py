"""Small changes of an input, and the rows that models get of them."""

import datasets
import numpy as np
import pytest
from PIL import Image

from mubench.trainers.engine.losses import IGNORED
from mubench.trainers.models.modalities import MODALITIES
from mubench.trainers.models.modalities.shifts import (
    SENTENCE,
    prepend_sentence,
    shift_pictures,
    shift_recordings,
    shift_videos,
)
from tests.fixtures.mini_rows import mini_rows_of


@pytest.mark.parametrize(("width", "by"), [(8, 1), (32, 1), (224, 2), (448, 4), (640, 6)])
def test_a_picture_moves_right_by_two_pixels_of_224_or_one(width, by):
    pixels = np.random.default_rng(0).integers(0, 256, (4, width, 3), dtype=np.uint8)
    found = shift_pictures({"image": [Image.fromarray(pixels)], "label": [3]})
    moved = np.asarray(found["image"][0])
    np.testing.assert_array_equal(moved[:, by:], pixels[:, :-by])
    np.testing.assert_array_equal(moved[:, :by], np.repeat(pixels[:, :1], by, axis=1))
    assert found["label"] == [3]


def test_both_pictures_of_a_pair_move_and_all_frames_of_a_video():
    frames = np.random.default_rng(0).integers(0, 256, (3, 4, 32, 3), dtype=np.uint8)
    pair = shift_pictures({"image_0": [Image.fromarray(frames[0])], "image_1": [Image.fromarray(frames[1])]})
    (video,) = shift_videos({"video": [frames]})["video"]
    np.testing.assert_array_equal(np.stack([np.asarray(pair[f"image_{i}"][0]) for i in range(2)]), video[:2])
    np.testing.assert_array_equal(video[2, :, 1:], frames[2, :, :-1])


def test_a_recording_begins_50_ms_later_and_keeps_its_length():
    samples = np.arange(1, 1001, dtype=np.float32)
    (sound,) = shift_recordings({"audio": [{"array": samples, "sampling_rate": 2000}]})["audio"]
    np.testing.assert_array_equal(sound["array"], np.r_[np.zeros(100), samples[:-100]])
    assert sound["array"].dtype == np.float32 and sound["sampling_rate"] == 2000


def test_a_sentence_goes_in_front_of_one_column_and_columns_read_alone_stay():
    batch = {"question": ["Who?"], "answer": ["She."]}
    assert prepend_sentence(batch, "question") == {"question": [f"{SENTENCE} Who?"], "answer": ["She."]}
    for alone in (
        prepend_sentence,
        lambda columns, _: shift_videos(columns),
        lambda columns, _: shift_recordings(columns),
    ):
        assert alone({"example_id": ["a"]}, "question") == {"example_id": ["a"]}


def _made(kind, backbone, columns):
    rows = datasets.Dataset.from_dict({"example_id": [f"r{i}" for i in range(4)], **columns})
    return rows, *MODALITIES[kind].create(backbone, ["no", "yes"], {"train": rows}, 0)


QUESTIONS = {
    "question": [f"who is {name} ?" for name in "abcd"],
    "answer": ["she is x y z a b c d e f g", "he is y", "z", "it is"],
}


@pytest.mark.parametrize(("kind", "backbone"), [("text_generation", "llama"), ("summarization", "t5")])
def test_the_answer_stays_behind_a_longer_prompt_at_any_limit(kind, backbone):
    rows, model, tokenizer = _made(kind, backbone, QUESTIONS)
    modality = MODALITIES[kind]
    for limit in (None, 10):
        plain, moved = modality.encode(rows, tokenizer, limit), modality.encode_shifted(rows, tokenizer, limit)
        for one, other in zip(plain, moved, strict=True):
            answers = [[token for token in row["labels"] if token != IGNORED] for row in (one, other)]
            assert answers[0] == answers[1] and len(other["input_ids"]) > len(one["input_ids"])
    outputs = [modality.predict(model, tokenizer, rows, encoded) for encoded in (plain, moved)]
    np.testing.assert_array_equal(outputs[0].token_id, outputs[1].token_id)
    assert not np.array_equal(outputs[0].token_logprob, outputs[1].token_logprob)


def test_a_cut_text_loses_no_token_to_the_sentence():
    rows, _, tokenizer = _made("text_classification", "bert", {"text": ["a b c d e f g"] * 4, "label": [0, 1, 0, 1]})
    plain, moved = (
        encode(rows, tokenizer, 6)[0]["input_ids"]
        for encode in (MODALITIES["text_classification"].encode, MODALITIES["text_classification"].encode_shifted)
    )
    assert moved[-len(plain) + 1 :] == plain[1:] and len(moved) > len(plain)


def test_text_to_image_has_no_such_change():
    assert MODALITIES["text_to_image"].encode_shifted(datasets.Dataset.from_dict({}), None, None) is None


@pytest.mark.parametrize(
    ("task", "kind", "backbone", "key"),
    [
        ("cifar10", "image_classification", "vit", "pixel_values"),
        ("nlvr2", "image_pair_classification", "vilt", "pixel_values"),
    ],
)
def test_stored_pictures_reach_the_model_moved(task, kind, backbone, key):
    some = mini_rows_of(task)["train"][:3]
    names = [name for name in some[0] if name.startswith("image")]
    features = datasets.Features({name: datasets.Image() for name in names})
    pictures = datasets.Dataset.from_dict({name: [row[name] for row in some] for name in names}, features=features)
    rows = pictures.add_column("label", [0, 1, 0])
    if "text" in some[0]:
        rows = rows.add_column("text", [row["text"] for row in some])
    modality = MODALITIES[kind]
    _, processor = modality.create(backbone, ["a", "b"], {"train": rows}, 0)
    plain, moved = modality.encode(rows, processor, None), modality.encode_shifted(rows, processor, None)
    for one, other in zip(plain, moved, strict=True):
        np.testing.assert_array_equal(np.asarray(other[key])[..., 1:], np.asarray(one[key])[..., :-1])
        assert one["labels"] == other["labels"]
