"""Tuning: equal trials a method, on proxy requests and validation rows alone."""

import dataclasses
import importlib.util
import json
import os
from types import SimpleNamespace

import numpy as np
import pytest

from mubench.hub_builders.tasks import BACKBONES, TASKS
from mubench.hub_builders.tasks.own_backbones import OWN, OwnBackbone
from mubench.trainers.__main__ import main
from mubench.trainers.evaluation.controls import constant
from mubench.trainers.evaluation.validation_score import validation_score
from mubench.trainers.methods import METHODS, boundary_shrink
from mubench.trainers.runs.defaults import default_arguments
from mubench.trainers.sweeps.grid_file import read_grid
from mubench.trainers.sweeps.jobs import Place
from mubench.trainers.sweeps.schedule import FailedRunsError
from mubench.trainers.sweeps.sweep import Sweep
from mubench.trainers.sweeps.worker_pool import Workers
from mubench.trainers.tuning import search as module
from mubench.trainers.tuning import tune as tune_module
from mubench.trainers.tuning import tuned_grid
from mubench.trainers.tuning.proxy_requests import proxy_sweeps
from mubench.trainers.tuning.search import TrialJob, TuneMethod
from mubench.trainers.tuning.spaces import Categorical, LogFloat, LogInt, read_spaces, space_of
from mubench.trainers.tuning.trials import Trial, best_trial, merge_trials, read_trials, suggest, write_trials
from mubench.trainers.tuning.tune import plan_trials, run_searches, tune
from mubench.trainers.tuning.tuned_grid import _source, write_grids
from tests.fixtures.walk import RATIO

TUNED = [key for key, trainer in METHODS.items() if not trainer.from_scratch]


def test_spaces_are_of_methods_that_change_a_model():
    assert set(read_spaces()) <= {"default", *TUNED}


@pytest.mark.parametrize("key", TUNED)
def test_a_space_is_about_a_few_arguments_that_the_method_has(key):
    space = space_of(key)
    fields = {field.name: field.default for field in dataclasses.fields(METHODS[key].arguments)}
    assert 1 <= len(space) <= 4
    assert set(space) <= set(fields)
    for task in TASKS.values():
        given = default_arguments(task.kind, BACKBONES[task.default_backbone].family, key)
        for name, one in space.items():
            value = given.get(name, fields[name])
            assert not isinstance(one, LogFloat) or value > 0
            assert not isinstance(one, Categorical) or isinstance(value, type(one.values[0]) | int | float)


def validated(model):
    """Return a model's outputs of the splits that tuning reads, and no others."""
    return {"forget": model["forget"], "retain": model["retain"], "validation": model["test"]}


def test_the_validation_score_reads_no_test_row_and_orders_models(world):
    retrained, bases = ([validated(m) for m in models.values()] for models in (world.retrained(), world.bases()))
    models = world.views(saw=0.0, seed=9), world.views(saw=0.5, seed=9), world.views(saw=1.0, seed=9)
    good, half, base = (validation_score(validated(model), retrained, bases) for model in models)
    destroyed = validation_score(constant(bases[0]), retrained, bases)
    assert 1 >= good > 0.8 > half > 0.3
    assert 0.1 > base >= destroyed >= -1


def sweep(walk, **changes):
    place = Place(data=str(walk.data), models=walk.models, results=walk.results)
    kwargs = {"task": "cifar10", "ratio": RATIO, "backbones": ["resnet"], "base_seeds": (0,), "seeds": (5,)}
    return Sweep(**kwargs | changes, retrain_seeds=(0, 1), place=place)


def test_the_first_trial_is_the_default_and_its_model_is_removed(own_walk, monkeypatch):
    before = sorted(path.name for path in own_walk.models.iterdir())
    job = TuneMethod([sweep(own_walk)], "neg_grad", 1, own_walk.root / "tuning")
    (trial,) = read_trials(job(), job.about)
    assert trial.arguments == {} and 0 < trial.passes < 1 and -1 <= trial.value <= 1
    assert sorted(path.name for path in own_walk.models.iterdir()) == before
    monkeypatch.setattr(module, "unlearn", None)
    assert read_trials(job(), job.about) == [trial]


def test_a_setting_without_near_inputs_is_a_trial_and_leaves_no_files(own_walk, monkeypatch):
    monkeypatch.setattr(boundary_shrink, "targets", lambda *_: [])
    before = sorted(path.name for path in own_walk.models.rglob("*"))
    job = TuneMethod([sweep(own_walk)], "boundary_shrink", 1, own_walk.root / "tuning")
    (trial,) = read_trials(job(), job.about)
    assert trial == Trial({}, [-1.0], note="nothing near")
    assert sorted(path.name for path in own_walk.models.rglob("*")) == before


def fake_scores(monkeypatch, *values, passes=0.0):
    """Give trials these scores one after the other, and return the list of run seeds that they use."""
    scores, made_on = iter(values), []

    def trial(job):
        made_on.append(job.run.seed)
        value, arguments = next(scores), dict(job.run.given)
        epochs = arguments.get("num_train_epochs", 1)
        return Trial(arguments, [value], passes * epochs, note="diverged" if value == -1 else "")

    monkeypatch.setattr(TrialJob, "__call__", trial)
    return made_on


def passes_of(own_walk, out, monkeypatch, method, passes, *scores):
    """Return the passes of the trials of a method whose defaults cost so many."""
    fake_scores(monkeypatch, *scores, *[0.5] * 20, passes=passes)
    job = TuneMethod([sweep(own_walk)], method, 20, out)
    return [trial.passes for trial in read_trials(job(), job.about)]


def test_all_trials_of_a_method_cost_one_retraining_and_none_but_the_defaults_a_quarter(
    own_walk, tmp_path, monkeypatch
):
    cheap = passes_of(own_walk, tmp_path / "a", monkeypatch, "ssd", 0.15)  # without epochs, which change the cost
    assert cheap == [0.15] * 6
    dear = passes_of(own_walk, tmp_path / "b", monkeypatch, "finetune", 0.1)
    assert dear[0] == 0.1 and len(dear) > 4 and max(dear) <= 0.25 + 1e-9 and 0.75 < sum(dear) <= 1.0 + 1e-9
    assert passes_of(own_walk, tmp_path / "c", monkeypatch, "ssd", 0.3) == [0.3]


def test_no_setting_is_tried_twice_and_a_small_space_ends_the_search(own_walk, tmp_path, monkeypatch):
    space = {"num_train_epochs": LogInt(0.5, 2.0)}
    monkeypatch.setattr(module, "space_of", lambda method: space)
    fake_scores(monkeypatch, *[0.5] * 20, passes=0.001)
    job = TuneMethod([sweep(own_walk)], "finetune", 20, tmp_path)
    default = job.defaults["num_train_epochs"]
    tried = [trial.arguments.get("num_train_epochs", default) for trial in read_trials(job(), job.about)]
    low, high = space["num_train_epochs"].bounds(default)
    assert sorted(tried) == list(range(low, high + 1))


def test_a_trial_that_diverged_is_charged_as_much_as_the_first(own_walk, tmp_path, monkeypatch):
    assert passes_of(own_walk, tmp_path / "a", monkeypatch, "ssd", 0.0, -1.0)[0] == 0.25
    lost = Trial({"alpha": 2.0}, [-1.0], note="diverged")
    assert TuneMethod._charge(lost, [Trial({}, [0.1], 0.2)]).passes == 0.2


def test_searches_run_side_by_side_and_a_lost_worker_stops_its_own_alone(own_walk, tmp_path, monkeypatch):
    fake_scores(monkeypatch, *[0.5] * 3)
    kept = TrialJob.__call__

    def dies(job):
        if job.run.method == "neg_grad":
            os._exit(7)
        return kept(job)

    monkeypatch.setattr(TrialJob, "__call__", dies)
    searches = [TuneMethod([sweep(own_walk)], key, 2, tmp_path) for key in ("neg_grad", "ssd")]
    reason = "expected the worker process to finish the job, got exit code 7"
    line = f"^expected all trials to finish, got 1 failed trial: neg_grad: {reason}$"
    with pytest.raises(FailedRunsError, match=line), Workers(2) as pool:
        run_searches(searches, pool)
    assert [len(read_trials(one.path, one.about)) for one in searches] == [0, 2]


def test_a_score_is_the_mean_over_requests_and_no_more_are_run_than_needed(own_walk, tmp_path, monkeypatch):
    sweeps = [sweep(own_walk), sweep(own_walk, seeds=(6,))]
    made_on = fake_scores(monkeypatch, 0.5, 0.3, 0.1, 0.3, 0.7, -1.0, 0.9, 0.1)
    job = TuneMethod(sweeps, "neg_grad", 5, tmp_path)
    trials = read_trials(job(), job.about)
    assert [trial.values for trial in trials] == [[0.5, 0.3], [0.1], [0.3, 0.7], [-1.0], [0.9, 0.1]]
    assert [round(trial.value, 9) for trial in trials] == [0.4, 0.1, 0.5, -1.0, 0.5]
    assert made_on == [5, 6, 5, 5, 6, 5, 5, 6]


def test_the_best_settings_are_a_grid_of_the_published_request(own_walk, tmp_path, monkeypatch):
    fake_scores(monkeypatch, 0.5, 0.9, 0.4, 0.4)
    searches = [TuneMethod([sweep(own_walk)], key, 2, tmp_path) for key in ("scrub", "ssd")]
    better, worse = (read_trials(one(), one.about)[1] for one in searches)
    for name in ("salun", "notes"):  # trials of other requests, and those of no method
        (tmp_path / f"image_classification-mini-resnet-del10-{name}.json").write_text('{"about": {}, "trials": []}')
    (path,) = write_grids(searches[1:])  # of an earlier command, too
    assert path == tmp_path / "cifar10-resnet-del10.yaml"
    (found,) = read_grid(path, models=str(own_walk.models)).sweeps()
    assert (found.task, found.ratio, found.backbones, found.place.data) == ("cifar10", 10, ["resnet"], own_walk.data)
    assert [*found.tiers] == ["mini"]
    runs = [(job.method, job.base_seed, dict(job.given)) for job in found.unlearning()]
    best = [("scrub", better.arguments), ("ssd", {})]
    assert better.arguments and worse.arguments
    assert runs == [(key, seed, given) for seed in (0, 1, 2) for key, given in best] and len(found.retrain_seeds) == 5
    plans = [job.plan() for job in found.unlearning()[:2]]
    assert [plan.run.tuned for plan in plans] == ["tuned", "default"]


def test_a_grid_has_the_tasks_of_one_deletion_family_and_places_of_its_own(tmp_path, monkeypatch):
    def proxy(task, family, folder):
        place = Place(data=str(tmp_path / folder), family=family, eval_seed=3)
        seeds = {"base_seeds": (0,), "retrain_seeds": (0, 1), "seeds": (0,)}
        return Sweep(task=task, ratio=5, backbones=["bert"], methods=("scrub",), place=place, **seeds)

    sweeps = [proxy("imdb", "canonical", "mu-bench-d1"), proxy("ddi2013", "group", "mu-bench-group-d1")]
    monkeypatch.setattr(TuneMethod, "about", {})
    tiers = {"imdb": "full", "ddi2013": "partial"}
    monkeypatch.setattr(tuned_grid, "task_info", lambda task, **_: SimpleNamespace(tier=tiers[task]))
    one = TuneMethod(sweeps, "scrub", 1, tmp_path)
    write_trials(one.path, {}, [Trial({}, [0.1]), Trial({"alpha": 0.25}, [0.3])])
    paths = write_grids([one])
    assert [path.name for path in paths] == ["imdb-bert-del5.yaml", "ddi2013-bert-del5-group.yaml"]
    for path, task, family, folder in zip(
        paths, ("imdb", "ddi2013"), ("canonical", "group"), ("mu-bench", "mu-bench-group"), strict=True
    ):
        grid = read_grid(path)
        assert (grid.tasks, grid.family, grid.data) == ([task], family, str(tmp_path / folder))
        assert (grid.backbones, grid.ratios, grid.eval_seed, grid.tuned) == ({task: ["bert"]}, [5], 3, True)
        assert grid.methods == {"scrub": {"alpha": 0.25}} and [*grid.tiers] == [tiers[task]]


def test_a_grid_names_a_custom_backbone_by_its_repository_or_folder(own_walk, tmp_path, monkeypatch):
    about = {"family": "mini-resnet", "architecture": "ResNetForImageClassification", "sha256": "0" * 64}
    own = [OwnBackbone(**about, millions=0.1, hub_id="/here/net", repository=one) for one in (None, "team/net")]
    adopted = dataclasses.replace(own[0], start="resnet")
    found = []
    for backbone in (*own, adopted):
        monkeypatch.setitem(OWN, "net-00000000", backbone)
        found.append(_source("net-00000000"))
    assert found == ["/here/net", "team/net", "net-00000000"] and _source("resnet") == "resnet"


def test_a_damaged_file_of_trials_is_named(own_walk, tmp_path, monkeypatch):
    fake_scores(monkeypatch, 0.5)
    one = TuneMethod([sweep(own_walk)], "ssd", 1, tmp_path)
    one()
    path = tmp_path / "image_classification-mini-resnet-del10-salun.json"
    path.write_text("")
    with pytest.raises(ValueError, match=f"^expected a file of trials, got {path} "):
        write_grids([one])


def test_trials_of_another_backbone_are_refused(own_walk, tmp_path, monkeypatch):
    fake_scores(monkeypatch, 0.5)
    TuneMethod([sweep(own_walk)], "neg_grad", 1, tmp_path)()
    other = TuneMethod([sweep(own_walk, backbones=["vit"])], "neg_grad", 1, tmp_path)
    monkeypatch.setattr(TuneMethod, "stem", "image_classification-mini-resnet-del10")
    with pytest.raises(ValueError, match=r"expected trials about .*cifar10, vit, .*got .*cifar10, resnet, "):
        other()


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ((0.9, 0.0, 0.6, 0.5), [[0.9, 0.0], [0.6, 0.5]]),  # far behind on the first, but not behind the mean
        ((0.1, 0.7, 0.3, 0.9), [[0.1, 0.7], [0.3, 0.9]]),  # behind the mean, but ahead on the first
        ((0.6, 0.6, 0.3), [[0.6, 0.6], [0.3]]),
        ((0.9, -1.0, 0.3, 0.2), [[0.9, -1.0], [0.3, 0.2]]),  # a failed trial is no bar
    ],
)
def test_a_trial_that_is_not_run_on_all_requests_is_never_the_best(own_walk, tmp_path, monkeypatch, scores, expected):
    fake_scores(monkeypatch, *scores)
    job = TuneMethod([sweep(own_walk), sweep(own_walk, seeds=(6,))], "neg_grad", 2, tmp_path)
    trials = read_trials(job(), job.about)
    assert [trial.values for trial in trials] == expected
    assert len(best_trial(trials).values) == 2


def test_a_setting_that_fails_on_one_request_fails():
    good, bad = Trial({"alpha": 1.0}, [0.9], 0.1), Trial({"alpha": 1.0}, [-1.0], 0.3, note="constant_class")
    assert merge_trials([good, bad]) == Trial({"alpha": 1.0}, [0.9, -1.0], 0.2, note="constant_class")
    assert merge_trials([good, bad]).value == -1.0


def test_tasks_with_the_same_defaults_are_tuned_together(tmp_path):
    def grid(task):
        backbones = [TASKS[task].default_backbone]
        return Sweep(
            task=task, ratio=5, backbones=backbones, base_seeds=(0,), retrain_seeds=(0, 1), methods=("scrub", "lotus")
        )

    jobs = plan_trials([grid(task) for task in ("cifar10", "imdb", "tofu", "cifar100")], trials=2, out=tmp_path)
    assert [([one.task for one in job.sweeps], job.method) for job in jobs] == [
        (["cifar10", "cifar100"], "scrub"), (["cifar10", "cifar100"], "lotus"),
        (["imdb"], "scrub"), (["imdb"], "lotus"), (["tofu"], "scrub"),
    ]  # fmt: skip
    assert {(job.trials, job.out) for job in jobs} == {(2, tmp_path)}


@pytest.mark.parametrize(
    ("folder", "task", "message"),
    [
        ("elsewhere", "cifar10", "expected a folder name that build gives, such as mu-bench-d1, got elsewhere"),
        ("mu-bench-group-d1", "cifar10", "expected cifar10 in mu-bench-d1, got no such data; build them with"),
        ("mu-bench-d2", "tofu", "build tofu --family group --deletion_seed 1, and name its folder with --data"),
        (
            "mu-bench-group-d2",
            "tofu",
            "mu-bench-group-d2, got no such data; build them with: mubench build",
        ),
        ("mu-bench-d1", "cifar", "task must be one of"),
    ],
)
def test_data_without_the_proxy_request_are_refused_in_one_line(folder, task, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        proxy_sweeps([str(tmp_path / folder)], [task], backbone=None, ratio=5, seed=0, place=Place())


def test_trials_of_other_requests_are_refused(own_walk, tmp_path, monkeypatch):
    fake_scores(monkeypatch, 0.5, 0.3)
    alone, both = ([sweep(own_walk)], [sweep(own_walk), sweep(own_walk, seeds=(6,))])
    TuneMethod(alone, "neg_grad", 1, tmp_path)()
    with pytest.raises(ValueError, match="expected trials about"):
        TuneMethod(both, "neg_grad", 1, tmp_path)()


def test_the_published_deletion_is_refused(own_walk, capsys):
    arguments = ["tune", "--task", "cifar10", f"--data={own_walk.data}", f"--out={own_walk.root}"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("mubench: expected a proxy request") and error.count("\n") == 1


def test_trials_are_read_as_they_were_written(tmp_path):
    trials = [Trial({}, [0.25, 0.5], 0.1), Trial({"alpha": 0.5}, [-1.0], note="diverged")]
    about = {"defaults": {"alpha": 1.0}}
    write_trials(tmp_path / "in" / "a.json", about, trials)
    assert read_trials(tmp_path / "in" / "a.json", about) == trials
    assert read_trials(tmp_path / "other.json", about) == []
    with pytest.raises(ValueError, match="expected trials about"):
        read_trials(tmp_path / "in" / "a.json", {"defaults": {"alpha": 2.0}})
    (tmp_path / "a.json").write_text(json.dumps([{"value": 1}]))
    with pytest.raises(ValueError, match="expected a file of trials"):
        read_trials(tmp_path / "a.json", about)


def test_the_bounds_of_a_range_are_short_numbers():
    assert LogFloat(0.1, 10.0).bounds(0.003) == (0.0003, 0.03)


def test_integers_stay_in_their_range_and_trials_outside_it_are_left_out():
    space = {"num_train_epochs": LogInt(0.25, 2.0)}
    assert space["num_train_epochs"].bounds(3) == (1, 6) and space["num_train_epochs"].bounds(1) == (1, 2)
    done = [Trial({}, [0.1]), Trial({"num_train_epochs": 32}, [0.9])]
    suggested = [suggest(space, {"num_train_epochs": 4.0}, done[: 1 + i % 2] * (1 + i)) for i in range(20)]
    found = {arguments["num_train_epochs"] for arguments in suggested}
    assert found <= set(range(1, 9)) and len(found) > 3 and all(isinstance(one, int) for one in found)


def test_a_study_finds_a_maximum_across_restarts():
    space = {"alpha": LogFloat(0.01, 100.0), "k": Categorical((0, 1, 2))}
    defaults = {"alpha": 1.0, "k": 1}

    def value(arguments):
        return 1 - abs(np.log10(arguments.get("alpha", 1.0)) - 1.2) / 4 - 0.2 * (arguments.get("k", 1) != 2)

    done = [Trial({}, [value({})])]
    while len(done) < 30:
        given = suggest(space, defaults, done)  # as after a restart
        assert 0.01 <= given["alpha"] <= 100 and given["k"] in (0, 1, 2)
        done.append(Trial(given, [value(given)]))
    assert len({trial.arguments.get("alpha") for trial in done}) > 20
    assert max(trial.value for trial in done[15:]) > max(0.9, done[0].value)


def test_a_search_without_optuna_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    line = r"^expected the package optuna to suggest trials, got none: pip install 'mubench\[sweep\]'$"
    with pytest.raises(FileNotFoundError, match=line):
        tune([], trials=2, out=tmp_path, executor=None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("clusters", "line"),
    [
        (["--slurm=gpu"], "expected Slurm on this machine, got: "),
        (["--slurm=gpu", "--ray=local"], "expected --ray or"),
    ],
)
def test_a_cluster_that_is_not_there_is_refused(own_walk, monkeypatch, capsys, clusters, line):
    monkeypatch.setenv("PATH", "")  # also where there is a Slurm
    monkeypatch.setattr(tune_module, "proxy_sweeps", lambda *_, **__: [sweep(own_walk)])
    monkeypatch.setattr(tune_module, "_check_requests", lambda *_: None)
    assert main(["tune", "--task=cifar10", "--methods=ssd", "--trials=1", *clusters]) == 2
    assert capsys.readouterr().err.startswith(f"mubench: {line}")
