"""Every method on every task: which runs there are, and that the front door makes them."""

import pytest

from mubench.trainers.__main__ import main
from mubench.trainers.evaluation.result import read_results
from mubench.trainers.methods import METHODS
from mubench.trainers.runs.method_table import methods_for
from mubench.trainers.sweeps.bases import PRIMARY, matrix_sweeps, task_sweeps
from mubench.trainers.sweeps.jobs import Place
from tests.fixtures.walk import files

RANKED = Place(family=PRIMARY)


def matrix(*tasks, place=RANKED, methods=()):
    seeds = {"base_seeds": (0,), "retrain_seeds": (0, 1, 2), "seeds": (0,)}
    return matrix_sweeps(task_sweeps(tasks, place, methods=methods, **seeds))


def test_a_task_has_all_methods_that_are_made_for_it(mini):
    first, second = matrix(place=Place(data=str(mini)))
    assert (first.task, second.task) == ("cifar10", "imdb")
    for sweep in (first, second):
        made_for = methods_for("image_classification" if sweep is first else "text_classification")
        assert [*sweep.methods] == [
            key for key in made_for if not METHODS[key].from_scratch and not METHODS[key].whole_classes
        ]
        assert (sweep.base_seeds, sweep.retrain_seeds, sweep.seeds) == ((0,), (0, 1, 2), (0,))


def test_a_method_is_left_out_of_the_tasks_that_it_is_not_made_for():
    grids = matrix("cifar10", "tofu", methods=["lotus", "scrub"])
    assert {grid.task: grid.methods for grid in grids} == {"cifar10": ["scrub", "lotus"], "tofu": ["scrub"]}
    (alone,) = matrix("cifar10", "tofu", methods=["lotus"])
    assert alone.task == "cifar10"
    assert {grid.task: grid.place.family for grid in grids} == {"cifar10": "canonical", "tofu": "group"}


@pytest.mark.slow
def test_runs_are_made_and_judged(own_walk):
    words = ["--methods", "neg_grad", "--ratio", "10", "--workers", "1", "--retrain_seeds", "0 1", "--seeds", "5"]
    assert main(["matrix", "--task", "cifar10", *words, *own_walk.flags(), f"--results={own_walk.results}"]) == 0
    assert ("neg_grad", 5) in {(row.method, row.seed) for row in read_results(own_walk.results)}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--methods", "scrubb"], "method must be one of retrain"),
        (["--task", "tofu", "--methods", "lotus"], "expected methods made for tofu, got lotus"),
    ],
)
def test_mistakes_are_one_line(own_walk, capsys, words, line):
    before = files(own_walk.root)
    assert main(["matrix", *own_walk.flags(), f"--results={own_walk.results}", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mubench: ") and line in error and error.count("\n") == 1
    assert files(own_walk.root) == before
