"""A user's mistakes: exit code 2, one line that says what was expected, and nothing written."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from mubench.hub_builders import __main__ as builders
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.hub.model_folder import read_run
from mubench.hub_builders.raw import HUB
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.names import FAMILIES
from mubench.trainers import __main__ as trainers
from mubench.trainers.methods import METHODS
from mubench.trainers.models import setting as load_setting
from tests.fixtures.walk import COUNTS, few, files, quick

ROOMS = {"hub_builders": builders.main, "trainers": trainers.main}
NEW = ["--seed=5"]  # a run that is not there yet
MODEL = "cifar10-mini-resnet"
TWO = ["--ratio=10", "--base_seeds=0", "--retrain_seeds=0,1", "--seeds=0"]


def kept(root: Path) -> dict[str, bytes]:
    """Return all files and all folders but the work areas."""
    folders = {str(p.relative_to(root)): b"" for p in root.rglob("*") if p.is_dir() and ".work" not in p.parts}
    return {**folders, **files(root)}


@pytest.fixture
def complains(capsys, own_walk, monkeypatch):
    """Return a function that checks that words are answered by exit code 2 and one line, which it returns."""
    monkeypatch.chdir(own_walk.root)
    own_walk.setting().rows  # noqa: B018  reading a data set for the first time shows progress

    def check(room: str, *words: object) -> str:
        before = kept(own_walk.root)
        capsys.readouterr()
        try:
            code = ROOMS[room](list(map(str, words)))
        except SystemExit as left:
            code = left.code
        message = capsys.readouterr()
        assert code == 2
        assert message.out == ""
        assert message.err.startswith("mubench: ") and message.err.endswith("\n") and message.err.count("\n") == 1, (
            message.err
        )
        assert "Traceback" not in message.err
        assert kept(own_walk.root) == before
        return message.err

    return check


@pytest.fixture
def own_data(own_walk):
    """Return the walk with data that a test may damage."""
    data = own_walk.root / "mu-bench"
    real = data.resolve()
    data.unlink()
    shutil.copytree(real, data)
    return own_walk


COMMANDS = {
    "base": ("trainers", "base", "--base_seed=5"),
    "scrub": ("trainers", "scrub", *NEW),
    "retrain": ("trainers", "retrain", "--base_seed=5"),
    "references": ("trainers", "references"),
    "sweep": ("trainers", "sweep", "--methods=scrub"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_task_is_answered_with_those_there_are(complains, command):
    assert f"task must be one of {', '.join(TASKS)}, got 'cifar11'" in complains(*COMMANDS[command], "--task=cifar11")


def test_building_an_unknown_task_or_tier_too(complains):
    assert f"task must be one of {', '.join(TASKS)}, got 'cifar11'" in complains("hub_builders", "build", "cifar11")
    assert "tier must be one of full, partial, mini, got 'tiny'" in complains(
        "hub_builders", "build", "cifar10", "--tier=tiny"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_backbone_too(complains, command):
    message = complains(*COMMANDS[command], "--task=cifar10", "--backbone=bert")
    assert "backbone of cifar10 must be one of resnet, vit" in message and message.endswith("got 'bert'\n")


@pytest.mark.parametrize("words", [["scrap", "--task=cifar10"], ["sweep", "--task=cifar10", "--methods", "scrap"]])
def test_an_unknown_method_too(complains, words):
    assert f"method must be one of {', '.join(METHODS)}, got 'scrap'" in complains("trainers", *words)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_family_too(complains, command):
    message = complains(*COMMANDS[command], "--task=cifar10", "--family=nuclear")
    assert f"family must be one of {', '.join(FAMILIES)}, got 'nuclear'" in message


@pytest.mark.parametrize("command", ["scrub", "retrain", "references", "sweep"])
@pytest.mark.parametrize("ratio", ["0", "11", "2.5", "abc", "-1", ""])
def test_a_ratio_is_a_whole_percentage_from_1_to_10(complains, command, ratio):
    message = complains(*COMMANDS[command], "--task=cifar10", f"--ratio={ratio}")
    assert message == f"mubench: ratio must be a whole percentage from 1 to 10, got {ratio!r}\n"


@pytest.mark.parametrize("seeds", ["x", "1.5", "-1", ""])
def test_seeds_are_whole_numbers(complains, seeds):
    assert "seeds must be whole numbers from 0" in complains("trainers", "sweep", "--task=cifar10", f"--seeds={seeds}")


@pytest.mark.parametrize(("name", "seed"), [("seed", -1), ("base_seed", -1), ("seed", 2**32)])
def test_a_seed_is_one_that_generators_take(complains, name, seed):
    message = complains("trainers", "scrub", "--task=cifar10", f"--{name}={seed}")
    line = f"mubench: {name} must be a whole number from 0 to 4294967295, got {seed}\n"
    assert message == line
    if name == "base_seed":
        assert complains("trainers", "base", "--task=cifar10", f"--{name}={seed}") == line


@pytest.mark.parametrize(
    "flag",
    ["--gamma=warm", "--nope=1", "--learning_rate=fast", "--msteps=-1", "--temperature=0", "--num_train_epochs=0"],
)
def test_a_flag_that_makes_no_sense_is_named(complains, flag):
    assert flag[2:].split("=")[0] in complains("trainers", "scrub", "--task=cifar10", *NEW, flag)


def test_a_setting_that_would_mean_something_else_is_refused(complains):
    for flag in ("--label_smoothing_factor=0.1", "--remove_unused_columns=true", "--output_dir=here"):
        assert flag[2:].split("=")[0] in complains("trainers", "scrub", "--task=cifar10", "--ratio=10", *NEW, flag)


def test_a_missing_base_model_names_the_command_that_makes_it(complains, own_walk):
    message = complains("trainers", "scrub", "--task=cifar10", "--base_seed=6")
    command = "mubench base --task cifar10 --backbone resnet --base_seed 6"
    assert message.endswith(f"make it with: {command}\n")


def test_a_missing_reference_names_the_command_that_makes_it(complains, own_walk):
    for seed in (1, 2):
        shutil.rmtree(own_walk.models / f"{MODEL}-del10-retrain-s{seed}")
    message = complains("trainers", "scrub", "--task=cifar10", "--ratio=10", *NEW)
    assert message.endswith('mubench references --task cifar10 --backbone resnet --ratio 10 --seeds "0 1 2"\n')
    assert "got 2 and 1" in message


@pytest.mark.parametrize("command", COMMANDS)
def test_data_that_are_not_there_name_the_command_that_builds_them(complains, command, own_walk):
    (own_walk.root / "empty").mkdir()
    (own_walk.root / "file").touch()
    for data in ("empty", "nowhere", "no/where", "models", f"{own_walk.root}/nowhere", "file"):
        message = complains(*COMMANDS[command], "--task=cifar10", f"--data={data}")
        assert "mubench build cifar10" in message


def test_a_task_that_was_not_built_names_the_command_too(complains):
    message = complains("trainers", "scrub", "--task=imdb", "--data=mu-bench")
    assert "no imdb in mu-bench: make it with `mubench build imdb`" in message


@pytest.mark.parametrize(
    "text", ["", "# a README of something else\n", "---\nconfigs: 3\n---\n", "---\n[broken\n---\n"]
)
def test_a_folder_of_something_else_is_no_dataset(complains, own_walk, text):
    (own_walk.root / "other").mkdir()
    (own_walk.root / "other" / "README.md").write_text(text)
    complains("trainers", "scrub", "--task=cifar10", "--data=other", *NEW)


@pytest.mark.parametrize("command", ["base", "retrain"])
def test_a_truncated_shard_is_named_with_the_command_that_mends_it(complains, own_data, command):
    shard = next(own_data.root.glob("mu-bench/data/cifar10/*/train-d03.parquet"))
    shard.write_bytes(shard.read_bytes()[:-20])
    message = complains(*COMMANDS[command], "--task=cifar10")
    assert str(shard.relative_to(own_data.root)) in message and "build cifar10" in message


def test_a_sweep_on_a_truncated_shard_ends_with_the_same_line(own_data, capsys):
    shard = next(own_data.root.glob("mu-bench/data/cifar10/*/train-d03.parquet"))
    shard.write_bytes(shard.read_bytes()[:-20])
    before = kept(own_data.models)
    assert trainers.main(["references", "--task=cifar10", "--base_seeds=7", *TWO[3:], *own_data.flags()]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("mubench: ") and shard.name in last
    failed = {name for name in kept(own_data.models) if name.startswith(".work/failed")}
    assert failed and {name: kept(own_data.models)[name] for name in kept(own_data.models).keys() - failed} == before


def test_a_task_too_small_to_delete_from_is_not_built(complains):
    with quick({"train": 40, "validation": 10, "test": 10}):
        message = complains("hub_builders", "build", "cifar10")
    assert message == "mubench: expected a ratio that deletes at least one row, got 1 % of 40 rows\n"


@pytest.mark.parametrize("command", ["scrub", "retrain", "references", "sweep"])
def test_a_ratio_that_there_is_not_is_found_out_before_anything_is_trained(complains, own_data, command):
    path = next(own_data.root.glob("mu-bench/data/cifar10/*/manifest.json"))
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "forget": {"5": 8, "10": 16}}))
    path.with_name("SHA256SUMS").unlink()
    load_setting._load_setting.cache_clear()  # a process keeps a setting while its data have one fingerprint
    message = complains(*COMMANDS[command], "--task=cifar10", "--ratio=1")
    assert message == "mubench: ratio of cifar10 (canonical family) must be one of 5, 10, got 1\n"


def weights(folder: Path) -> Path:
    return folder / "model.safetensors"


def edit(path: Path, **entries: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def without_head(folder: Path) -> None:
    """Leave one weight out of a model's file."""
    left = load_file(weights(folder))
    del left["classifier.1.weight"]
    save_file(left, weights(folder), metadata={"format": "pt"})


def another_run(folder: Path, **fields: object) -> None:
    run = read_run(folder)
    type(run)(**{**dataclasses.asdict(run), **fields}).write(folder)


def named(*labels: str) -> dict[str, object]:
    return {"id2label": dict(enumerate(labels)), "label2id": {label: index for index, label in enumerate(labels)}}


# What a base model's folder may have gone through, and its message.
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (shutil.rmtree, "expected a base model in"),
    "no run.json": (lambda folder: (folder / "run.json").unlink(), "expected a model folder with a run.json"),
    "edited": (
        lambda folder: edit(folder / "run.json", split="1" * 64),
        "run.json unchanged, got schema 1 or an edited config",
    ),
    "another task": (lambda folder: another_run(folder, task="imdb", backbone="bert"), "bert trained on imdb"),
    "full rows": (lambda folder: another_run(folder, tier="full", split="1" * 64), "cifar10 (full tier, split 1111"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "expected a whole model in"),
    "half a config": (lambda folder: (folder / "config.json").write_text('{"model_type": "res'), "a whole model in"),
    "no processor": (lambda folder: (folder / "preprocessor_config.json").unlink(), "image processor"),
    "no weights": (lambda folder: weights(folder).unlink(), "expected a whole model in"),
    "half the weights": (lambda folder: weights(folder).write_bytes(weights(folder).read_bytes()[:5000]), "a whole"),
    "noise for weights": (
        lambda folder: weights(folder).write_bytes(bytes(range(256)) * 100),
        "expected a whole model",
    ),
    "no head": (without_head, "none that fit classifier.1.weight"),
    "classes of others": (
        lambda folder: edit(folder / "config.json", **named(*"abcdefghij")),
        "expected a model of 10 classes (0, 1, 2, ...) in",
    ),
    "fewer classes": (
        lambda folder: edit(folder / "config.json", **named("a", "b", "c")),
        "expected all weights of the model that its config names, got none that fit classifier.1.bias",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_wrong_folder_as_base_model_is_named(complains, own_walk, damage):
    do, expected = DAMAGES[damage]
    shutil.copytree(own_walk.models / MODEL, folder := own_walk.root / "given")
    do(folder)
    message = complains("trainers", "scrub", "--task=cifar10", "--ratio=10", *NEW, f"--base_model={folder}")
    assert str(folder) in message and expected in message


def test_a_mini_model_is_no_base_on_the_full_rows(complains, own_walk, monkeypatch):
    monkeypatch.setitem(HUB, "cifar10", lambda: few(COUNTS))
    monkeypatch.setitem(TASKS["cifar10"].counts, "full", COUNTS)
    build("cifar10", tier="full", out=own_walk.root / "full")
    given = [f"--base_model={own_walk.models / MODEL}", "--data=full/mu-bench"]
    message = complains("trainers", "scrub", "--task=cifar10", "--ratio=10", *NEW, *given)
    assert "expected a resnet trained on cifar10 (full tier, split" in message
    assert f"got {own_walk.models / MODEL}: a resnet trained on cifar10 (mini tier, split" in message


def test_damaged_reference_outputs_are_named(complains, own_walk):
    path = own_walk.models / f"{MODEL}-del10-retrain-s1" / "reference" / "test.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    message = complains("trainers", "neg_grad", "--task=cifar10", "--ratio=10", "--disable_tqdm=true")
    assert "retrain-s1/reference/test.parquet" in message


@pytest.mark.parametrize("text", [None, "", "{}", '{"schema_version": 1, "method": "scrub"}'])
def test_a_row_that_is_none_cannot_be_run_again(complains, own_walk, text):
    path = own_walk.root / "row.json"
    if text is not None:
        path.write_text(text)
    assert "row.json" in complains("trainers", "rerun", path)


def test_a_diverged_run_is_one_last_line_and_leaves_no_model(own_walk, capsys):
    words = ["finetune", "--task=cifar10", "--learning_rate=1e17", "--num_train_epochs=5", "--disable_tqdm=true"]
    before = kept(own_walk.models)
    assert trainers.main([*words, "--judge=false", *own_walk.flags()]) == 2
    assert capsys.readouterr().err.startswith("mubench: expected a finite loss, got nan at step")
    assert kept(own_walk.models) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["hub_builders", "build", "cifar11"],
            f"task must be one of {', '.join(TASKS)}, got 'cifar11'; did you mean 'cifar10'?",
        ),
        pytest.param(
            ["trainers", "scrub", "--task", "cifar10", "--ratio", "5"],
            "no cifar10 in mu-bench: make it with `mubench build cifar10`",
            marks=pytest.mark.slow,  # seconds of imports
        ),
    ],
)
def test_a_real_process_leaves_with_2_and_one_line(tmp_path, words, message):
    command = [sys.executable, "-m", f"mubench.{words[0]}", *words[1:]]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"mubench: {message}\n"
    assert not list(tmp_path.iterdir())
