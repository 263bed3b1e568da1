"""The walk of ``make demo``: the mini task is a good one, and its controls and methods come out as they must.

``MUBENCH_DEMO`` names a folder where a demo has run; without it a shorter walk (one seed a method) is made first.
"""

import json
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from transformers import pipeline

from mubench.hub_builders import decode
from mubench.hub_builders.dataset.build import build
from mubench.trainers.evaluation.group import find_group
from mubench.trainers.evaluation.result import read_results
from mubench.trainers.inference.outputs import ClassOutputs
from mubench.trainers.metrics.attacks import loss_mia
from mubench.trainers.metrics.case import Case
from mubench.trainers.models.setting import load_setting
from mubench.trainers.sweeps.jobs import Place
from mubench.trainers.sweeps.sweep import Sweep, run_sweep
from mubench.trainers.sweeps.worker_pool import Workers

pytestmark = pytest.mark.slow
BACKBONES = ("resnet", "vit")
MAKEFILE = Path(__file__).parents[2] / "Makefile"
(TRIED,) = (line.split()[2:] for line in MAKEFILE.read_text().splitlines() if line.startswith("DEMO_METHODS :="))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Return where a demo's data, models and results lie."""
    if "MUBENCH_DEMO" in os.environ:
        root = Path(os.environ["MUBENCH_DEMO"])
        return Place(data=str(root / "mu-bench"), models=root / "models", results=root / "results")
    root = tmp_path_factory.mktemp("demo")
    place = Place(data=str(build("cifar10", out=root)), models=root / "models", results=root / "results")
    seeds = {"base_seeds": (0, 1), "retrain_seeds": (0, 1, 2), "seeds": (0,)}
    sweep = Sweep(task="cifar10", ratio=10, backbones=BACKBONES, methods=TRIED, place=place, **seeds)
    run_sweep(sweep, executor=Workers(2)).check()
    return place


@pytest.fixture(scope="module", params=BACKBONES)
def group(demo, request):
    """Return base and retrained models of one backbone."""
    return find_group(load_setting("cifar10", request.param, data=demo.data), 10, demo.models)


@pytest.fixture(scope="module", params=BACKBONES)
def rows(demo, request):
    """Return the result rows of one backbone, by method."""
    by_method = defaultdict(list)
    for row in read_results(demo.results):
        if (row.task, row.ratio, row.backbone) == ("cifar10", 10, request.param):
            by_method[row.method].append(row)
    return by_method


def accuracy(outputs: ClassOutputs) -> float:
    return float(outputs.correct.mean())


def test_base_models_know_what_they_were_trained_on(group):
    views = [group.outputs(folder) for folder in group.bases.values()]
    assert len(views) >= 2
    assert np.mean([accuracy(view["retain"]) for view in views]) >= 0.99
    assert np.mean([accuracy(view["forget"]) for view in views]) >= 0.95


@pytest.mark.parametrize("backbone", BACKBONES)
def test_models_work_in_a_pipeline_as_they_lie(demo, backbone):
    setting = load_setting("cifar10", backbone, data=demo.data)
    group = find_group(setting, 10, demo.models)
    few = decode(setting.rows["test"].select(range(8)))
    for folder in (*group.bases.values(), *group.retrained.values()):
        predictions = pipeline("image-classification", model=str(folder), device="cpu")([row["image"] for row in few])
        known = group.outputs(folder)["test"].logits[:8].argmax(axis=1)
        assert [answers[0]["label"] for answers in predictions] == [setting.info.labels[place] for place in known]


def test_retrained_models_treat_forget_rows_like_rows_they_never_saw(group):
    views = [group.outputs(folder) for folder in group.retrained.values()]
    forget, test = (np.mean([accuracy(view[split]) for view in views]) for split in ("forget", "test"))
    rows = {split: len(views[0][split]) for split in ("forget", "test")}
    assert rows["forget"] >= 50
    assert 0.55 <= round(forget, 9) <= 0.80
    error = np.sqrt(forget * (1 - forget) / rows["forget"] + test * (1 - test) / rows["test"])
    assert abs(forget - test) < 3 * error
    # The attack's AUC is one half up to its standard error for equal distributions; that of one model, since the
    # models share their rows and err together.
    area = np.mean([loss_mia(Case(view, views, views, 0.1)) for view in views])
    sizes = rows["forget"] * rows["test"]
    assert abs(area - 0.5) < 3 * np.sqrt((rows["forget"] + rows["test"] + 1) / (12 * sizes))


def test_three_retrained_models_are_too_few_for_the_signal_gate_and_leave_a_signal(rows):
    assert len(rows["retrain"]) == 3 and {row.row_spread for runs in rows.values() for row in runs} == {None}
    assert all(row.no_signal is None for runs in rows.values() for row in runs)


def test_controls_come_out_in_order(rows):
    score = {name: np.mean([row.metrics["score"].value for row in runs]) for name, runs in rows.items()}
    assert score["retrain"] >= 0.8
    assert 0.15 < score["retrain_keep50"] < 0.7
    assert max(score["flip_cheat"], score["constant"], score["base"]) <= 0.1
    assert all(row.control for name in ("retrain", "retrain_keep50", "flip_cheat") for row in rows[name])


@pytest.mark.parametrize("method", TRIED)
def test_no_method_is_broken_and_every_row_is_whole(rows, method):
    assert len(rows[method]) >= 2
    for row in rows[method]:
        assert row.flags == [] and not row.control and row.interval is not None
        assert {"score", "row", "mean", "membership", "utility", "gap", "kl_retrained"} <= set(row.metrics)
        assert all(np.isfinite(value.value) for value in row.metrics.values())
        assert row.cost["forward"] > 0 and row.cost["passes_share"] > 0 and row.cost["seconds_share"] > 0
        assert row.provisional and row.references.bases == [0, 1] and row.references.retrained == [0, 1, 2]


def test_a_row_names_no_place_on_this_machine(demo):
    for path in demo.results.glob("*.json"):
        text = path.read_text()
        assert str(Path.cwd()) not in text and str(Path.home()) + "/" not in text
        assert json.loads(text)["tier"] == "mini"
