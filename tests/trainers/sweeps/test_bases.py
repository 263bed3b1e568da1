"""Base models of many tasks: trained once, listed in a table."""

import pytest

from mubench.hub_builders.tasks import TASKS
from mubench.trainers.__main__ import main
from mubench.trainers.sweeps.bases import PRIMARY, task_sweeps
from mubench.trainers.sweeps.jobs import Place
from tests.fixtures.walk import files


def test_finished_models_are_kept_and_listed(own_walk, capsys):
    before = files(own_walk.models)
    words = ["bases", "--ratio", "10", "--seeds", "0", "1", "--workers", "1", *own_walk.flags()]
    assert main(words) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["task", "backbone", "model"] and "MIA AUC" in head
    assert [line.split()[:4] for line in lines] == [
        ["cifar10", "resnet", name, f"s{seed}"] for name in ("base", "retrained") for seed in (0, 1)
    ]
    for line in lines:
        *scores, seconds = map(float, line.split()[4:])
        assert len(scores) == 4 and all(0 <= score <= 1 for score in scores) and seconds > 0
    assert files(own_walk.models) == before


def test_every_built_task_is_made_unless_one_is_named(mini):
    place = Place(data=str(mini))
    seeds = {"base_seeds": [3], "retrain_seeds": [3]}
    assert [sweep.task for sweep in task_sweeps([], place, **seeds)] == ["cifar10", "imdb"]
    assert [sweep.backbones for sweep in task_sweeps([], place, **seeds)] == [["resnet"], ["bert"]]
    (one,) = task_sweeps(["imdb"], place, **seeds)
    assert (one.task, one.base_seeds, one.retrain_seeds) == ("imdb", [3], [3])
    assert [job.method for job in one.references(methods=("retrain",)) if hasattr(job, "method")] == ["retrain"]


def test_every_task_is_of_the_family_it_is_ranked_on_unless_one_is_named():
    seeds = {"base_seeds": [0], "retrain_seeds": [0]}
    for family, expected in ((PRIMARY, ["canonical", "group"]), ("group", ["group", "group"])):
        sweeps = task_sweeps(["cifar10", "tofu"], Place(family=family), **seeds)
        assert [sweep.place.family for sweep in sweeps] == expected


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--task", "mnist"], f"task must be one of {', '.join(TASKS)}, got 'mnist'"),
        (["--ratio", "11"], "ratio must be a whole percentage from 1 to 10, got '11'"),
        (["--backbone", "vgg"], "backbone of cifar10 must be one of resnet"),
        (["--seeds", "x"], "seeds must be whole numbers from 0, got 'x'"),
    ],
)
def test_mistakes_are_one_line(own_walk, capsys, words, line):
    before = files(own_walk.root)
    assert main(["bases", *own_walk.flags(), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mubench: ") and line in error and error.count("\n") == 1
    assert files(own_walk.root) == before


def test_without_data_the_command_that_makes_them_is_named(tmp_path, capsys):
    assert main(["bases", "--data", str(tmp_path), "--models", str(tmp_path / "models")]) == 2
    assert "build them with: mubench build\n" in capsys.readouterr().err
