"""Large models: the type of weights, the kernel of attention, 4 bits, and optimizers with small states."""

import importlib.util
from importlib.util import find_spec

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from mubench.cards.console import main as mubench
from mubench.hub_builders.hub.model_folder import read_runs
from mubench.trainers import NpoArguments, NpoTrainer
from mubench.trainers.engine import task_arguments
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.models.base_models import train_base
from mubench.trainers.models.modalities.pretrained import LoadOptions
from mubench.trainers.models.setting import load_setting
from mubench.trainers.runs.plan import UnlearningRequest, resolve
from mubench.trainers.runs.run import starting_model, unlearn
from tests.fixtures import toy
from tests.fixtures.chat import chat_model, chat_tokenizer
from tests.fixtures.few import few_rows
from tests.fixtures.pretrained import known

__all__ = ["known"]
BFLOAT16 = LoadOptions(dtype=torch.bfloat16)
NO_PACKAGE = r"^expected the package bitsandbytes to .*, got none: pip install bitsandbytes$"
MATRIX = "model.layers.0.mlp.up_proj.weight"
QUANTIZED = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="needs bitsandbytes")


def dtypes(model):
    return {weight.dtype for weight in model.parameters()}


@pytest.fixture
def setting(tmp_path, monkeypatch):
    """A few rows of a mini task of prompts and answers."""
    return few_rows(monkeypatch, "llama", tmp_path)


def request(setting, models, **arguments):
    arguments = {"max_steps": 2, "save_strategy": "no", "disable_tqdm": True, **arguments}
    return UnlearningRequest(setting=setting, method="npo", ratio=10, arguments=arguments, models=models)


@pytest.mark.parametrize("folder", [False, True])
def test_weights_are_loaded_in_a_type_and_buffers_keep_theirs(setting, tmp_path, folder):
    model, processor = setting.fresh_model(0)
    if folder:
        for part in (model, processor):
            part.save_pretrained(tmp_path / "saved")
        loaded, _ = setting.load_foreign(tmp_path / "saved", BFLOAT16)
    else:
        loaded, _ = setting.fresh_model(0, BFLOAT16)
    assert dtypes(loaded) == {torch.bfloat16} and dtypes(model) == {torch.float32}
    assert {buffer.dtype for buffer in loaded.buffers()} == {torch.float32}  # frequencies of positions
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight.bfloat16())


def test_a_kernel_of_attention_is_that_of_the_model_and_an_unknown_one_is_refused(setting):
    model, _ = setting.fresh_model(0)
    eager, _ = setting.fresh_model(0, LoadOptions(attn_implementation="eager"))
    assert (model.config._attn_implementation, eager.config._attn_implementation) == ("sdpa", "eager")
    with pytest.raises(ValueError, match="expected an attn_implementation of LlamaForCausalLM, got fast: ") as error:
        setting.fresh_model(0, LoadOptions(attn_implementation="fast"))
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_run_in_bfloat16_has_teachers_of_that_type_and_records_it(setting, tmp_path, monkeypatch):
    models = tmp_path / "models"
    train_base(setting, 0, models=models, save_strategy="no", disable_tqdm=True)
    teachers = []
    prepare = NpoTrainer.prepare
    kept = lambda self: (prepare(self), teachers.append(self.teachers["original"]))[0]  # noqa: E731
    monkeypatch.setattr(NpoTrainer, "prepare", kept)
    plain = resolve(request(setting, models))
    large = resolve(request(setting, models, dtype="bfloat16", attn_implementation="eager"))
    assert not {*task_arguments.SIZE} & plain.run.arguments.keys()
    assert (large.run.arguments["dtype"], large.run.arguments["attn_implementation"]) == ("bfloat16", "eager")
    assert plain.folder != large.folder and plain.run.identity != large.run.identity
    folder = unlearn(large)
    assert {weight.dtype for weight in load_file(folder / "model.safetensors").values()} == {torch.bfloat16}
    assert dtypes(teachers[0]) == {torch.bfloat16}
    assert dtypes(starting_model(plain)[0]) == {torch.float32}
    assert dtypes(setting.load(folder)[0]) == {torch.bfloat16}  # as it is stored


@pytest.mark.slow
def test_base_models_record_it_in_their_name_and_share_no_folder(setting, tmp_path):
    common = {"models": tmp_path, "save_strategy": "no", "disable_tqdm": True}
    folder = train_base(setting, 0, dtype="bfloat16", **common)
    assert folder.name != train_base(setting, 0, **common).name
    (run,) = [run for path, run in read_runs(tmp_path).items() if path == folder]
    assert run.arguments == {"dtype": "bfloat16"}
    assert {weight.dtype for weight in load_file(folder / "model.safetensors").values()} == {torch.bfloat16}


@pytest.mark.slow
def test_checkpointing_changes_no_weight_beside_adapters_in_any_type(setting, tmp_path):
    for dtype in ("float32", "bfloat16"):
        found = []
        for number, sparing in enumerate((False, True)):
            model, processor = setting.fresh_model(0, LoadOptions(dtype=getattr(torch, dtype)))
            args = NpoArguments(
                output_dir=str(tmp_path / f"{dtype}{number}"), max_steps=3, lora_rank=2, learning_rate=1e-2,
                dtype=dtype, gradient_checkpointing=sparing, save_strategy="no", report_to="none", disable_tqdm=True,
            )  # fmt: skip
            trainer = NpoTrainer(
                model, args, train_dataset=setting.forget_retain_sets(10, processor),
                data_collator=setting.modality.collator(processor), processing_class=processor,
            )  # fmt: skip
            assert isinstance(trainer.model, PeftModel)
            trainer.train()
            assert trainer.model.is_gradient_checkpointing == sparing
            assert dtypes(trainer.model) == {getattr(torch, dtype)}
            found.append(trainer.model.state_dict())
        fresh = setting.fresh_model(0)[0].state_dict()
        assert not torch.equal(found[0][MATRIX], fresh[MATRIX].to(found[0][MATRIX]))
        assert all(torch.allclose(one, found[1][name], atol=1e-6) for name, one in found[0].items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float16"}, "dtype must be one of float32, bfloat16, got 'float16'"),
        ({"load_in_4bit": True}, "expected lora_rank beside load_in_4bit"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TaskArguments(**options)


@pytest.mark.parametrize(
    "options", [{"load_in_4bit": True, "lora_rank": 2}, {"optim": "paged_adamw_8bit"}, {"optim": "adamw_8bit"}]
)
def test_what_takes_bitsandbytes_is_one_line_where_that_is_not_installed(options, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=NO_PACKAGE):
        TaskArguments(**options)
    TaskArguments(optim="adamw_torch")


def test_images_have_no_such_options(tmp_path, monkeypatch):
    setting = few_rows(monkeypatch, "resnet", tmp_path)
    with pytest.raises(ValueError, match=r"expected dtype for text_classification, .* alone, got image_class"):
        train_base(setting, 0, models=tmp_path, dtype="bfloat16")


def test_a_model_that_was_loaded_in_another_way_is_refused_by_its_trainer(tmp_path):
    rows = toy.rows("gpt2")
    args = NpoArguments(output_dir=str(tmp_path), dtype="bfloat16", report_to="none")
    with pytest.raises(ValueError, match="loaded with dtype bfloat16, got one with float32"):
        NpoTrainer(toy.build("gpt2"), args, train_dataset={"forget": rows[:4], "retain": rows[4:]})


@QUANTIZED
def test_adapters_of_4_bits_are_merged_into_plain_weights(setting, tmp_path, known):
    """The whole run: base in 4 bits, adapters trained, a plain folder of the type that 4 bits are computed in."""
    tokenizer = chat_tokenizer("chatml")
    model = chat_model(tokenizer, width=64)  # blocks of 64 weights share a scale
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "tiny")
    assert mubench(["base", *place(setting, tmp_path), f"--backbone={tmp_path / 'tiny'}"]) == 0
    (key,) = known
    own = load_setting(setting.task.key, key, data=setting.data)
    plan = resolve(request(own, tmp_path / "models", load_in_4bit=True, lora_rank=2, dtype="bfloat16"))
    assert plan.run.arguments["load_in_4bit"] is True
    start, _ = starting_model(plan)
    assert start.is_loaded_in_4bit and {torch.uint8} < dtypes(start)
    stored = load_file(unlearn(plan) / "model.safetensors")
    assert {weight.dtype for weight in stored.values()} == {torch.bfloat16}
    before = load_file(plan.base_folder / "model.safetensors")
    assert stored.keys() == before.keys()
    change = (stored[MATRIX].float() - before[MATRIX]).abs()
    assert 0 < change.max() < before[MATRIX].abs().max()  # rounded to 16 levels, but the same weights
    assert own.load(plan.folder)[0].config.to_dict().get("quantization_config") is None


def place(setting, folder):
    return [
        f"--task={setting.task.key}",
        f"--data={setting.data}",
        f"--models={folder / 'models'}",
        "--disable_tqdm=true",
    ]
