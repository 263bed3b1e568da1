"""LoRA: frozen weights stay, merged models have the outputs of adapted ones, and teachers need no copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from mubench.hub_builders.hub.model_folder import read_run
from mubench.trainers.engine import task_trainer as training
from mubench.trainers.engine.parameters import add_adapters, layers_to_adapt, merge_adapters
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.methods import METHODS
from mubench.trainers.models.base_models import train_base
from mubench.trainers.runs.plan import UnlearningRequest, resolve
from mubench.trainers.runs.run import unlearn
from mubench.trainers.sweeps.jobs import QUIET
from mubench.trainers.unlearning import teachers
from mubench.trainers.unlearning.cost_counter import CostCounter
from mubench.trainers.unlearning.teachers import WithoutAdapters, frozen_copy, frozen_logits
from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer
from tests.fixtures import toy
from tests.fixtures.few import RATIO, few_rows

LORA: dict[str, Any] = {"lora_rank": 2, "lora_alpha": 8.0}
# Convolutions, linear layers, and GPT-2's own kind of linear layer.
NAMES = ("resnet", "vit", "gpt2")
DECAYED: dict[str, Any] = {"optim": "adamw_torch", "weight_decay": 0.1, "learning_rate": 0.01}


def logits(model: torch.nn.Module, name: str) -> torch.Tensor:
    return frozen_logits(model.eval(), {**toy.collator(name)(toy.rows(name)), "index": torch.arange(toy.ROWS)})


def adapted(name: str, **changes: Any) -> PeftModel:
    args = TaskArguments(output_dir="", use_cpu=True, **LORA)
    model = add_adapters(toy.build(name, **changes), args, seed=0)
    assert isinstance(model, PeftModel)
    return model


@pytest.mark.parametrize("name", NAMES)
def test_only_adapters_and_head_move(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = toy.build(name)
    before = toy.snapshot(model)
    flags = {key: weight.requires_grad for key, weight in model.named_parameters()}
    found: dict[str, Any] = {}

    def recorded(trained: torch.nn.Module) -> torch.nn.Module:
        found["frozen"] = {key: w.detach().clone() for key, w in trained.named_parameters() if not w.requires_grad}
        found["logits"] = logits(trained, name)
        return merge_adapters(trained)

    monkeypatch.setattr(training, "merge_adapters", recorded)
    trainer = toy.task_trainer(model, toy.rows(name), tmp_path, **LORA, **DECAYED)
    trainer.data_collator = toy.collator(name)
    trainer.train()
    for key, weight in found["frozen"].items():
        plain = key.removeprefix("base_model.model.").replace(".base_layer.", ".").replace(".original_module.", ".")
        assert torch.equal(weight, before[plain]), key
    assert trainer.model is model
    assert {key: weight.requires_grad for key, weight in model.named_parameters()} == flags
    assert model.state_dict().keys() == before.keys()
    assert torch.allclose(logits(model, name), found["logits"], atol=1e-5)
    moved = {key for key, weight in model.state_dict().items() if not torch.equal(weight, before[key])}
    fresh = toy.build(name)
    weights = {f"{layer}.weight" for layer in layers_to_adapt(fresh)}
    head = {key for key in before if key.startswith("classifier")}
    assert moved == weights | head
    assert any(isinstance(fresh.get_submodule(key.removesuffix(".weight")), torch.nn.Conv2d) for key in weights) == (
        name == "resnet"
    )


@pytest.mark.parametrize("name", NAMES)
def test_an_adapted_model_starts_with_the_outputs_of_the_model(name: str) -> None:
    plain = logits(toy.build(name), name)
    model = adapted(name)
    assert torch.allclose(logits(model, name), plain, atol=1e-6)
    state = torch.get_rng_state()
    other = adapted(name)
    assert torch.equal(torch.get_rng_state(), state)
    assert toy.same(model, toy.snapshot(other))


def test_a_teacher_without_adapters_is_as_good_as_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = toy.trained("bad_teaching", "vit", tmp_path, **LORA)
    monkeypatch.setattr(teachers, "adapters_are_zero", lambda _: False)
    copied = toy.trained("bad_teaching", "vit", tmp_path, **LORA)
    assert toy.distance(shared, toy.snapshot(toy.build("vit"))) > 1e-4
    assert toy.distance(shared, toy.snapshot(copied)) < 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_a_teacher_keeps_the_outputs_of_the_model_before_training(name: str) -> None:
    model = adapted(name, coupled=True)
    before = logits(model, name)
    teacher = frozen_copy(model)
    assert isinstance(teacher, WithoutAdapters) == (name != "resnet")
    assert not list(teacher.parameters()) or name == "resnet"
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if weight.requires_grad:
                weight.add_(0.1)
                assert "lora_" in key or "modules_to_save" in key
    model.train()
    modes = [module.training for module in model.modules()]
    assert torch.allclose(logits(teacher, name), before, atol=1e-6)
    assert [module.training for module in model.modules()] == modes
    assert not torch.allclose(logits(model, name), before, atol=1e-2)
    assert not isinstance(frozen_copy(model), WithoutAdapters)  # the adapters change the outputs now


def test_lora_costs_the_examples_that_every_weight_costs(tmp_path: Path) -> None:
    counts = []
    for options in ({}, LORA):
        trainer = toy.trainer("scrub", toy.build("vit"), toy.split_rows(toy.rows("vit")), tmp_path, **options)
        with CostCounter(trainer) as cost:
            trainer.train()
        counts.append((dict(cost.forward), dict(cost.backward)))
    assert counts[0] == counts[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_a_resumed_run_is_the_uninterrupted_one(name: str, tmp_path: Path) -> None:
    options = {"save_strategy": "steps", "save_steps": 2, "num_train_epochs": 3, **DECAYED, **LORA}

    def run(folder: Path) -> Any:
        model = toy.build(name, dropout=0.2, coupled=True)
        return toy.task_trainer(model, toy.rows(name), folder, lora_dropout=0.1, **options)

    toy.check_resume(run, tmp_path, lambda _: 5)


# Methods that refuse adapters, and of the others one for every kind of model, of phases and of teachers.
FAST = {key for key in METHODS if METHODS[key].per_weight or METHODS[key].edit is not UnlearningTrainer.edit}
FAST |= {"finetune", "scrub", "bad_teaching", "npo", "altpo", "esd", "l1_sparse", "random_label"}


@pytest.mark.parametrize(
    "method", [pytest.param(key, marks=() if key in FAST else pytest.mark.slow) for key in METHODS]
)
def test_every_method_trains_adapters_or_refuses_them(method: str, tmp_path: Path) -> None:
    name = toy.name_for(method)
    if METHODS[method].per_weight or METHODS[method].edit is not UnlearningTrainer.edit:
        with pytest.raises(ValueError, match="expected no lora_rank, since"):
            toy.trained(method, name, tmp_path, num_train_epochs=1, **LORA)
        return
    model = toy.trained(method, name, tmp_path, num_train_epochs=1, **LORA)
    before = toy.snapshot(toy.build(name))
    moved = {key for key, weight in model.state_dict().items() if not torch.equal(weight, before[key])}
    fresh = toy.build(name)
    head = {key for key in before if key.startswith("classifier")}
    assert moved
    assert moved <= {f"{layer}.weight" for layer in layers_to_adapt(fresh)} | head


class Edited(METHODS["neg_grad"]):  # type: ignore[name-defined, misc]
    def edit(self, model: torch.nn.Module) -> None:
        raise AssertionError


@pytest.mark.parametrize("method", ["salun", Edited])
def test_methods_of_single_weights_refuse_lora(method: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected no lora_rank, since (SalunTrainer|Edited) works on weights"):
        toy.trainer(method, toy.build("vit"), toy.split_rows(toy.rows("vit")), tmp_path, **LORA)


@pytest.mark.parametrize(
    ("given", "message"),
    [({"lora_rank": 0}, "lora_rank must be 1 or more, got 0"),
     ({"lora_alpha": 8}, "expected lora_rank beside lora_alpha, got none"),
     ({"lora_rank": 2, "lora_dropout": 1.0}, r"lora_dropout must lie in \[0, 1\), got 1.0")],
)  # fmt: skip
def test_invalid_lora_arguments_are_refused(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        TaskArguments(**toy.settings(tmp_path, **given))


def test_unknown_targets_are_refused(tmp_path: Path) -> None:
    model = toy.build("vit")
    assert len(layers_to_adapt(model, ["q_proj", "v_proj"])) == 2
    with pytest.raises(
        ValueError, match=r"expected lora_targets among .* ViTForImageClassification, got none for query$"
    ):
        toy.task_trainer(model, toy.rows("vit"), tmp_path, lora_rank=2, lora_targets=["query"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "backbone",
    ["resnet", "mobilenet", "vit", "bert", "deberta", "vilt", "wav2vec2", "whisper", "videomae", "t5", "bart",
     "llama", "gpt2", pytest.param("unet", marks=pytest.mark.nightly)],
)  # fmt: skip
def test_every_kind_of_model_is_trained_and_unlearned_with_lora(
    backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting, models = few_rows(monkeypatch, backbone, tmp_path, epochs=1), tmp_path / "models"
    base = train_base(setting, 0, models=models, **QUIET, **LORA)
    assert read_run(base).arguments == {**LORA, "lora_dropout": 0.0, "lora_targets": None}
    if backbone == "resnet":
        assert base.name != train_base(setting, 0, models=models, **QUIET).name
    fresh, _ = setting.fresh_model(0)
    model, _ = setting.modality.load(base)
    assert model.state_dict().keys() == fresh.state_dict().keys()
    arguments = {**QUIET, **LORA, "num_train_epochs": 1, "msteps": 1}
    request = UnlearningRequest(
        setting=setting, method="scrub", ratio=RATIO, models=models, arguments=arguments, base=base
    )
    folder = unlearn(resolve(request))
    assert {**read_run(folder).arguments, **LORA} == read_run(folder).arguments
    other, _ = setting.modality.load(folder)
    assert toy.distance(other, toy.snapshot(model)) > 0
