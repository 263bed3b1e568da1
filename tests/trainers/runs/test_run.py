"""One run: its folder, identity and rows."""

import dataclasses
import json
import shlex

import numpy as np
import pytest
import torch

from mubench.hub_builders.dataset.load import load_task
from mubench.hub_builders.hub.model_folder import read_run
from mubench.hub_builders.tasks.names import fingerprint
from mubench.trainers import __main__ as front_door
from mubench.trainers.engine import distributed as processes
from mubench.trainers.engine.task_arguments import LORA, SIZE, TaskArguments
from mubench.trainers.inference.storage import read_outputs
from mubench.trainers.methods import METHODS
from mubench.trainers.runs import plan as plan_module
from mubench.trainers.runs import run as run_module
from mubench.trainers.runs.defaults import RECORDED, recorded_arguments
from mubench.trainers.runs.method_table import check_method, get_method, suite_table
from mubench.trainers.runs.plan import resolve
from mubench.trainers.runs.run import starting_model
from mubench.trainers.unlearning.unlearning_arguments import ADDON_ARGUMENTS
from mubench.trainers.unlearning.unlearning_trainer import UnlearningArguments
from tests.fixtures.walk import COUNTS, FORGET, RATIO, files

# Arguments that change no result.
UNRECORDED = {
    "save_strategy": "epoch", "disable_tqdm": False, "logging_steps": 3, "report_to": "none", "save_total_limit": 1,
    "dataloader_num_workers": 1,
}  # fmt: skip


def planned(walk, method="scrub", **changes):
    plan = resolve(walk.request(method, **changes))
    return plan.run, plan.folder.name


def test_a_default_run_is_named_after_base_ratio_method_and_seed(walked):
    run, name = planned(walked, seed=3)
    assert name == "cifar10-mini-resnet-del10-scrub-s3"
    assert (run.tuned, run.seed, run.base_seed, run.ratio) == ("default", 3, 0, RATIO)
    assert planned(walked, base_seed=1)[1] == "cifar10-mini-resnet-s1-del10-scrub-s0"
    assert planned(walked, "retrain_keep50", base_seed=2)[1] == "cifar10-mini-resnet-del10-retrain-keep50-s2"


@pytest.mark.parametrize("method", ["scrub", "retrain"])
def test_what_another_deletion_seed_deletes_is_unlearned_in_a_folder_of_its_own(walked, method):
    request = walked.request(method)
    info = dataclasses.replace(request.setting.info, deletion_seed=1)
    other = dataclasses.replace(request, setting=dataclasses.replace(request.setting, info=info))
    assert resolve(request).folder.name == f"cifar10-mini-resnet-del10-{method}-s0"
    assert resolve(other).folder.name == f"cifar10-mini-resnet-del10-d1-{method}-s0"


def test_a_run_is_recorded_as_one_process_would_do_it(walked, monkeypatch):
    alone, name = planned(walked, "scrub", arguments={"per_device_train_batch_size": 6})
    cut = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 8}
    parts, whole = (planned(walked, "retrain", arguments=given) for given in (cut, {}))
    assert parts == whole and whole[0].tuned == "default"
    assert planned(walked, "scrub", arguments=cut)[0].tuned == "custom"
    monkeypatch.setattr(UnlearningArguments, "world_size", 2)
    for module in (plan_module, processes):
        monkeypatch.setattr(module, "world_size", lambda: 2)
    assert planned(walked, "scrub", arguments={"per_device_train_batch_size": 3}) == (alone, name)
    assert planned(walked, "retrain") == whole


def test_a_changed_argument_is_another_run_in_another_folder(walked):
    run, name = planned(walked, arguments={"gamma": 0.5})
    assert name == f"cifar10-mini-resnet-del10-scrub-{fingerprint({'gamma': 0.5})[:6]}-s0"
    assert run.tuned == "custom" and run.arguments["gamma"] == 0.5
    other, other_name = planned(walked, arguments={"gamma": 0.6})
    assert other_name != name and other.identity != run.identity


def test_typing_out_the_default_changes_nothing(walked):
    plain, name = planned(walked)
    typed = {"gamma": plain.arguments["gamma"], "learning_rate": plain.arguments["learning_rate"]}
    assert planned(walked, arguments=typed) == (plain, name)


@pytest.mark.parametrize("name", UNRECORDED)
def test_unrecorded_arguments_are_no_part_of_a_run(walked, name):
    assert planned(walked, arguments={name: UNRECORDED[name]}) == planned(walked)


@pytest.mark.parametrize(
    "change",
    [{"weight_decay": 0.3}, {"data_seed": 4}, {"max_steps": 2}, {"optim": "sgd"}, {"curriculum": "superloss"},
     {"optim": "sophia"}, {"harmonise": "munba"}, {"dual_optim": "sgd"}, {"sam_rho": 0.0}, {"augment": True}],
)  # fmt: skip
def test_every_hyper_parameter_is_part_of_it(walked, change):
    run, name = planned(walked, arguments=change)
    plain, plain_name = planned(walked)
    assert run.tuned == "custom"
    assert run.identity != plain.identity and name != plain_name


@pytest.mark.parametrize(
    ("on", "recorded"),
    [({"curriculum": "superloss"}, {"curriculum": "superloss", "curriculum_lambda": 10}),
     ({"optim": "sophia"}, {"sophia_rho": 0.04, "sophia_beta1": 0.9, "sophia_beta2": 0.95}),
     ({"dual_optim": "sgd"}, {"dual_optim": "sgd", "dual_learning_rate": None}),
     ({"harmonise": "munba"}, {"harmonise": "munba"}), ({"sam_rho": 0.1}, {"sam_rho": 0.1})],
)  # fmt: skip
def test_an_addon_is_recorded_where_it_is_on_and_nowhere_else(walked, on, recorded):
    plain, _ = planned(walked)
    assert not plain.arguments.keys() & set(ADDON_ARGUMENTS)
    run, _ = planned(walked, arguments=on)
    assert run.arguments == {**plain.arguments, **on, **recorded}


@pytest.mark.parametrize("method", METHODS)
def test_recorded_arguments_hold_the_methods_own_and_no_path(walked, tmp_path, method):
    trainer = get_method(method)
    secret = {"hub_token": "hf_secret", "run_name": str(tmp_path), "logging_strategy": "no"}
    found = recorded_arguments(trainer, trainer.arguments(output_dir=str(tmp_path / "out"), **secret))
    own = {field.name for field in dataclasses.fields(trainer.arguments)}
    shared = {field.name for field in dataclasses.fields(TaskArguments)} | {
        *ADDON_ARGUMENTS,
        "remember",
        "eval_each_epoch",
    }
    assert found.keys() == (own - shared | set(RECORDED)) - {
        *LORA,
        *SIZE,
        *ADDON_ARGUMENTS,
        "keep",
        "augment",
        "optim_args",
    }
    text = json.dumps(found)
    assert str(tmp_path) not in text and "hf_secret" not in text


def test_arguments_of_the_optimizer_are_recorded_where_they_are_given(tmp_path):
    trainer = get_method("finetune")
    given = trainer.arguments(output_dir=str(tmp_path), optim="sgd", optim_args="momentum=0.9")
    assert recorded_arguments(trainer, given)["optim_args"] == "momentum=0.9"


def test_a_method_is_refused_for_a_kind_of_task_that_it_is_not_made_for(walked, monkeypatch):
    check_method("lotus", "image_classification")
    with pytest.raises(ValueError, match=r"method for text_generation must be one of .*scrub, .*got 'lotus'"):
        check_method("lotus", "text_generation")
    changed = dataclasses.replace(suite_table()["scrub"], kinds=("text_generation",))
    monkeypatch.setitem(suite_table(), "scrub", changed)
    with pytest.raises(ValueError, match=r"method for image_classification must be one of .*got 'scrub'"):
        planned(walked, "scrub")


def test_methods_that_retrain_take_the_recipe_and_the_base_seed(walked):
    for method in ("retrain", "retrain_keep50", "retrain_at"):
        run, _ = planned(walked, method, base_seed=2, seed=9)
        assert (run.seed, run.base_seed, run.parent) == (2, 2, None)
        recipe = walked.setting().recipe
        assert run.arguments["num_train_epochs"] == recipe.epochs
        assert run.arguments["learning_rate"] == recipe.learning_rate
        assert run.arguments["weight_decay"] == recipe.weight_decay
    assert planned(walked, "retrain", base_seed=2, seed=0)[0] == planned(walked, "retrain", base_seed=2, seed=9)[0]


def test_each_percentage_of_the_recipe_is_a_run_with_a_folder_of_its_own(walked):
    usual, five, again = (
        planned(walked, "retrain_at", arguments=given) for given in ({}, {"percent": 5}, {"percent": 10})
    )
    assert usual == again and usual[1] == "cifar10-mini-resnet-del10-retrain-at-s0"
    assert five[1] != usual[1] and five[1].startswith("cifar10-mini-resnet-del10-retrain-at-")
    assert five[0].identity != usual[0].identity
    assert [run.arguments["percent"] for run, _ in (usual, five)] == [10, 5]
    assert usual[0].arguments["num_train_epochs"] == walked.setting().recipe.epochs


def test_methods_that_retrain_start_from_the_fresh_weights_of_their_base_seed(walked):
    plans = [resolve(walked.request("retrain", base_seed=seed, seed=9)) for seed in (0, 2)]
    started = [starting_model(plan)[0] for plan in plans]
    for seed, model in zip((0, 2), started, strict=True):
        fresh = walked.setting().fresh_model(seed)[0]
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), fresh.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(*(model.parameters() for model in started), strict=True))


def test_other_methods_start_from_the_base_model_and_record_it(walked):
    run, _ = planned(walked, base_seed=1)
    assert run.parent == read_run(walked.models / "cifar10-mini-resnet-s1").identity
    model = starting_model(resolve(walked.request("scrub", base_seed=1)))[0]
    base = walked.setting().modality.load(walked.models / "cifar10-mini-resnet-s1")[0]
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), base.parameters(), strict=True))


@pytest.mark.parametrize("ratio", [1, 5, 10])
def test_forget_and_retain_sets_are_disjoint_cover_train_and_are_those_of_load_task(walked, ratio):
    setting = walked.setting()
    processor = setting.modality.load(walked.base())[1]
    found = setting.forget_retain_sets(ratio, processor)
    every = np.asarray(setting.rows["train"]["example_id"])
    expected = load_task("cifar10", ratio, data=walked.data)
    ids = {name: every[rows.indices].tolist() for name, rows in found.items()}
    assert ids == {name: list(expected[name]["example_id"]) for name in ("forget", "retain")}
    assert not set(ids["forget"]) & set(ids["retain"])
    assert set(ids["forget"]) | set(ids["retain"]) == set(every)
    labels = {name: [row["labels"] for row in rows] for name, rows in found.items()}
    assert labels == {name: list(expected[name]["label"]) for name in ("forget", "retain")}


def test_a_run_writes_a_model_folder_with_outputs_run_and_cost(own_walk):
    folder = own_walk.unlearn("finetune", arguments={"save_strategy": "epoch"})
    assert {"model.safetensors", "config.json", "preprocessor_config.json", "run.json"} <= files(folder).keys()
    assert {split: len(one) for split, one in read_outputs(folder / "reference").items()} == {
        **COUNTS, "shifted": FORGET,
    }  # fmt: skip
    run = read_run(folder)
    retain = COUNTS["train"] - FORGET
    assert (run.cost["forward"], run.cost["backward"]) == (retain, retain), "one epoch over the retain rows"
    assert run.cost["seconds"] > 0
    assert [path.name for path in (own_walk.models / ".work").iterdir()] == [], "checkpoints go with the run's end"


def test_a_finished_run_is_not_done_again(own_walk, monkeypatch):
    before = files(own_walk.models)
    monkeypatch.setattr(run_module, "train_into", None)
    own_walk.unlearn("neg_grad")
    own_walk.unlearn("retrain", base_seed=1)
    assert files(own_walk.models) == before


def test_the_same_request_gives_the_same_bits_and_another_seed_does_not(own_walk, walked_once):
    first = (walked_once.models / "cifar10-mini-resnet-del10-neg-grad-s0" / "model.safetensors").read_bytes()
    (own_walk.models / "cifar10-mini-resnet-del10-neg-grad-s0" / "run.json").unlink()
    assert (own_walk.unlearn("neg_grad") / "model.safetensors").read_bytes() == first
    assert (own_walk.unlearn("neg_grad", seed=1) / "model.safetensors").read_bytes() != first


def test_a_model_given_by_folder_is_another_start_in_another_folder(own_walk):
    given = own_walk.base().rename(own_walk.root / "mine")
    own = own_walk.base(0)
    assert planned(own_walk, base=given) == planned(own_walk), "a copy of the own base model is the own base model"
    trained = own_walk.unlearn("finetune", base=given).rename(own_walk.root / "other")
    run, name = planned(own_walk, base=trained)
    assert run.parent == read_run(trained).identity != read_run(own).identity
    assert name != planned(own_walk)[1] and name.endswith("-s0")


def test_a_model_of_another_seed_is_not_taken_for_this_one(walked):
    with pytest.raises(ValueError, match=r"with base seed 0, got .*with base seed 1"):
        planned(walked, base=walked.base(1))


def test_methods_that_retrain_refuse_a_base_model(walked):
    with pytest.raises(ValueError, match="retrain starts from a fresh one"):
        planned(walked, "retrain", base=walked.base())


def test_a_missing_base_model_names_the_command_that_makes_it(walked):
    with pytest.raises(FileNotFoundError, match=r"mubench base --task cifar10 --backbone resnet --base_seed 8 "):
        planned(walked, base_seed=8)


def test_the_command_that_a_missing_base_model_names_makes_it(own_walk):
    with pytest.raises(FileNotFoundError) as error:
        planned(own_walk, base_seed=8)
    line = str(error.value).partition("mubench ")[2]
    assert front_door.main([*shlex.split(line), "--disable_tqdm=true"]) == 0
    assert planned(own_walk, base_seed=8)[0].parent


def test_a_model_that_was_given_and_is_not_there_has_no_command_that_makes_it(walked, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected a base model in .*nowhere, got none$"):
        planned(walked, base=tmp_path / "nowhere")


def test_an_unknown_method_names_those_there_are():
    with pytest.raises(ValueError, match=r"method must be one of retrain, .*scrub.*, got 'nope'"):
        get_method("nope")
