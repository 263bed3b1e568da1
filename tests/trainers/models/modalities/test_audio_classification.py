"""Recordings: deterministic encoding, and model folders that transformers reads."""

import io

import datasets
import numpy as np
import pytest
import soundfile
import torch
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification, Wav2Vec2FeatureExtractor, pipeline

from mubench.hub_builders.dataset.decoding import decode_media
from mubench.trainers.inference.predict import predict
from mubench.trainers.models.modalities.audio_classification import MINI, RATE, AudioModality, set_filter_bank
from tests.fixtures.backbones import first_by_day

MODALITY = AudioModality()
LABELS = ("yes", "no", "up")
LENGTHS = (6_400, 6_400, 4_000, 8_000, 16_000)


def recording(seed, samples, rate=RATE):
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.1 * np.random.default_rng(seed).normal(size=samples), rate, format="WAV")
    return {"bytes": buffer.getvalue(), "path": None}


def table(recordings):
    features = datasets.Features({"audio": datasets.Audio(), "label": datasets.ClassLabel(names=list(LABELS))})
    columns = {"audio": recordings, "label": [i % 3 for i in range(len(recordings))]}
    return datasets.Dataset.from_dict(columns).cast(features)


@pytest.fixture(scope="module")
def rows():
    return table([recording(i, samples) for i, samples in enumerate(LENGTHS)])


@pytest.fixture(params=first_by_day(MINI, "wav2vec2", "whisper"))
def made(request, rows):
    model, processor = MODALITY.create(request.param, LABELS, {"train": rows}, seed=0)
    assert not model.classifier.weight.any()
    torch.nn.init.normal_(model.classifier.weight)  # it is initialised at zero
    return model, processor


def logits(model, processor, rows, batch_size=256):
    return predict(model, MODALITY.encode(rows, processor), MODALITY.collator(processor), batch_size=batch_size)


def test_encoding_a_recording_twice_gives_the_same_bits(made, rows):
    first, second = (MODALITY.encode(rows, made[1]) for _ in range(2))
    for i in range(len(rows)):
        assert first[i].keys() == second[i].keys()
        assert all(np.array_equal(first[i][key], second[i][key]) for key in first[i])
        assert first[i]["labels"] == rows["label"][i]


def test_a_batch_has_one_length_and_padding_changes_no_output(made, rows):
    model, processor = made
    encoded, collate = MODALITY.encode(rows, processor), MODALITY.collator(processor)
    batch = collate([encoded[i] for i in range(len(rows))])
    name = processor.model_input_names[0]
    assert batch["labels"].tolist() == [0, 1, 2, 0, 1]
    assert batch[name].shape == ((5, 16_000) if name == "input_values" else (5, 16, 100))
    np.testing.assert_allclose(logits(model, processor, rows), logits(model, processor, rows, 1), atol=1e-5)


def test_a_model_without_attention_mask_gets_whole_seconds(rows):
    encoded = MODALITY.encode(rows, Wav2Vec2FeatureExtractor(return_attention_mask=False))
    assert {encoded[i]["input_values"].shape for i in range(len(rows))} == {(16_000,)}
    assert np.allclose(encoded[0]["input_values"][:6_400].std(), 1, atol=1e-3)
    assert not encoded[0]["input_values"][6_400:].any()


def test_no_more_than_a_second_is_read(made):
    long = np.random.default_rng(0).normal(size=24_000) * 0.1
    buffers = [io.BytesIO(), io.BytesIO()]
    for buffer, samples in zip(buffers, (16_000, 24_000), strict=True):
        soundfile.write(buffer, long[:samples], RATE, format="WAV")
    encoded = MODALITY.encode(table([{"bytes": b.getvalue(), "path": None} for b in buffers]), made[1])
    name = made[1].model_input_names[0]
    np.testing.assert_array_equal(encoded[0][name], encoded[1][name])


def test_another_sampling_rate_is_refused(made):
    with pytest.raises(ValueError, match="expected recordings of 16000 samples a second, got one of 8000"):
        MODALITY.encode(table([recording(0, 4_000, rate=8_000)]), made[1])


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


def test_the_filter_bank_responds_to_its_pitches_at_any_phase():
    layer = torch.nn.Conv1d(1, 32, 400, stride=160)
    set_filter_bank(layer)
    pitches = np.linspace(150, 4_000, 8)
    time = torch.arange(6_400) / RATE
    for index in (1, 4, 6):
        for phase in (0.0, 1.0):
            heard = layer(torch.sin(2 * torch.pi * pitches[index] * time + phase)[None]).relu()
            assert heard.unflatten(0, (8, 4)).sum(1).mean(1).argmax() == index


def test_a_saved_folder_loads_with_equal_outputs_and_labels(made, rows, tmp_path):
    model, processor = made
    before = logits(model, processor, rows)
    for part in made:
        part.save_pretrained(tmp_path)
    again, reloaded = MODALITY.load(tmp_path)
    np.testing.assert_array_equal(logits(again, reloaded, rows), before)
    assert reloaded.to_dict() == processor.to_dict() and type(reloaded) is type(processor)
    assert [again.config.id2label[i] for i in range(3)] == list(LABELS)
    assert before.shape == (5, 3) and len(np.unique(before)) > 3


def test_a_saved_folder_is_read_by_plain_transformers(made, rows, tmp_path):
    for part in made:
        part.save_pretrained(tmp_path)
    assert AutoModelForAudioClassification.from_pretrained(tmp_path).config.label2id == {
        name: i for i, name in enumerate(LABELS)
    }
    assert AutoFeatureExtractor.from_pretrained(tmp_path).sampling_rate == RATE
    scores = pipeline("audio-classification", model=str(tmp_path), device="cpu")(decode_media(rows)[0]["audio"])
    expected = torch.from_numpy(logits(*made, rows)[0]).softmax(0)
    assert {one["label"] for one in scores} == set(LABELS)
    for one in scores:
        assert one["score"] == pytest.approx(expected[LABELS.index(one["label"])].item(), abs=1e-4)


def test_the_backbone_for_real_recordings_reads_log_mel_of_a_second_and_has_its_stated_size(rows, tmp_path):
    model, processor = MODALITY.create("whisper-conv", LABELS, {"train": rows}, seed=0)
    assert sum(weight.numel() for weight in model.parameters()) / 1e6 == pytest.approx(0.080, abs=0.002)
    other, _ = MODALITY.create("whisper-conv", LABELS, {"train": rows}, seed=1)
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), other.parameters(), strict=True))
    encoded = MODALITY.encode(rows, processor)
    assert {encoded[i]["input_features"].shape for i in range(len(rows))} == {(40, 100)}
    torch.nn.init.normal_(model.classifier.weight)  # zero at first
    for part in (model, processor):
        part.save_pretrained(tmp_path)
    again, reloaded = MODALITY.load(tmp_path)
    np.testing.assert_array_equal(logits(again, reloaded, rows), logits(model, processor, rows))
    assert len(np.unique(logits(model, processor, rows))) > 3
