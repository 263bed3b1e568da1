"""Repositories in their published layout, on a Hub on the loopback: read, given a new head, trained for a step."""

import dataclasses

import numpy as np
import pytest
import torch
from huggingface_hub import HfApi

from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task
from mubench.hub_builders.mini import MINI
from mubench.hub_builders.tasks import BACKBONES
from mubench.trainers.__main__ import main
from mubench.trainers.models.modalities import MODALITIES
from tests.fixtures.backbones import first_by_day
from tests.fixtures.mini_rows import mini_rows_of
from tests.fixtures.repositories import SMALLER, repository
from tests.hub_builders.tasks.test_backbones import TASK_OF

pytestmark = pytest.mark.slow
ROWS = {"train": 96, "validation": 8, "test": 8, "ood": 8}
# What no repository holds of the class that is trained; all other weights must be those that lie there.
LINEAR = {"classifier.weight", "classifier.bias"}
TWO = {f"classifier.{layer}.{part}" for layer in ("dense", "out_proj") for part in ("weight", "bias")}
PROJECTED = LINEAR | {"projector.weight", "projector.bias"}
FRESH = {
    "resnet-18": {"classifier.1.weight", "classifier.1.bias"},
    "swin-tiny": LINEAR,
    "mobilenet-v2": LINEAR,
    "convnext-base": LINEAR,
    "vit-base": LINEAR,
    "vilt-b32": set(),
    "bert-base": LINEAR,
    "biobert": LINEAR,
    "roberta-base": TWO,
    "distilbert-base": LINEAR | {"pre_classifier.weight", "pre_classifier.bias"},
    "electra-base": TWO,
    "deberta-base": LINEAR | {"pooler.dense.weight", "pooler.dense.bias"},
    "albert-base": LINEAR,
    "wav2vec2-base": PROJECTED,
    "hubert-base": PROJECTED,
    "hubert-large": PROJECTED,
    "whisper-tiny": PROJECTED,
    "videomae-base": LINEAR | {"fc_norm.weight", "fc_norm.bias"},
    "t5-small": set(),
    "phi-1.5": set(),
    "llama2-7b": set(),
    "llama3.2-1b": set(),
    "qwen3-0.6b": set(),
    "gemma3-1b": set(),
    "smollm3-3b": set(),
}


@pytest.fixture
def task(request, monkeypatch, tmp_path):
    """Return the task of a backbone, with few rows and a recipe of one step, its data built."""
    task = TASK_OF[request.param]
    few = {split: [dict(row) for row in rows[: ROWS[split]]] for split, rows in mini_rows_of(task.key).items()}
    recipe = dataclasses.replace(task.recipes[request.param], epochs=1, batch_size=ROWS["train"], warmup=0.0)
    monkeypatch.setitem(MINI, task.key, lambda: few)
    monkeypatch.setitem(task.counts, "mini", {split: len(rows) for split, rows in few.items()})
    monkeypatch.setitem(task.recipes, request.param, recipe)
    build(task.key, out=tmp_path)
    return task, request.param


def texts(task):
    """Return all texts of the training rows."""
    words = [name for name, kind in task.columns.items() if kind == "string"]
    return [row[name] for row in mini_rows_of(task.key)["train"] for name in words]


def pushed(hub, folder, backbone):
    """Push a folder to where the backbone lies, at the commit that the table names."""
    row = BACKBONES[backbone]
    stored = hub.create("models", row.hub_id)
    HfApi().upload_folder(repo_id=row.hub_id, folder_path=folder)
    if row.revision:
        stored.tags[row.revision] = stored.head.oid
        stored.commit("nothing is left", {})


def bits(weight):
    return weight.detach().float().numpy().tobytes()


DAILY = ("resnet-18", "vilt-b32", "bert-base", "whisper-tiny", "videomae-base", "t5-small", "phi-1.5")


@pytest.mark.parametrize("task", first_by_day(SMALLER, *DAILY), indirect=True)
def test_a_published_repository_is_read_and_trained(hub, task, tmp_path, monkeypatch):
    task, backbone = task
    (folder := tmp_path / "original").mkdir()
    weights = repository(folder, backbone, texts(task))
    pushed(hub, folder, backbone)
    converted = []
    monkeypatch.setattr("transformers.modeling_utils.auto_conversion", lambda *given, **_: converted.append(given))

    words = ["base", "--task", task.key, "--backbone", backbone, "--data", tmp_path / "mu-bench", "--models", tmp_path]
    assert main([*map(str, words), "--disable_tqdm=true"]) == 0
    made = tmp_path / f"{task.key}-mini-{backbone}"
    trained, processor = MODALITIES[task.kind].load(made)
    model, first = MODALITIES[task.kind].create(backbone, task.label_names("mini"), {}, 0)
    known = {bits(weight) for weight in weights.values()}
    assert {name for name, weight in model.named_parameters() if bits(weight) not in known} == FRESH[backbone]
    assert {weight.dtype for weight in (*model.parameters(), *trained.parameters())} == {torch.float32}
    moved = [n for n, weight in trained.named_parameters() if not torch.equal(weight, model.get_parameter(n))]
    assert moved
    if task.labels:
        assert tuple(trained.config.id2label.values()) == task.label_names("mini")
    rows = load_task(task.key, data=tmp_path / "mu-bench")["test"]
    recipe = task.recipes[backbone]
    modality = MODALITIES[task.kind].for_recipe(recipe)
    items = [modality.encode(rows, one, recipe.max_length)[0] for one in (first, processor)]
    assert all(np.array_equal(items[0][name], items[1][name]) for name in items[0])
    assert not converted
