"""Pools of a group: which runs are in them, and what the command prints of them."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from mubench.hub_builders.hub.model_folder import read_run
from mubench.trainers.evaluation.group import find_group
from mubench.trainers.evaluation.pools import gather_pools, measure_pools, retrained_halves
from mubench.trainers.metrics import ENSEMBLE_METRICS
from mubench.trainers.metrics.likelihood_ratio import u_lira
from mubench.trainers.runs.metric_table import run_ensemble
from tests.fixtures.walk import RATIO


def copy(folder, name, **changes):
    """Copy a model folder as that of another run."""
    place = shutil.copytree(folder, folder.with_name(name))
    replace(read_run(folder), **changes).write(place)


def group(walk):
    return find_group(walk.setting(), RATIO, walk.models)


def test_too_few_models_are_refused_in_one_line(walked):
    with pytest.raises(ValueError, match="expected at least 9 runs of neg_grad and 9 retrained models, got 1 and 3"):
        gather_pools(group(walked), "neg_grad")
    with pytest.raises(ValueError, match="expected a run of scrub, got neg_grad"):
        gather_pools(group(walked), "scrub")


def test_pools_hold_the_runs_of_one_method_over_its_seeds(own_walk):
    folder = own_walk.models / "cifar10-mini-resnet-del10-neg-grad-s0"
    first = own_walk.models / "cifar10-mini-resnet-del10-retrain-s0"
    for seed in range(1, 9):
        copy(folder, f"cifar10-mini-resnet-del10-neg-grad-s{seed}", seed=seed)
    for seed in range(3, 18):
        copy(first, f"cifar10-mini-resnet-del10-retrain-s{seed}", base_seed=seed)
    found = group(own_walk)
    pools = gather_pools(found, "neg_grad")
    assert len(pools.unlearned) == 9 and len(pools.retrained) == 18
    np.testing.assert_array_equal(pools.margins("forget")[0][3], found.outputs(folder)["forget"].log_odds)
    values = measure_pools(pools)
    assert values == {"u_lira": u_lira(pools)}
    assert len(retrained_halves(pools).unlearned) == len(retrained_halves(pools).retrained) == 9

    place = ["--task=cifar10", "--backbone=resnet", f"--ratio={RATIO}", f"--models={own_walk.models}"]
    lines = run_ensemble([*place, f"--data={own_walk.setting().data}", "--method=neg_grad"])
    assert lines[0] == "9 runs and 18 retrained of cifar10 resnet" and len(lines) == 2 + len(ENSEMBLE_METRICS)
    cells = {line.split()[0]: line for line in lines[2:]}
    assert f"{values['u_lira']:.4f}" in cells["u_lira"]
    assert cells["klom_forget"].split()[1:5] == ["16+", "models", "16+", "models"]

    copy(folder, "cifar10-mini-resnet-del10-neg-grad-s9", seed=9, arguments={"learning_rate": 0.5})
    with pytest.raises(ValueError, match="expected runs of neg_grad with the same arguments, got 2 different ones"):
        gather_pools(group(own_walk), "neg_grad")
