"""The cut between the blocks of a model, on every architecture of the suite."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from mubench.trainers.tools.blocks import block_list, split_before
from tests.fixtures import toy

SMALL = {
    "vocab_size": 20, "hidden_size": 8, "n_embd": 8, "d_model": 8, "num_hidden_layers": 2, "n_layer": 2,
    "num_layers": 2, "num_attention_heads": 2, "n_head": 2, "num_heads": 2, "intermediate_size": 8, "d_ff": 8,
    "d_kv": 4,
    "num_key_value_heads": 2, "embedding_size": 8, "max_position_embeddings": 8, "n_positions": 8,
    "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 0,
}  # fmt: skip
LISTS = {
    "gpt2": (AutoModelForCausalLM, "transformer.h"),
    "llama": (AutoModelForCausalLM, "model.layers"),
    "t5": (AutoModelForSeq2SeqLM, "decoder.block"),
    "bart": (AutoModelForSeq2SeqLM, "model.decoder.layers"),
    "distilbert": (AutoModel, "transformer.layer"),
}


def small(kind: str, auto: Any) -> torch.nn.Module:
    config = AutoConfig.for_model(kind)
    known = {key: value for key, value in SMALL.items() if hasattr(config, key)}
    config.update({**known, "dim": 8, "hidden_dim": 8} if kind == "distilbert" else known)
    model: torch.nn.Module = auto.from_config(config)
    return model


@pytest.mark.parametrize("kind", LISTS)
def test_the_blocks_are_those_of_the_last_list(kind: str) -> None:
    auto, name = LISTS[kind]
    listed, blocks = block_list(small(kind, auto))
    assert listed == name
    assert blocks[-1].startswith(f"{name}.") and len(blocks) > 1


@pytest.mark.parametrize(("name", "listed", "head"), [
    ("resnet", "resnet.encoder.stages", {"classifier.1.weight", "classifier.1.bias"}),
    ("bert", "bert.encoder.layer", {
        "bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"}),
])  # fmt: skip
def test_every_weight_is_before_or_after_the_cut(name: str, listed: str, head: set[str]) -> None:
    model = toy.build(name)
    found, blocks = block_list(model)
    assert found == listed
    for k in range(len(blocks) + 1):
        split = split_before(model, k)
        assert {**split.frozen, **split.last}.keys() == dict(model.named_parameters()).keys()
        kept = {key for block in blocks[len(blocks) - k :] for key in split.last if key.startswith(f"{block}.")}
        assert split.last.keys() == head | kept
        assert not any(key.startswith(f"{block}.") for block in blocks[len(blocks) - k :] for key in split.frozen)


def test_the_buffers_after_the_cut_are_those_of_the_last_blocks() -> None:
    model = toy.build("resnet")
    assert all(name.startswith("resnet.encoder.stages.1.") for name in split_before(model, 1).buffers)
    assert len(split_before(model, 1).buffers) > 0
    assert split_before(model, 0).buffers == []


def test_a_shared_weight_belongs_before_the_cut() -> None:
    model = small("gpt2", AutoModelForCausalLM)
    split = split_before(model, 1)
    assert "transformer.wte.weight" in split.frozen and not any("lm_head" in key for key in split.last)
    assert {key.split(".")[1] for key in split.last} == {"h", "ln_f"}


def test_only_the_modules_before_the_cut_are_in_eval_mode() -> None:
    model = toy.build("resnet", coupled=True)
    split_before(model, 1).set_eval()
    modes = {name: module.training for name, module in model.named_modules()}
    assert modes["resnet.encoder.stages.1"] and modes["classifier.1"]
    assert not modes["resnet.embedder"] and not modes["resnet.encoder.stages.0"]
    inside = [mode for name, mode in modes.items() if name.startswith("resnet.encoder.stages.1.")]
    assert len(inside) > 3 and all(inside)


def test_the_blocks_of_a_plain_model_are_its_layers_with_weights() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 4))
    assert block_list(model) == ("", ["0", "2"])
    assert split_before(model, 1).last.keys() == {"2.weight", "2.bias"}
    assert split_before(model, 0).last == {}


def test_a_named_list_must_be_a_list() -> None:
    model = small("t5", AutoModelForSeq2SeqLM)
    assert block_list(model, "encoder.block")[1] == ["encoder.block.0", "encoder.block.1"]
    with pytest.raises(ValueError, match=r"expected a list of blocks .* called encoder in T5ForCond.*, got none"):
        block_list(model, "encoder")
    with pytest.raises(ValueError, match=r"expected a list of blocks \(.*\) in Table, got none"):
        block_list(toy.Table())


@pytest.mark.parametrize("k", [-1, 3])
def test_k_is_at_most_the_number_of_blocks(k: int) -> None:
    with pytest.raises(ValueError, match=rf"k must be 0 to 2, the blocks of resnet.encoder.stages, got {k}"):
        split_before(toy.build("resnet"), k)
