"""Base models: trained once by the recipe, with run and outputs."""

import json
import shlex
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mubench.hub_builders.hub.model_folder import read_run, remake_command
from mubench.hub_builders.tasks import TASKS, Recipe
from mubench.hub_builders.tasks.own_backbones import OWN, OwnBackbone
from mubench.trainers.engine.distributed import step_arguments
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.engine.task_trainer import TaskTrainer
from mubench.trainers.inference.storage import outputs_by_split, read_outputs
from mubench.trainers.models import base_models
from mubench.trainers.models import setting as setting_module
from mubench.trainers.models.base_models import environment, predict_splits, recipe_arguments, train_base
from mubench.trainers.models.setting import load_setting
from mubench.trainers.runs.plan import UnlearningRequest, resolve
from mubench.trainers.sweeps.jobs import QUIET
from tests.fixtures.walk import BACKBONES, COUNTS, FORGET, RATIO, files, quick

RECIPE = Recipe(learning_rate=3e-3, epochs=12, batch_size=64, warmup=0.1, weight_decay=0.5, optim="sgd")


def test_a_folder_holds_weights_processor_run_and_outputs_of_every_split(walked):
    folder = walked.base()
    assert folder == walked.models / "cifar10-mini-resnet"
    assert {"config.json", "model.safetensors", "preprocessor_config.json", "run.json"} <= files(folder).keys()
    assert {name for name in files(folder) if name.startswith("reference/")} == {
        f"reference/{split}.parquet" for split in (*COUNTS, "shifted", "random")
    }
    assert not [name for name in files(folder) if name.endswith((".bin", ".pt", ".pth", ".pkl"))], "no pickles"


def test_the_outputs_beside_a_model_are_its_own_on_the_rows_of_the_data(walked):
    setting, folder = walked.setting(), walked.base()
    stored, fresh = read_outputs(folder / "reference"), predict_splits(setting, *setting.modality.load(folder))
    for split, rows in setting.rows.items():
        assert len(stored[split]) == COUNTS[split]
        assert stored[split].ids.tolist() == rows["example_id"]
        assert stored[split].labels.tolist() == list(rows["label"])
        np.testing.assert_array_equal(stored[split].logits, fresh[split].logits)


def test_outputs_on_moved_rows_are_stored_for_the_largest_forget_set(walked):
    setting, stored = walked.setting(), read_outputs(walked.base() / "reference")
    ranks = np.array(setting.rows["train"]["deletion_rank"])
    ids = np.array(setting.rows["train"]["example_id"])[(ranks >= 0) & (ranks < FORGET)]
    assert max(setting.info.forget.values()) == FORGET and stored["shifted"].ids.tolist() == ids.tolist()
    plain = stored["train"].select(ids)
    assert (plain.labels == stored["shifted"].labels).all()
    assert (plain.logits != stored["shifted"].logits).any(axis=1).all()
    views = outputs_by_split(stored, ids[:3][::-1], [])
    assert views["shifted"].ids.tolist() == views["forget"].ids.tolist() == ids[:3][::-1].tolist()


def test_outputs_of_an_untrained_model_of_the_same_config_lie_beside_a_base_alone(walked):
    setting, folder = walked.setting(), walked.base(1)
    found, shifted = (read_outputs(folder / "reference")[name] for name in ("random", "shifted"))
    assert found.ids.tolist() == shifted.ids.tolist() and (found.labels == shifted.labels).all()
    model, processor = setting.modality.load(folder)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        untrained = type(model)(model.config)
    rows = setting.largest_forget_set
    expected = setting.modality.predict(untrained, processor, rows, setting.modality.encode(rows, processor, None))
    np.testing.assert_array_equal(found.logits, expected.logits)
    assert not list(walked.models.glob("*del10*/reference/random.parquet"))


def test_the_run_records_task_data_and_recipe(walked):
    run = read_run(walked.base(1))
    info = walked.setting().info
    assert (run.task, run.tier, run.backbone, run.base_seed) == ("cifar10", "mini", "resnet", 1)
    assert (run.split, run.family, run.deletion_seed) == (info.split, "canonical", 0)
    assert (run.ratio, run.method, run.seed, run.parent, run.tuned) == (None, None, None, None, "default")
    assert run.recipe["epochs"] == 2 and run.recipe["learning_rate"] == 3e-3
    assert run.cost["seconds"] > 0 and {"torch", "transformers"} <= run.versions.keys()
    assert run.device == environment(torch.device("cpu"))["device"]


def test_a_finished_model_is_not_trained_again(walked, monkeypatch):
    before = files(walked.models / "cifar10-mini-resnet")
    monkeypatch.setattr(base_models, "TaskTrainer", None)
    walked.base()
    assert files(walked.models / "cifar10-mini-resnet") == before


def test_another_recipe_is_another_run_and_replaces_the_folder(own_walk, monkeypatch):
    folder = own_walk.base()
    before = read_run(folder).identity
    recipes = TASKS["cifar10"].recipes
    monkeypatch.setitem(recipes, "resnet", replace(recipes["resnet"], epochs=1))
    setting_module._load_setting.cache_clear()
    try:
        assert own_walk.base() == folder
    finally:
        setting_module._load_setting.cache_clear()
    assert read_run(folder).recipe["epochs"] == 1 and read_run(folder).identity != before


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_seed_gives_the_same_model_again_and_another_seed_another(own_walk, backbone):
    first = own_walk.base(0, backbone)
    weights = (first / "model.safetensors").read_bytes()
    (first / "run.json").unlink()
    assert (own_walk.base(0, backbone) / "model.safetensors").read_bytes() == weights
    assert (own_walk.base(1, backbone) / "model.safetensors").read_bytes() != weights
    assert [path.name for path in (own_walk.models / ".work").iterdir()] == [], "nothing is left of finished runs"


def test_training_moves_every_weight(walked):
    setting = walked.setting()
    fresh, trained = setting.fresh_model(0)[0], setting.modality.load(walked.base())[0]
    for (name, before), after in zip(fresh.named_parameters(), trained.parameters(), strict=True):
        assert not torch.equal(before, after), name


def test_the_recipe_is_named_where_a_base_model_is_to_differ_from_it(walked):
    message = (
        r"expected the recipe's learning_rate, num_train_epochs, .* of cifar10 share .* got learning_rate=0\.1, num_"
    )
    with pytest.raises(ValueError, match=message):
        train_base(walked.setting(), 0, models=walked.models, num_train_epochs=1, learning_rate=0.1)


@pytest.mark.parametrize(
    "name",
    ["seed", "dataloader_drop_last", "bf16_full_eval", "optim_args", "lr_scheduler_kwargs", "neftune_noise_alpha"],
)
def test_what_could_change_the_result_is_refused(own_walk, name):
    before = files(own_walk.models)
    setting = own_walk.setting()
    with pytest.raises(
        ValueError, match=f"expected arguments that a run records or that change no result, got {name}"
    ):
        train_base(setting, 7, models=own_walk.models, **{name: 1})
    assert files(own_walk.models) == before


def test_recipe_arguments_hold_the_whole_recipe(tmp_path):
    made = TaskArguments(output_dir=str(tmp_path), **recipe_arguments(RECIPE))
    assert (made.learning_rate, made.num_train_epochs, made.per_device_train_batch_size) == (3e-3, 12, 64)
    assert (made.warmup_steps, made.weight_decay) == (0.1, 0.5)
    assert (made.optim.value, made.lr_scheduler_type.value) == ("sgd", "linear")


def test_a_recipe_with_momentum_and_half_precision_trains_and_records_them(tmp_path):
    recipe = replace(RECIPE, momentum=0.9, precision="bf16")
    made = TaskArguments(output_dir=str(tmp_path), **recipe_arguments(recipe))
    kind, options = TaskTrainer.get_optimizer_cls_and_kwargs(made)
    assert (kind, options["momentum"], options["nesterov"], made.bf16) == (torch.optim.SGD, 0.9, True, True)
    added = {"momentum": 0.9, "precision": "bf16"}
    assert recipe.record() == {**RECIPE.record(), **added} and not added.keys() & RECIPE.record().keys()


def test_a_recipe_with_augmentation_changes_the_rows_of_base_and_retrained_models(own_walk, tmp_path):
    plain = own_walk.setting()
    setting = replace(plain, recipe=replace(plain.recipe, augment=True))
    folder = train_base(setting, 0, models=tmp_path, **QUIET)
    run = read_run(folder)
    assert (folder.name, run.arguments, run.recipe["augment"]) == ("cifar10-mini-resnet", {}, True)
    one, two = (load_file(path / "model.safetensors") for path in (folder, own_walk.base()))
    assert any((two[name] != weight).any() for name, weight in one.items())
    request = UnlearningRequest(setting=setting, method="retrain", ratio=RATIO, models=tmp_path, arguments=QUIET)
    assert resolve(request).arguments.augment
    assert not resolve(replace(request, method="scrub")).arguments.augment
    with pytest.raises(ValueError, match=r"^expected the recipe's augment, which all base .* got augment=False$"):
        train_base(setting, 1, models=tmp_path, augment=False)
    assert train_base(setting, 0, models=tmp_path, augment=True) == folder


@pytest.mark.parametrize(
    ("recipe", "given", "recorded"),
    [({"augment": True}, {"augment": False}, False), ({"momentum": 0.9}, {"optim_args": ""}, ""),
     ({"momentum": 0.9}, {"optim_args": None}, "")],
)  # fmt: skip
def test_a_retrained_model_without_part_of_the_recipe_is_another_one(own_walk, tmp_path, recipe, given, recorded):
    [name] = given
    plain = own_walk.setting()
    setting = replace(plain, recipe=replace(plain.recipe, optim="sgd", **recipe))
    request = UnlearningRequest(setting=setting, method="retrain", ratio=RATIO, models=tmp_path, arguments=QUIET)
    default, other = resolve(request), resolve(replace(request, arguments={**QUIET, **given}))
    assert default.run.arguments[name] and other.run.arguments[name] == recorded
    assert other.folder != default.folder and (default.run.tuned, other.run.tuned) == ("default", "custom")
    assert f"--{name} {shlex.quote(str(recorded))}" in remake_command(other.run, other.folder, setting.data)


@pytest.mark.parametrize(
    ("processes", "given", "expected"),
    [(1, {}, (64, 1)), (2, {}, (32, 1)), (2, {"gradient_accumulation_steps": 4}, (8, 4)),
     (2, {"per_device_train_batch_size": 8}, (8, 4)),
     (2, {"per_device_train_batch_size": 5, "gradient_accumulation_steps": 3}, (5, 3))],
)  # fmt: skip
def test_a_given_batch_size_or_accumulation_decides_the_other(processes, given, expected, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    assert tuple(step_arguments(64, given).values()) == expected


@pytest.mark.parametrize("given", [{}, {"per_device_train_batch_size": 7}, {"gradient_accumulation_steps": 128}])
def test_a_step_that_cannot_be_divided_evenly_is_refused(given, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ValueError, match="expected a divisor of the recipe's 64 rows per step, got"):
        step_arguments(64, given)


def test_the_batches_of_a_step_change_neither_folder_nor_identity_of_a_base(own_walk):
    base = own_walk.base(7, "vit", **QUIET, per_device_train_batch_size=8)
    assert base.name == "cifar10-mini-vit-s7"
    changed = files(base).keys()
    assert files(own_walk.base(7, "vit")).keys() == changed
    with pytest.raises(ValueError, match="expected the recipe's 32 rows per step, got 8"):
        own_walk.base(8, "vit", per_device_train_batch_size=8, gradient_accumulation_steps=1)
    with pytest.raises(
        ValueError, match="since the BatchNorm of ResNetForImageClassification has to see a whole step"
    ):
        own_walk.base(8, per_device_train_batch_size=8)


def test_the_warm_up_is_a_share_of_the_steps(tmp_path):
    made = TaskArguments(output_dir=str(tmp_path), **recipe_arguments(RECIPE))
    assert made.get_warmup_steps(200) == 20


def test_a_process_caches_its_settings(walked):
    assert walked.setting() is walked.setting()
    assert walked.setting("vit") is not walked.setting()
    assert walked.setting().rows["train"].num_rows == COUNTS["train"]


def test_an_unknown_backbone_or_missing_data_is_refused_before_anything_is_read(tmp_path):
    with quick():
        with pytest.raises(ValueError, match=r"backbone of cifar10 must be one of resnet, vit, .*got 'bert'"):
            load_setting("cifar10", "bert", data=str(tmp_path))
        with pytest.raises(FileNotFoundError, match=r"mubench build cifar10"):
            load_setting("cifar10", "vit", data=str(tmp_path))


def test_run_json_is_plain_json_without_paths(walked):
    text = (walked.base() / "run.json").read_text()
    assert json.loads(text)["schema"] == 1
    assert str(walked.root) not in text


@pytest.mark.parametrize(
    ("tier", "backbone", "expected"),
    [
        ("mini", "unet", "resnet"),
        ("mini", "sd-v1-4", "resnet"),
        ("custom", "sd-v1-4", "resnet"),
        ("partial", "unet-small", "resnet-tiny"),
        ("full", "unet", "resnet-tiny"),
        ("full", "sd-v1-4", "resnet-50"),
    ],
)
def test_the_classifier_of_generated_images_is_of_the_size_of_the_task_and_backbone(tier, backbone, expected):
    setting = SimpleNamespace(info=SimpleNamespace(tier=tier), task=TASKS["tiny_imagenet"], backbone=backbone)
    assert base_models._classifier_backbone(setting) == expected


@pytest.mark.parametrize("start", [None, "sd-v1-4"])
def test_custom_and_adopted_pipelines_are_judged_as_published_ones(monkeypatch, start):
    facts = {"family": "stable-diffusion", "architecture": "StableDiffusionPipeline", "sha256": "0" * 64}
    own = OwnBackbone(**facts, millions=860, hub_id=None if start else "/here/pipeline", start=start)
    monkeypatch.setitem(OWN, "pipeline-00000000", own)
    setting = SimpleNamespace(
        info=SimpleNamespace(tier="full"), task=TASKS["tiny_imagenet"], backbone="pipeline-00000000"
    )
    assert base_models._classifier_backbone(setting) == "resnet-50"
