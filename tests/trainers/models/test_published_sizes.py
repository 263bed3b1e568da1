"""Published backbones of up to 200 million parameters, at their full size: read, saved and read again, one by one."""

import dataclasses

import pytest
import torch
import transformers

from mubench.hub_builders.tasks import BACKBONES
from mubench.trainers.models.modalities.modality import load_complete, load_published
from tests.fixtures.published import PUBLISHED
from tests.fixtures.repositories import checkpoint
from tests.hub_builders.tasks.test_backbones import CLASSES, TASK_OF

pytestmark = [pytest.mark.slow, pytest.mark.nightly]
WORDS = {"input_ids": torch.arange(5, 21)[None]}
INPUTS = {
    "image_classification": {"pixel_values": torch.linspace(-1, 1, 3 * 224 * 224).reshape(1, 3, 224, 224)},
    "text_classification": WORDS,
    "image_pair_classification": {
        **WORDS,
        "pixel_values": torch.linspace(-1, 1, 6 * 96 * 96).reshape(1, 2, 3, 96, 96),
    },
    "audio_classification": {"input_values": torch.linspace(0, 99, 16_000).sin()[None]},
    "video_classification": {"pixel_values": torch.linspace(-1, 1, 48 * 224 * 224).reshape(1, 16, 3, 224, 224)},
    "summarization": {**WORDS, "decoder_input_ids": torch.arange(5)[None]},
    "text_generation": WORDS,
}
WHISPER = {"input_features": torch.linspace(0, 99, 80 * 3000).sin().reshape(1, 80, 3000)}


def logits_of(model, kind):
    """Return a model's logits; ViLT permutes its patches at random."""
    torch.manual_seed(0)
    with torch.no_grad():
        return model.eval()(**(WHISPER if model.config.model_type == "whisper" else INPUTS[kind])).logits


@pytest.mark.parametrize("backbone", [key for key, row in PUBLISHED.items() if row.millions <= 200])
def test_a_published_backbone_is_the_same_when_it_is_read_again(backbone, tmp_path, monkeypatch):
    task, auto = TASK_OF[backbone], getattr(transformers, CLASSES[TASK_OF[backbone].kind])
    checkpoint(tmp_path, backbone, PUBLISHED[backbone].config)
    row = dataclasses.replace(BACKBONES[backbone], hub_id=str(tmp_path), revision=None, package=None)
    monkeypatch.setitem(BACKBONES, backbone, row)
    model = load_published(auto, backbone, **({"num_labels": len(task.labels)} if task.labels else {}))
    logits = logits_of(model, task.kind)
    assert logits.isfinite().all() and logits.std() > 0
    assert logits.shape[-1] == (len(task.labels) or PUBLISHED[backbone].config["vocab_size"])
    model.save_pretrained(tmp_path / "again")
    del model
    assert torch.equal(logits_of(load_complete(auto, tmp_path / "again"), task.kind), logits)
