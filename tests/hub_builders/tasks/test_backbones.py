"""Backbones of the table: the published ones, their sizes and the model classes that are trained."""

import re
from typing import Any

import pytest

from mubench.hub_builders.__main__ import main
from mubench.hub_builders.tasks import BACKBONES, TASKS
from tests.fixtures.published import PUBLISHED

# The paper's backbones, and those of the code beside it; the one of text-to-image is no transformers model.
HUB_IDS = (
    "google/vit-base-patch16-224-in21k",
    "google/vit-large-patch16-224-in21k",
    "microsoft/resnet-18",
    "microsoft/resnet-34",
    "microsoft/resnet-50",
    "microsoft/swin-tiny-patch4-window7-224",
    "microsoft/swin-base-patch4-window7-224",
    "google/mobilenet_v2_1.0_224",
    "facebook/convnext-base-224",
    "facebook/convnext-base-224-22k",
    "google-bert/bert-base-uncased",
    "google-bert/bert-large-uncased",
    "FacebookAI/roberta-base",
    "FacebookAI/roberta-large",
    "distilbert/distilbert-base-uncased",
    "google/electra-base-discriminator",
    "microsoft/deberta-v3-base",
    "albert/albert-base-v2",
    "dmis-lab/biobert-v1.1",
    "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
    "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext",
    "dandelin/vilt-b32-finetuned-nlvr2",
    "facebook/wav2vec2-base",
    "facebook/wav2vec2-large",
    "facebook/hubert-base-ls960",
    "facebook/hubert-large-ll60k",
    "facebook/hubert-xlarge-ll60k",
    "openai/whisper-tiny",
    "openai/whisper-base",
    "openai/whisper-small",
    "microsoft/phi-1_5",
    "NousResearch/Llama-2-7b-chat-hf",
    "MCG-NJU/videomae-small-finetuned-kinetics",
    "MCG-NJU/videomae-base",
    "MCG-NJU/videomae-large",
    "MCG-NJU/videomae-huge-finetuned-kinetics",
    "google/t5-v1_1-small",
    "google/t5-v1_1-base",
    "google/t5-v1_1-large",
    "google/t5-v1_1-xl",
    "google/t5-v1_1-xxl",
)
CLASSES = {
    "image_classification": "AutoModelForImageClassification",
    "text_classification": "AutoModelForSequenceClassification",
    "image_pair_classification": "ViltForImagesAndTextClassification",
    "audio_classification": "AutoModelForAudioClassification",
    "video_classification": "AutoModelForVideoClassification",
    "summarization": "AutoModelForSeq2SeqLM",
    "text_generation": "AutoModelForCausalLM",
}
# The first task with a backbone.
TASK_OF = {backbone: task for task in reversed(TASKS.values()) for backbone in task.recipes}

# The smallest backbone of each kind of task is a slow test, the others are nightly ones.
SMALLEST = {
    min((key for key in PUBLISHED if TASK_OF[key].kind == kind), key=lambda key: BACKBONES[key].millions)
    for kind in CLASSES
}
SAMPLED = [pytest.param(key, marks=[] if key in SMALLEST else pytest.mark.nightly) for key in PUBLISHED]


def build_on_meta(backbone: str, name: str, **changes: object) -> Any:
    """Return a published backbone as a class of transformers, without weights."""
    import torch  # noqa: PLC0415  fast tests of this file need no model
    import transformers  # noqa: PLC0415

    row = PUBLISHED[backbone]
    config = transformers.AutoConfig.for_model(row.kind, **{**row.config, **changes})
    factory = getattr(transformers, name)
    with torch.device("meta"):
        return factory.from_config(config) if name.startswith("Auto") else factory(config)


def test_every_published_backbone_has_a_row_and_a_task():
    rows = {row.hub_id: key for key, row in BACKBONES.items() if row.hub_id}
    assert len(HUB_IDS) == 41 and set(HUB_IDS) <= set(rows)
    assert {rows[hub_id] for hub_id in HUB_IDS} <= set(TASK_OF)
    assert set(rows.values()) - {"sd-v1-4"} == set(PUBLISHED)


def test_a_published_backbone_has_a_commit_or_none():
    for key in PUBLISHED:
        row = BACKBONES[key]
        assert row.revision is None or re.fullmatch("[0-9a-f]{40}", row.revision)
        assert row.millions == pytest.approx(PUBLISHED[key].millions, rel=0.05), key
    assert not [key for key, row in BACKBONES.items() if row.is_mini and (row.hub_id or row.revision or row.millions)]


@pytest.mark.nightly
def test_the_published_text_to_image_model_has_its_published_size():
    """Version 1 of Stable Diffusion has 860 M parameters in its U-Net, the part that is trained."""
    import diffusers  # noqa: PLC0415
    import torch  # noqa: PLC0415

    config = {"sample_size": 64, "cross_attention_dim": 768}
    with torch.device("meta"):
        count = sum(weight.numel() for weight in diffusers.UNet2DConditionModel(**config).parameters())
    assert BACKBONES["sd-v1-4"].millions == pytest.approx(count / 1e6, rel=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", SAMPLED)
def test_a_published_backbone_has_its_published_size(backbone):
    row = PUBLISHED[backbone]
    model = build_on_meta(backbone, row.counted or row.architecture)
    weights = {name: weight.numel() for name, weight in model.named_parameters()}
    count = sum(size for name, size in weights.items() if row.without is None or row.without not in name)
    if row.kind == "t5":  # its head is tied to the embedding until weights are loaded that untie it
        assert not row.config["tie_word_embeddings"] and "lm_head.weight" not in weights
        count += weights["shared.weight"]
    assert count / 1e6 == pytest.approx(row.millions, rel=row.within)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", SAMPLED)
def test_a_published_backbone_exists_in_the_class_that_is_trained(backbone):
    task = TASK_OF[backbone]
    model = build_on_meta(backbone, CLASSES[task.kind], num_labels=len(task.labels) or 2)
    if task.labels:
        *_, head = [module for module in model.modules() if type(module).__name__ == "Linear"]
        assert head.out_features == len(task.labels)
    else:
        assert model.get_output_embeddings().out_features == PUBLISHED[backbone].config["vocab_size"]


def test_backbones_are_listed_by_task(capsys):
    assert main(["backbones", "imdb"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["task", "backbone", "Hub", "id", "parameters"]
    assert [line.split()[:2] for line in lines] == [["imdb", backbone] for backbone in TASKS["imdb"].recipes]
    assert lines[0].split()[2:] == ["-", "-"]
    assert [line.split()[2:] for line in lines if " bert-base " in line] == [
        ["google-bert/bert-base-uncased", "110", "M"]
    ]
    assert main(["backbones"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + sum(len(task.recipes) for task in TASKS.values())
    assert main(["backbones", "nope"]) == 2
