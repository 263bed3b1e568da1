"""Videos: deterministic encoding, and model folders that transformers reads."""

import io

import av
import datasets
import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, AutoModelForVideoClassification, pipeline

from mubench.hub_builders.dataset.decoding import decode_media
from mubench.trainers.engine.checkpointing import keep_parameter_names
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.engine.task_trainer import TaskTrainer
from mubench.trainers.inference.predict import predict
from mubench.trainers.models.modalities.video_classification import LENGTH, MINI, SIZE, VideoModality, sample_frames
from tests.fixtures.backbones import first_by_day

MODALITY = VideoModality()
LABELS = ("Jumping", "Running", "Swimming")
SHAPES = ((8, 32, 32), (8, 32, 32), (20, 48, 64), (3, 32, 32))


def clip(seed, length, height, width):
    shown = np.random.default_rng(seed).integers(0, 256, (length, height // 8, width // 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in shown.repeat(8, 1).repeat(8, 2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return {"bytes": buffer.getvalue(), "path": None}


@pytest.fixture(scope="module")
def rows():
    features = datasets.Features({"video": datasets.Video(), "label": datasets.ClassLabel(names=list(LABELS))})
    columns = {"video": [clip(i, *shape) for i, shape in enumerate(SHAPES)], "label": [0, 1, 2, 0]}
    return datasets.Dataset.from_dict(columns).cast(features)


@pytest.fixture(params=first_by_day(MINI))
def made(request, rows):
    model, processor = MODALITY.create(request.param, LABELS, {"train": rows}, seed=0)
    assert not model.classifier.weight.any()
    torch.nn.init.normal_(model.classifier.weight)  # it is initialised at zero
    return model, processor


def logits(model, processor, rows):
    return predict(model, MODALITY.encode(rows, processor), MODALITY.collator(processor))


def test_frames_are_evenly_apart_from_the_first_to_the_last():
    video = np.arange(15, dtype=np.uint8)[:, None, None, None]
    assert sample_frames(video, 8).flatten().tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    assert sample_frames(video[:8], 8).flatten().tolist() == list(range(8))
    assert sample_frames(video[:3], 8).flatten().tolist() == [0, 0, 1, 1, 1, 1, 2, 2]
    assert sample_frames(video[:1], 4).flatten().tolist() == [0, 0, 0, 0]


def test_a_video_becomes_frames_of_the_models_size(made, rows):
    encoded = MODALITY.encode(rows, made[1])
    for i, label in enumerate([0, 1, 2, 0]):
        assert encoded[i].keys() == {"pixel_values", "labels"} and encoded[i]["labels"] == label
        assert encoded[i]["pixel_values"].shape == (LENGTH, 3, SIZE, SIZE)
        assert encoded[i]["pixel_values"].dtype == torch.float32
    shown = torch.tensor(decode_media(rows)[0]["video"]).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(part)[:, None, None] for part in (made[1].image_mean, made[1].image_std))
    torch.testing.assert_close(encoded[0]["pixel_values"] * std + mean, shown, atol=1e-5, rtol=0)


def test_encoding_a_video_twice_gives_the_same_bits(made, rows):
    first, second = (MODALITY.encode(rows, made[1]) for _ in range(2))
    assert all(torch.equal(first[i]["pixel_values"], second[i]["pixel_values"]) for i in range(len(rows)))
    assert not torch.equal(first[0]["pixel_values"], first[1]["pixel_values"])


@pytest.mark.parametrize("backbone", first_by_day(MINI))
def test_a_seed_decides_the_weights_whatever_was_drawn_before(backbone, rows):
    states = []
    for seed in (0, 0, 1):
        torch.rand(1)
        states.append(MODALITY.create(backbone, LABELS, {"train": rows}, seed)[0].state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_training_has_no_dropout(made, rows):
    model, processor = made
    encoded = MODALITY.encode(rows, processor)
    batch = MODALITY.collator(processor)([encoded[i] for i in range(len(rows))])
    first, second = (model.train()(**batch).logits for _ in range(2))
    assert torch.equal(first, second)


def test_a_saved_folder_loads_with_equal_outputs_and_labels(made, rows, tmp_path):
    model, processor = made
    before = logits(model, processor, rows)
    for part in made:
        part.save_pretrained(tmp_path)
    again, reloaded = MODALITY.load(tmp_path)
    np.testing.assert_array_equal(logits(again, reloaded, rows), before)
    assert [again.config.id2label[i] for i in range(3)] == list(LABELS)
    assert before.shape == (4, 3) and len(np.unique(before)) > 3


def test_a_saved_folder_is_read_by_plain_transformers(made, rows, tmp_path):
    for part in made:
        part.save_pretrained(tmp_path)
    labels = AutoModelForVideoClassification.from_pretrained(tmp_path).config.label2id
    assert labels == {name: i for i, name in enumerate(LABELS)}
    assert AutoImageProcessor.from_pretrained(tmp_path, backend="pil").size == made[1].size
    stored = tmp_path / "clip.avi"
    stored.write_bytes(rows.cast_column("video", datasets.Video(decode=False))[0]["video"]["bytes"])
    scores = pipeline("video-classification", model=str(tmp_path), device="cpu")(str(stored))
    expected = torch.from_numpy(logits(*made, rows)[0]).softmax(0)
    assert {one["label"] for one in scores} == set(LABELS)
    for one in scores:
        assert one["score"] == pytest.approx(expected[LABELS.index(one["label"])].item(), abs=1e-4)


def trained(made, rows, folder, resume=None):
    model, processor = made
    arguments = TaskArguments(
        output_dir=str(folder), max_steps=4, per_device_train_batch_size=2, learning_rate=1e-2, save_steps=2,
        report_to="none", disable_tqdm=True,
    )  # fmt: skip
    encoded, collator = MODALITY.encode(rows, processor), MODALITY.collator(processor)
    TaskTrainer(model=model, args=arguments, train_dataset=encoded, data_collator=collator).train(resume)
    return model.state_dict()


@pytest.mark.parametrize("backbone", first_by_day(MINI))
def test_a_run_that_is_resumed_equals_the_uninterrupted_one(backbone, rows, tmp_path):
    fresh = lambda: MODALITY.create(backbone, LABELS, {"train": rows}, seed=0)  # noqa: E731
    whole = trained(fresh(), rows, tmp_path / "whole")
    resumed = trained(fresh(), rows, tmp_path / "again", str(tmp_path / "whole/checkpoint-2"))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_videomae_needs_its_names_kept_for_that(rows, tmp_path):
    from safetensors import safe_open  # noqa: PLC0415

    model, _ = MODALITY.create("videomae", LABELS, {"train": rows}, seed=0)
    names = {}
    for cured in (False, True):
        with keep_parameter_names(model if cured else torch.nn.Identity()):
            model.save_pretrained(tmp_path / str(cured))
        with safe_open(tmp_path / str(cured) / "model.safetensors", "pt") as stored:
            names[cured] = set(stored.keys())
    assert names[True] == set(model.state_dict()) != names[False]


def test_the_backbone_for_real_clips_reads_larger_frames_and_has_its_stated_size(rows, tmp_path):
    model, processor = MODALITY.create("videomae-tiny", LABELS, {"train": rows}, seed=0)
    torch.nn.init.normal_(model.classifier.weight)  # it is initialised at zero
    assert sum(weight.numel() for weight in model.parameters()) / 1e6 == pytest.approx(0.33, abs=0.01)
    assert MODALITY.encode(rows, processor)[0]["pixel_values"].shape == (LENGTH, 3, 64, 64)
    for part in (model, processor):
        part.save_pretrained(tmp_path)
    np.testing.assert_array_equal(logits(*MODALITY.load(tmp_path), rows), logits(model, processor, rows))
    assert len(np.unique(logits(model, processor, rows))) > 3
