"""CF-k and EU-k: everything before the cut stays bit for bit, statistics included, and the rest is trained anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mubench.trainers.tools.blocks import split_before
from tests.fixtures import toy
from tests.fixtures.method_steps import on_every_model

ADAMW = {"optim": "adamw_torch", "weight_decay": 0.1, "learning_rate": 0.01}


def moved(name: str, method: str, folder: Path, *, dropout: float = 0.1, **changes: Any) -> tuple[Any, set[str]]:
    """Return a trained model and the names of the weights and buffers that differ."""
    model = toy.build(name, dropout=dropout, coupled=True)
    before = toy.snapshot(model)
    toy.trainer(method, model, toy.split_rows(toy.rows(name)), folder, **ADAMW, **changes).train()
    return model, {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}


@pytest.mark.parametrize(("method", "name"), on_every_model(("cf_k", "eu_k", "cf_k")))
def test_weights_before_the_cut_stay_bit_for_bit_and_those_after_it_change(
    method: str, name: str, tmp_path: Path
) -> None:
    model, found = moved(name, method, tmp_path)
    split = split_before(model, 1)
    assert not found & split.frozen.keys()
    assert set(split.last) <= found
    assert all(weight.requires_grad for weight in model.parameters())
    buffers = {key for key, _ in model.named_buffers()} & found
    assert buffers == ({key for key in split.buffers if "running" in key or "num_batches" in key})


def test_the_head_alone_is_trained_where_k_is_0(tmp_path: Path) -> None:
    _, found = moved("resnet", "cf_k", tmp_path, k=0)
    assert found == {"classifier.1.weight", "classifier.1.bias"}


def test_with_all_blocks_the_first_step_is_fine_tuning_after_the_embedding(tmp_path: Path) -> None:
    name, trained = "resnet", {}
    for method, options in (("finetune", {}), ("cf_k", {"k": 2})):
        model = toy.build(name)
        toy.trainer(method, model, toy.split_rows(toy.rows(name)), tmp_path, max_steps=1, **options).train()
        trained[method] = model
    last = split_before(trained["cf_k"], 2).last
    weights = dict(trained["finetune"].named_parameters())
    assert last and all(torch.allclose(value, weights[key], atol=1e-7) for key, value in last.items())


@pytest.mark.parametrize(("_", "name"), on_every_model(["eu_k"]))
def test_eu_k_reinitialises_everything_after_the_cut(_: str, name: str, tmp_path: Path) -> None:
    model = toy.build(name)
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            if value.is_floating_point():
                value.add_(0.3)
    before = toy.snapshot(model)
    runs = []
    for seed in (1, 1, 2):
        model.load_state_dict(before)
        trainer = toy.trainer("eu_k", model, toy.split_rows(toy.rows(name)), tmp_path, seed=seed)
        torch.manual_seed(seed + len(runs))
        trainer.prepare()
        runs.append(toy.snapshot(model))
    fresh = [*trainer.split.last, *(key for key in trainer.split.buffers if "running" in key)]
    assert not any(torch.equal(runs[0][key], before[key]) for key in fresh)
    assert all(torch.equal(runs[0][key], before[key]) for key in trainer.split.frozen)
    assert all(torch.equal(runs[0][key], runs[1][key]) for key in before)
    assert any(not torch.equal(runs[0][key], runs[2][key]) for key in fresh)


def test_a_plain_model_needs_a_fresh_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected fresh= for a plain Stack, which cannot be reinitialised, got none"):
        toy.trainer("eu_k", toy.Stack(), toy.split_rows(toy.table_rows()), tmp_path)


def test_a_model_without_blocks_or_with_too_few_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a list of blocks .* in Table, got none"):
        toy.trainer("cf_k", toy.Table(), toy.split_rows(toy.table_rows()), tmp_path).train()
    with pytest.raises(ValueError, match=r"k must be 0 to 1, the blocks of vit.*, got 5"):
        toy.trained("cf_k", "vit", tmp_path, k=5)


def test_the_list_of_blocks_can_be_named(tmp_path: Path) -> None:
    _, found = moved("t5", "cf_k", tmp_path, blocks="encoder.block", k=0)
    assert not any(key.startswith("encoder.block") for key in found)
    assert any(key.startswith("decoder.block") for key in found) and "encoder.final_layer_norm.weight" in found
