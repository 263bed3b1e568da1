"""Memory of a step by its formula beside what small models really hold, tensor by tensor."""

import dataclasses
import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from mubench.hub_builders.utils.tables import markdown_table
from mubench.trainers import FinetuneArguments, FinetuneTrainer
from mubench.trainers.models.memory import PLANS as TABLE_PLANS
from mubench.trainers.models.memory import SIZES, ModelShape, StepPlan, memory_table, step_bytes, step_seconds
from mubench.trainers.models.modalities.pretrained import LoadOptions
from tests.fixtures.memory import MemoryCounter
from tests.pages import page

SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 256}
MODELS = {
    "llama": (LlamaForCausalLM, LlamaConfig, {
        "vocab_size": 800, "hidden_size": 96, "num_hidden_layers": 5, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 256, "tie_word_embeddings": True}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {
        "vocab_size": 1500, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 192, "tie_word_embeddings": True}),
    "smollm3": (SmolLM3ForCausalLM, SmolLM3Config, {
        "vocab_size": 300, "hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 4, "intermediate_size": 448, "tie_word_embeddings": False}),
}  # fmt: skip
TOKENS = 64
PLANS = [
    StepPlan(rows=rows, tokens=TOKENS, **options)
    for rows in (1, 16)
    for options in (
        {},
        {"checkpointing": True},
        {"weight_bytes": 2},
        {"lora_rank": 4},
        {"lora_rank": 4, "weight_bytes": 2},
        {"lora_rank": 4, "weight_bytes": 2, "checkpointing": True},
    )
]


def make(name):
    kind, config, fields = MODELS[name]
    torch.manual_seed(0)
    return kind(config(**fields, **SPECIAL))


def measured(name, plan, folder):
    """Return the most bytes that two steps of a method hold at once."""
    model = make(name)
    dtype = "bfloat16" if plan.weight_bytes == 2 else "float32"
    LoadOptions(dtype=getattr(torch, dtype)).apply(model)
    ids = torch.randint(3, model.config.vocab_size, (2 * plan.rows, TOKENS))
    rows = [{"input_ids": one, "attention_mask": torch.ones_like(one), "labels": one} for one in ids]
    args = FinetuneArguments(
        output_dir=str(folder), max_steps=2, per_device_train_batch_size=plan.rows, dtype=dtype,
        lora_rank=plan.lora_rank, gradient_checkpointing=plan.checkpointing, optim="adamw_torch_fused",
        save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    trainer = FinetuneTrainer(model, args, train_dataset={"forget": rows[:0], "retain": rows})
    with MemoryCounter(trainer.model) as counter:
        super(FinetuneTrainer, trainer).train()
    return counter.peak


@pytest.mark.parametrize("name", MODELS)
def test_a_shape_has_the_parameters_of_the_model(name):
    model = make(name)
    shape = ModelShape.of(model.config)
    width = model.config.hidden_size // 4 if name != "qwen3" else model.config.head_dim
    norms = 2 * width * shape.layers if shape.qk_norm else 0
    assert shape.parameters + norms == sum(weight.numel() for weight in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "plan"), [*itertools.product(MODELS, PLANS)], ids=str)
def test_memory_is_within_15_percent_of_what_a_small_model_holds(name, plan, tmp_path):
    ratio = step_bytes(ModelShape.of(make(name).config), plan) / measured(name, plan, tmp_path)
    assert 0.85 < ratio < 1.15


@pytest.mark.parametrize(("options", "passes"), [({}, 3), ({"lora_rank": 1}, 2), ({"checkpointing": True}, 4)])
def test_a_step_takes_the_operations_that_are_counted(options, passes):
    """Forward, and back to activations and weights, are counted on a whole model; the others are parts of these."""
    model = make("qwen3")
    ids = torch.randint(3, model.config.vocab_size, (2, TOKENS))
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=ids).loss.backward()
    plan = StepPlan(rows=2, tokens=TOKENS, **options)
    seconds = step_seconds(ModelShape.of(model.config), plan, rate=1.0)
    assert seconds == pytest.approx(counter.get_total_flops() * passes / 3, rel=0.15)


def test_gpus_share_rows_and_teachers_are_weights():
    shape, plan = SIZES["1 B"], StepPlan(rows=16, tokens=256, weight_bytes=2)
    taught, shared = dataclasses.replace(plan, teacher=True), dataclasses.replace(plan, gpus=8)
    assert step_bytes(shape, taught) - step_bytes(shape, plan) == 2 * shape.parameters
    assert step_seconds(shape, shared, rate=1.0) == step_seconds(shape, plan, rate=1.0) / 8
    adapters = dataclasses.replace(plan, lora_rank=8)
    assert step_bytes(shape, dataclasses.replace(adapters, teacher=True)) == step_bytes(shape, adapters)
    assert step_bytes(shape, shared) < step_bytes(shape, plan)


def test_the_page_has_the_table():
    assert [round(shape.parameters / 1e9, 2) for shape in SIZES.values()] == [1.24, 3.21, 6.74]
    head, *rows = memory_table()
    table = markdown_table(head, rows, left=range(len(head)))
    assert len(rows) == len(SIZES) * len(TABLE_PLANS) and f"\n{table}" in page("language_models")
