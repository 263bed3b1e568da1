"""Menus, ratios and forms, and the refusal of invalid input."""

import math
import shlex
from pathlib import Path
from typing import Any

import pytest

from mubench.hub_builders.dataset.build import build, build_own
from mubench.hub_builders.dataset.load import task_info
from mubench.hub_builders.dataset.task_file import read_task_file
from mubench.hub_builders.tasks import TASKS
from mubench.trainers.methods import METHODS
from mubench.trainers.runs.commands import request_of
from mubench.trainers.runs.method_table import methods_for
from mubench.trainers.runs.plan import UnlearningRequest, resolve
from tests.cards.conftest import make_run
from tests.fixtures.walk import RATIO, Walk
from tests.own_data import make
from tests.space.conftest import Import

HOSTILE: list[Any] = [
    *("nope", "../../etc/passwd", "/etc/passwd", "<script>alert(1)</script>", "x" * 100_000, "", "\x00", "5; ls"),
    *(None, [], {}, ["cifar10"], True, -1, 10**400, 1e308, math.nan, math.inf, b"bytes"),
]


def models(root: Path, **methods: Any) -> None:
    """Write model folders of cifar10, without weights."""
    recipe = TASKS["cifar10"].recipes["resnet"].record()
    common = {"split": task_info("cifar10").split, "recipe": recipe, "arguments": {}, "parent": None}
    for name, fields in methods.items():
        (root / "models" / name).mkdir(parents=True)
        make_run(**{**common, **fields}).write(root / "models" / name)


def test_menus_list_what_is_built_and_applies(space: Import, root: Path) -> None:
    choices = space("handlers.choices")
    found = choices.menu_choices(None, None, None, None)
    assert found["tasks"] == ["cifar10", "imdb", "ddi2013"]
    assert found["chosen"] == {"task": "cifar10", "backbone": "resnet", "ratio": "10", "method": "scrub"}
    assert set(found["backbones"]) == {"resnet", "vit", "convnext", "swin", "mobilenet"}
    assert list(found["ratios"]) == list(range(1, 11)) and not any(found["ratios"].values())
    fits = [key for key in methods_for("image_classification", "resnet") if not METHODS[key].from_scratch]
    assert found["methods"] == [key for key in fits if not METHODS[key].whole_classes]
    other = choices.menu_choices("imdb", "resnet", "7", "fisher")
    assert other["chosen"] == {"task": "imdb", "backbone": "bert", "ratio": "7", "method": "fisher"}


def test_a_task_with_groups_is_tried_out_on_its_group_family(space: Import, root: Path) -> None:
    choices = space("handlers.choices")
    assert choices.built_task_info("ddi2013").family == TASKS["ddi2013"].family_of("mini") == "group"
    assert choices.built_task_info("cifar10").family == "canonical"
    assert choices.built_families() == ["canonical", "group"]


def test_ratios_count_the_retrained_models_beside_a_base(space: Import, root: Path) -> None:
    choices = space("handlers.choices")
    models(root, retrained={"method": "retrain", "ratio": 3})
    assert not any(choices.ratios("cifar10", "resnet").values())
    models(root, base={"method": None, "ratio": None, "seed": None}, odd={"method": "retrain", "split": "f" * 64})
    models(root, cut={"method": "retrain", "ratio": 4, "tuned": "custom"})
    assert {ratio: n for ratio, n in choices.ratios("cifar10", "resnet").items() if n} == {3: 1}
    assert not any(choices.ratios("cifar10", "vit").values())
    assert choices.menu_choices("cifar10", "vit", None, None)["chosen"]["ratio"] == "10"
    assert choices.menu_choices("cifar10", None, None, None)["chosen"]["ratio"] == "10"  # whose runs get an S


@pytest.mark.parametrize("field", ["task", "backbone", "ratio", "method", "seed"])
def test_an_invalid_choice_is_refused_in_one_short_line(space: Import, root: Path, field: str) -> None:
    try_out = space("handlers.try_out")
    choice: dict[str, Any] = {"task": "cifar10", "backbone": "resnet", "ratio": "5", "method": "scrub", "seed": 0}
    for wrong in HOSTILE:
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            try_out.check_request(**{**choice, field: wrong})
        message = str(caught.value)
        assert len(message) < 1000 and "\n" not in message and str(root) not in message


@pytest.mark.parametrize("method", METHODS)
def test_the_form_of_every_method_has_help_and_accepts_its_defaults(space: Import, method: str) -> None:
    arguments = space("handlers.arguments")
    kind = METHODS[method].kinds[0]
    task = next(task for task in TASKS.values() if task.kind == kind)
    form = arguments.argument_fields(task.key, task.default_backbone, method)
    assert all(field.help for field in form)
    assert {field.kind for field in form} <= {"number", "whole", "switch", "text"}
    assert arguments.check_arguments(form, {field.name: field.default for field in form}) == {}


@pytest.mark.slow
def test_a_task_of_a_users_own_is_a_choice_after_those_of_the_suite(space: Import, root: Path, tmp_path: Path) -> None:
    (root / "mu-bench").unlink()
    build("cifar10", out=root)
    build_own(read_task_file(make("images", tmp_path / "mine")), out=root)
    choices, arguments = space("handlers.choices"), space("handlers.arguments")
    assert choices.built_tasks() == ["cifar10", "my_images"]
    found = choices.menu_choices("my_images", None, None, None)
    assert found["backbones"] == ["resnet", "vit", "convnext", "swin", "mobilenet"] and "scrub" in found["methods"]
    assert arguments.argument_fields("my_images", "resnet", "scrub")[0].name == "gamma"
    config = space("handlers.explore").find_config("canonical", "my_images", 5)
    assert "<b>My images</b>, custom tier." in space("handlers.explore").render_description(config)


def test_a_form_returns_only_arguments_that_differ(space: Import) -> None:
    arguments = space("handlers.arguments")
    form = arguments.argument_fields("cifar10", "resnet", "scrub")
    assert [field.name for field in form][:4] == ["gamma", "alpha", "msteps", "temperature"]
    defaults = {field.name: field.default for field in form}
    assert arguments.check_arguments(
        form, {**defaults, "gamma": defaults["gamma"] + 1, "msteps": float(defaults["msteps"])}
    ) == {"gamma": defaults["gamma"] + 1}
    other = [field for field in form if field.name == "alpha" and field.default != 0.5]
    assert all("method's own default is 0.5" in field.help for field in other)
    assert arguments.check_arguments(form, None) == {}
    (layer,) = [field for field in arguments.argument_fields("cifar10", "resnet", "rmu") if field.name == "layer"]
    assert layer.default is not None and not layer.optional  # a command line cannot pass None


@pytest.mark.parametrize("given", [
    {"gamma": "0.9"}, {"gamma": math.nan}, {"gamma": 1e300}, {"gamma": True}, {"gamma": None}, {"msteps": 2.5},
    {"num_train_epochs": 10**9}, {"per_device_train_batch_size": 100_000}, {"output_dir": "/tmp"}, {"push_to_hub": 1},
    {"x" * 99_999: 1}, [], "gamma", 5,
])  # fmt: skip
def test_arguments_of_another_type_or_size_are_refused(space: Import, given: Any) -> None:
    arguments = space("handlers.arguments")
    with pytest.raises(ValueError, match=r"must be|must have") as caught:
        arguments.check_arguments(arguments.argument_fields("cifar10", "resnet", "scrub"), given)
    assert len(str(caught.value)) < 1000


def test_the_command_and_the_code_repeat_the_run(space: Import, walking: Walk) -> None:
    try_out, choices = space("handlers.try_out"), space("handlers.choices")
    choice = {"task": "cifar10", "backbone": "resnet", "ratio": str(RATIO), "method": "scrub"}
    request = try_out.check_request(**choice, seed=3.0, arguments={"gamma": 0.9})
    assert (request.seed, request.base_seed, request.arguments) == (3, 0, {"gamma": 0.9})
    group = choices.chosen_group("cifar10", "resnet", RATIO)
    here = resolve(UnlearningRequest(setting=group.setting, models=group.models, **request.run_fields)).run
    words = shlex.split(try_out.run_command(request))
    assert words[:2] == ["mubench", "scrub"]
    assert resolve(request_of("scrub", words[2:])[0]).run.identity == here.identity
    names: dict[str, Any] = {}
    exec(try_out.run_code(request).replace("folder = unlearn(", "plan = ("), names)
    assert names["plan"].run.identity == here.identity


def test_a_setting_without_references_names_the_command_that_trains_them(space: Import, walking: Walk) -> None:
    try_out = space("handlers.try_out")
    with pytest.raises(FileNotFoundError, match="expected a base and a retrained model of cifar10 vit") as caught:
        try_out.check_request(task="cifar10", backbone="vit", ratio=str(RATIO), method="scrub", seed=0)
    assert str(caught.value).endswith(
        f'mubench references --task cifar10 --backbone vit --ratio {RATIO} --seeds "0 1 2"'
    )
