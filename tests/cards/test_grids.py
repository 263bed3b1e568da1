"""The shipped grids: keys that exist, and as many models, methods and controls as a ranked row needs."""

from pathlib import Path

import pytest

from mubench.hub_builders.tasks import get_recipe, get_task
from mubench.trainers.runs.method_table import check_method
from mubench.trainers.sweeps.grid_file import read_grid
from mubench.trainers.sweeps.sweep import CURVE

GRIDS = Path(__file__).resolve().parents[2] / "cards" / "grids"
REAL = {"cifar10", "ddi2013", "speech_commands", "tiny_imagenet", "ucf101", "nlvr2", "imdb", "tofu"}
THREE_SEEDS = {"cifar10", "ddi2013", "imdb"}
OF_THE_PAPER = {"neg_grad", "random_label", "bad_teaching", "scrub", "salun"}


def test_there_is_a_grid_for_every_real_task():
    assert {path.stem for path in GRIDS.glob("*.yaml")} == REAL


@pytest.mark.parametrize("path", sorted((GRIDS / "analyses").glob("*.yaml")), ids=lambda path: path.stem)
def test_an_analysis_differs_from_the_grid_of_its_task_in_one_factor(path):
    for one in read_grid(path).sweeps():
        (whole,) = read_grid(GRIDS / f"{one.task}.yaml").sweeps()
        assert {*one.methods} <= {*whole.methods} and {*one.seeds} <= {*whole.seeds}
        same = ("task", "place", "base_seeds", "retrain_seeds")
        assert [getattr(one, name) for name in same] == [getattr(whole, name) for name in same]
        assert any(one.arguments.values()) == one.tuned
        factors = ("ratio", "options", "backbones")
        assert sum(getattr(one, name) != getattr(whole, name) for name in factors) + one.tuned == 1
        for backbone in one.backbones:
            get_recipe(get_task(one.task), backbone)


@pytest.mark.parametrize("path", sorted(GRIDS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_a_grid_refuses_mini_data_and_its_comment_builds_its_first_tier(path):
    grid = read_grid(path)
    (line,) = (line for line in path.read_text().splitlines() if line.startswith("# Data: mubench build "))
    assert f"--tier {grid.tiers[0]}" in line and {*grid.tiers} <= {"full", "partial"}
    assert all(tuple(sweep.tiers) == tuple(grid.tiers) for sweep in grid.sweeps())


@pytest.mark.parametrize("task", sorted(REAL))
def test_a_grid_is_that_of_ranked_rows_with_published_defaults(task):
    (sweep,) = read_grid(GRIDS / f"{task}.yaml").sweeps()
    assert (sweep.task, sweep.ratio, sweep.options) == (task, 10, ({},))
    assert not any(sweep.arguments.values())
    row = get_task(task)
    assert sweep.place.family == row.family_of("partial" if task in ("ucf101", "nlvr2") else "full")
    for backbone in sweep.backbones:
        get_recipe(row, backbone)
        for method in sweep.methods:
            check_method(method, row.kind, backbone)
    assert len(sweep.methods) >= 14 and {*sweep.methods} >= OF_THE_PAPER
    assert (len(sweep.base_seeds), len(sweep.retrain_seeds)) == (3, 5)
    assert len(sweep.seeds) == (3 if task in THREE_SEEDS else 1)
    references = [job for job in sweep.references() if hasattr(job, "method")]
    count = {
        name: sum(job.method == name for job in references) for name in ("retrain", "retrain_keep50", "retrain_at")
    }
    assert count == {"retrain": 5, "retrain_keep50": 3, "retrain_at": len(CURVE)}
