"""Models that another program trained on a task, as base models whose retrained models start from the same weights."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import ResNetForImageClassification

from mubench.cards.console import main as mubench
from mubench.hub_builders.hub.model_folder import read_run, read_runs, remake_command
from mubench.hub_builders.tasks.own_backbones import OWN, own_key
from mubench.trainers.evaluation.group import find_group
from mubench.trainers.evaluation.result import read_result
from mubench.trainers.models.model_files import read_foreign
from mubench.trainers.models.setting import load_setting
from mubench.trainers.runs.commands import measure_robustness
from mubench.trainers.runs.grid_parsers import parse_grid
from mubench.trainers.sweeps.jobs import BaseJob, Place
from tests.fixtures.pretrained import known, pretrained, setting

__all__ = ["known", "pretrained", "setting"]


@pytest.fixture
def tuned(setting, pretrained, tmp_path):
    """The pretrained model after a plain script has given it a head for the task's classes, in half precision."""
    model = ResNetForImageClassification.from_pretrained(pretrained, num_labels=10, ignore_mismatched_sizes=True)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1)
    model.to(torch.bfloat16).save_pretrained(tmp_path / "tuned")
    shutil.copy(pretrained / "preprocessor_config.json", tmp_path / "tuned")
    return tmp_path / "tuned"


@pytest.fixture
def place(setting, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return ["--task=cifar10", f"--data={setting.data}"]


def test_what_is_known_of_an_adopted_model_is_recorded_and_retrained_models_start_where_it_did(
    pretrained, tuned, place, capsys, known
):
    assert mubench(["adopt", str(tuned), *place, f"--start={pretrained}"]) == 0
    about, model, accuracy, following = capsys.readouterr().out.splitlines()
    (key,) = [key for key, one in known.items() if one.start]
    start, sha256 = known[key].start, read_foreign(tuned).identity
    assert start == own_key("my-resnet", read_foreign(pretrained).identity)
    assert about == (
        f"backbone: {key}, an adopted ResNetForImageClassification of unknown training; retrained models start from "
        f"{start}, recipe and defaults are those of resnet"
    )
    folder = pretrained.parent / "models" / f"cifar10-mini-{key}"
    assert folder.name in model and sha256 in model
    assert accuracy.startswith("accuracy: forget ")
    assert f"references --task cifar10 --backbone {key}" in following
    run = read_run(folder)
    assert (run.foreign_base, run.parent, run.backbone_start) == ("ResNetForImageClassification", sha256, start)
    assert (run.method, run.cost) == (None, {})
    stored, own = load_file(folder / "model.safetensors"), load_file(tuned / "model.safetensors")
    assert all(torch.equal(stored[name], own[name].to(stored[name].dtype)) for name in own)
    assert {value.dtype for value in stored.values()} == {torch.float32, torch.int64}
    assert run.adopted["parameters"] == sum(
        value.numel() for name, value in own.items() if name.endswith(("weight", "bias"))
    )
    fresh, _ = load_setting("cifar10", key, data=place[1].removeprefix("--data=")).fresh_model(0)
    weights = load_file(pretrained / "model.safetensors")
    assert all(torch.equal(one, weights[name]) for name, one in fresh.state_dict().items() if "classifier" not in name)
    expected = f"adopt FOLDER --task cifar10 --start {start} --data d --models {folder.parent}"
    assert remake_command(run, folder, "d") == f"mubench {expected}"


@pytest.mark.slow
def test_runs_from_an_adopted_model_are_judged_against_its_own_references_and_marked(
    pretrained, tuned, place, capsys, known
):
    assert mubench(["adopt", str(tuned), *place, f"--start={pretrained}"]) == 0
    (key,) = [key for key, one in known.items() if one.start]
    start, sha256 = known[key].start, read_foreign(tuned).identity
    known.clear()
    shutil.rmtree(tuned)
    where = [*place, f"--backbone={key}", "--disable_tqdm=true"]
    for seed in (0, 1):
        assert mubench(["retrain", *where, f"--base_seed={seed}"]) == 0
    capsys.readouterr()
    assert mubench(["neg_grad", *where]) == 0
    _, about, _, row_line, *_ = capsys.readouterr().out.splitlines()
    assert about.startswith(f"backbone: {key}, an adopted ResNet")
    row = read_result(row_line.removeprefix("row:").strip())
    models = pretrained.parent / "models"
    base = read_run(models / f"cifar10-mini-{key}")
    assert (row.foreign_base, row.parent, row.backbone_start) == (base.foreign_base, base.identity, start)
    assert row.parent in row.references.identities and row.references.bases == [0]
    (line,) = measure_robustness(parse_grid("robustness", [*place, f"--backbone={key}"]))
    assert line.startswith(row.run_id) and "left out" not in line
    assert mubench(["leaderboard"]) == 0
    assert "neg_grad (own base ResNetForImageClassification)" in capsys.readouterr().out
    assert mubench(["cards", place[1]]) == 0
    cards = {run.method: (folder / "README.md").read_text() for folder, run in read_runs(models).items()}
    assert "adopted as a base model" in cards[None] and sha256 in cards[None]
    assert f"`{start}` trained from scratch" in cards["retrain"]
    assert "of unknown training." in cards["neg_grad"]


def test_it_has_one_base_seed_and_is_not_trained(tuned, place, capsys, known):
    assert mubench(["adopt", str(tuned), *place]) == 0
    about, start, *_ = capsys.readouterr().out.splitlines()
    assert start == "start:    none was given: retrained models start from the backbone's own weights, those of resnet"
    (key,) = known
    assert about.endswith("retrained models start from resnet, recipe and defaults are those of resnet")
    grid = ["--base_seeds", "0 1", "--seeds=0", "--retrain_seeds", "0 1", "--methods=neg_grad", "--dry_run"]
    assert mubench(["sweep", *place, "--backbones", key, *grid]) == 0
    bases = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("base of")]
    assert [line[4:6] for line in bases] == [["s0", "done"]]
    assert mubench(["base", *place, f"--backbone={key}"]) == 0
    for options in (["--base_seed=1"], ["--lora_rank=2"]):
        assert mubench(["base", *place, f"--backbone={key}", *options]) == 2
        assert "expected base seed 0 and no options" in capsys.readouterr().err
    assert mubench(["adopt", str(tuned), *place, f"--start={key}"]) == 2
    assert "expected a pretrained model as --start, got tuned-" in capsys.readouterr().err


def test_another_start_is_another_backbone(tuned, pretrained, place, known):
    for start in ("resnet", str(pretrained)):
        assert mubench(["adopt", str(tuned), *place, f"--backbone={start}"]) == 0
    assert len([key for key, one in known.items() if one.start]) == 2


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"num_labels": 3, "id2label": {"0": "a"}}, "expected all weights of the model that its config names"),
        ({"architectures": []}, "expected a model's config in"),
    ],
)
def test_what_cannot_be_adopted_is_one_line_and_leaves_nothing(tuned, place, capsys, change, line):
    config = json.loads((tuned / "config.json").read_text())
    (tuned / "config.json").write_text(json.dumps({**config, **change}))
    assert mubench(["adopt", str(tuned), *place]) == 2
    error = capsys.readouterr().err
    assert line in error and error.startswith("mubench: ") and error.count("\n") == 1
    models = tuned.parent / "models"
    assert not read_runs(models) and not (models / ".backbones").exists() and not OWN


def test_one_of_other_rows_or_another_recipe_is_adopted_anew(tuned, place, capsys, known):
    assert mubench(["adopt", str(tuned), *place]) == 0
    (key,) = known
    setting, models = load_setting("cifar10", key, data=place[1].removeprefix("--data=")), tuned.parent / "models"
    folder = models / f"cifar10-mini-{key}"
    base = BaseJob(Place(data=setting.data, models=models), "cifar10", key, 0)
    run = read_run(folder)
    for change in ({"split": "0" * 64}, {"recipe": {**run.recipe, "epochs": 99}}):
        replace(run, **change).write(folder)
        assert not base.is_done()
        with pytest.raises(
            ValueError, match=r"got one of other rows or another recipe; adopt it with: .* adopt FOLDER"
        ):
            base()
        group = find_group(setting, 10, models)
        with pytest.raises(FileNotFoundError, match=r"make them with: .* adopt FOLDER .*, then: mubench references"):
            group.require()
        assert mubench(["adopt", str(tuned), *place]) == 0
        assert base.is_done() and read_run(folder).split == run.split
