"""Memory of a step by its formula beside what small models really hold, tensor by tensor."""

import dataclasses
import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MixtralConfig,
    Qwen3Config,
    Qwen3ForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from mubench.trainers import FinetuneArguments, FinetuneTrainer, NpoArguments, NpoTrainer
from mubench.trainers.models.memory import ModelShape, StepPlan, step_bytes, step_seconds
from mubench.trainers.models.modalities.pretrained import LoadOptions
from mubench.trainers.unlearning.teachers import frozen_copy, frozen_logits
from tests.fixtures.memory import MemoryCounter

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


def trainer_of(name, plan, folder, *, steps=2):
    """Return a trainer of some steps: `npo` where the plan has a teacher, on half forget and half retain rows."""
    model = make(name)
    dtype = "bfloat16" if plan.weight_bytes == 2 else "float32"
    LoadOptions(dtype=getattr(torch, dtype)).apply(model)
    ids = torch.randint(3, model.config.vocab_size, (steps * plan.rows, TOKENS))
    rows = [{"input_ids": one, "attention_mask": torch.ones_like(one), "labels": one} for one in ids]
    kind, arguments = (NpoTrainer, NpoArguments) if plan.teacher else (FinetuneTrainer, FinetuneArguments)
    forget = len(rows) // 2 if plan.teacher else 0
    args = arguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=plan.rows // (1 + plan.teacher),
        dtype=dtype, lora_rank=plan.lora_rank, gradient_checkpointing=plan.checkpointing, optim="adamw_torch_fused",
        save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    return kind(model, args, train_dataset={"forget": rows[:forget], "retain": rows[forget:]})


def measured(name, plan, folder):
    """Return the most bytes that two steps of a method hold at once."""
    trainer = trainer_of(name, plan, folder)
    with MemoryCounter(trainer.model) as counter:
        trainer.train()
    return counter.peak


def products(counter):
    """Return the operations of products with weights; how attention is counted depends on its kernel."""
    return counter.get_flop_counts()["Global"][torch.ops.aten.mm]


@pytest.mark.parametrize("name", MODELS)
def test_a_shape_has_the_parameters_of_the_model(name):
    model = make(name)
    shape = ModelShape.of(model.config)
    width = model.config.hidden_size // 4 if name != "qwen3" else model.config.head_dim
    norms = 2 * width * shape.layers if shape.qk_norm else 0
    assert shape.parameters + norms == sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("kind", [MistralConfig, Gemma3TextConfig, MixtralConfig])
def test_configs_of_other_types_are_refused(kind):
    with pytest.raises(ValueError, match=f"^expected a config of llama, qwen3, smollm3, got {kind.model_type}$"):
        ModelShape.of(kind())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "plan"), [*itertools.product(MODELS, PLANS)], ids=str)
def test_memory_is_within_15_percent_of_what_a_small_model_holds(name, plan, tmp_path):
    ratio = step_bytes(ModelShape.of(make(name).config), plan) / measured(name, plan, tmp_path)
    assert 0.85 < ratio < 1.15


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "options", [{}, {"checkpointing": True}, {"weight_bytes": 2, "checkpointing": True, "lora_rank": 4}], ids=str
)
def test_npo_holds_75_to_115_percent_at_all_rows_that_it_reads(name, options, tmp_path):
    plan = StepPlan(rows=16, tokens=TOKENS, teacher=True, **options)
    ratio = measured(name, plan, tmp_path) / step_bytes(ModelShape.of(make(name).config), plan)
    assert 0.75 < ratio < 1.15


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("options", [{}, {"lora_rank": 1}, {"checkpointing": True}], ids=str)
def test_a_step_takes_the_products_that_are_counted(name, options, tmp_path):
    plan = StepPlan(rows=2, tokens=TOKENS, **options)
    trainer = trainer_of(name, plan, tmp_path, steps=1)
    with FlopCounterMode(display=False) as counter:
        trainer.train()
    seconds = step_seconds(ModelShape.of(make(name).config), plan, rate=1.0)
    assert seconds == pytest.approx(products(counter), rel=0.1)


@pytest.mark.parametrize("lora_rank", [None, 1])
def test_a_teacher_adds_the_products_of_its_forward_pass(lora_rank, tmp_path):
    plan = StepPlan(rows=2, tokens=TOKENS, lora_rank=lora_rank)
    teacher = frozen_copy(trainer_of("qwen3", plan, tmp_path).model)
    with FlopCounterMode(display=False) as counter:
        frozen_logits(teacher, {"input_ids": torch.full((plan.rows, TOKENS), 3)})
    shape = ModelShape.of(make("qwen3").config)
    seconds = [step_seconds(shape, dataclasses.replace(plan, teacher=taught), rate=1.0) for taught in (False, True)]
    assert seconds[1] - seconds[0] == products(counter)


def test_gpus_share_rows_and_teachers_are_weights():
    shape, plan = ModelShape.of(make("llama").config), StepPlan(rows=16, tokens=256, weight_bytes=2)
    taught, shared = dataclasses.replace(plan, teacher=True), dataclasses.replace(plan, gpus=8)
    teacher = frozen_copy(make("llama").to(torch.bfloat16))
    held = sum(weight.nbytes for weight in teacher.parameters())
    assert step_bytes(shape, taught) - step_bytes(shape, plan) == held
    assert step_seconds(shape, shared, rate=1.0) == step_seconds(shape, plan, rate=1.0) / 8
    adapters = dataclasses.replace(plan, lora_rank=8)
    assert step_bytes(shape, dataclasses.replace(adapters, teacher=True)) == step_bytes(shape, adapters)
    assert step_bytes(shape, shared) < step_bytes(shape, plan)
