"""Every mini backbone on a few rows of a task: trained, saved and reloaded, retrained, and unlearned with SCRUB."""

import dataclasses
import functools

import pytest

from mubench.hub_builders.base_models import train_base, workbench
from mubench.hub_builders.build import build
from mubench.hub_builders.folders import REFERENCE
from mubench.hub_builders.mini import MINI
from mubench.hub_builders.modalities import MODALITIES
from mubench.hub_builders.outputs import read_outputs
from mubench.hub_builders.tasks import BACKBONES, TASKS
from mubench.trainers.methods import METHODS
from mubench.trainers.run import Request, unlearn
from mubench.trainers.sweep import QUIET

pytestmark = pytest.mark.slow
ROWS = {"train": 96, "validation": 16, "test": 32, "ood": 16}
RATIO = 10
# A backbone is looked at on the first task that has it.
TASK_OF = {
    backbone: key
    for key, task in reversed(TASKS.items())
    for backbone in task.recipes
    if BACKBONES[backbone].hub_id is None and task.kind in MODALITIES
}
rows_of = functools.cache(lambda key: MINI[key]())


def some(rows, count):
    """Return so many rows: the first of every label, then the others in their order."""
    first = {row.get("label"): place for place, row in reversed(list(enumerate(rows)))}
    order = sorted(range(len(rows)), key=lambda place: place != first[rows[place].get("label")])
    return [rows[place] for place in order[:count]]


@pytest.fixture
def bench(request, tmp_path, monkeypatch):
    """Return the bench of a backbone, on a few rows of its task and with a recipe of two passes."""
    key = TASK_OF[request.param]
    few = {split: [dict(row) for row in some(rows, ROWS[split])] for split, rows in rows_of(key).items()}
    recipe = dataclasses.replace(TASKS[key].recipes[request.param], epochs=2, batch_size=32, warmup=0.0)
    monkeypatch.setitem(MINI, key, lambda: few)
    monkeypatch.setitem(TASKS[key].counts, "mini", {split: len(rows) for split, rows in few.items()})
    monkeypatch.setitem(TASKS[key].recipes, request.param, recipe)
    return workbench(key, request.param, data=str(build(key, out=tmp_path)))


def says(bench, folder):
    """Return what a folder's reference outputs say, after a look at the model that it holds."""
    stored = read_outputs(folder / REFERENCE)
    model, processor = bench.modality.load(folder)
    again = bench.outputs(model, processor, folder.parent)
    assert set(stored) == set(again) == set(bench.rows)
    assert all(stored[split].equals(again[split]) for split in stored)
    return stored["train"]


@pytest.mark.parametrize("bench", TASK_OF, indirect=True)
def test_a_mini_backbone_goes_the_whole_way(bench, tmp_path):
    models = tmp_path / "models"
    given = {"retrain": {}, "scrub": {"num_train_epochs": 1, "msteps": 1}}
    said = [says(bench, train_base(bench, 0, models=models, **QUIET))]
    for method, arguments in given.items():
        if bench.task.kind in METHODS[method].kinds:
            request = Request(bench=bench, method=method, ratio=RATIO, models=models, arguments={**QUIET, **arguments})
            said.append(says(bench, unlearn(request)))
    assert len(said) == 1 + sum(bench.task.kind in METHODS[method].kinds for method in given) > 1
    assert not any(said[0].equals(other) for other in said[1:])
