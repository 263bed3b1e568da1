"""Sweeps: which jobs there are, what a worker does with them, and that nothing is done twice."""

import time
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.evaluation.result import read_results
from mubench.trainers.methods import METHODS, boundary_shrink
from mubench.trainers.runs.defaults import read_defaults
from mubench.trainers.sweeps.sweep import CURVE, Place, Sweep, run_sweep
from mubench.trainers.sweeps.worker_pool import Workers
from tests.fixtures.walk import RATIO, files


@pytest.fixture
def sweep(own_walk):
    place = Place(data=own_walk.data, models=own_walk.models, results=own_walk.results)
    return Sweep(
        task="cifar10", ratio=RATIO, backbones=["resnet"], base_seeds=[0, 1], retrain_seeds=[0, 1, 2],
        methods=["finetune"], seeds=[0], place=place,
    )  # fmt: skip


@pytest.fixture
def later(tmp_path):
    """Return jobs that each leave a folder after a moment."""
    folder = tmp_path / "later"
    folder.mkdir()

    def jobs(count):
        return [partial(_slowly, folder / str(i)) for i in range(count)]

    return folder, jobs


def _slowly(path: Path) -> Path:
    time.sleep(0.05)
    path.mkdir()
    return path


def test_references_are_every_base_and_every_model_from_scratch(sweep):
    jobs = replace(sweep, backbones=["resnet", "vit"]).references()
    bases = [(job.backbone, job.seed) for job in jobs if not hasattr(job, "method")]
    assert bases == [(backbone, seed) for backbone in ("resnet", "vit") for seed in (0, 1)]
    scratch = [(job.backbone, job.method, job.base_seed) for job in jobs if hasattr(job, "method")]
    assert sorted(scratch) == sorted(
        [(b, m, s) for b in ("resnet", "vit") for m in ("retrain", "retrain_keep50") for s in (0, 1, 2)]
        + [(b, "retrain_at", 0) for b in ("resnet", "vit") for _ in CURVE]
    )
    assert {dict(job.given)["percent"] for job in jobs if getattr(job, "method", "") == "retrain_at"} == {*CURVE}
    more = replace(sweep, retrain_seeds=range(5)).references()
    count = Counter(getattr(job, "method", "base") for job in more)
    assert count == {"base": 2, "retrain": 5, "retrain_keep50": 3, "retrain_at": 5}
    assert len(set(jobs)) == len(jobs)


def test_unlearning_is_the_grid_of_methods_bases_and_seeds(sweep):
    jobs = replace(sweep, methods=["scrub", "salun"], seeds=[4, 5]).unlearning()
    found = [(job.method, job.base_seed, job.seed) for job in jobs]
    assert found == [(m, b, s) for m in ("scrub", "salun") for b in (0, 1) for s in (4, 5)]


def test_no_method_named_means_every_method_that_starts_from_a_base(sweep):
    jobs = replace(sweep, methods=[]).unlearning()
    assert {job.method for job in jobs} == {
        key
        for key, one in METHODS.items()
        if "image_classification" in one.kinds and not one.from_scratch and not one.whole_classes
    }
    others = {job.method for job in replace(sweep, methods=[], backbones=["vit"]).unlearning()}
    assert {job.method for job in jobs} - others == {"ct"}


def test_only_methods_made_for_the_kind_of_task_are_run(sweep):
    jobs = replace(sweep, task="tofu", backbones=["llama"], methods=[]).unlearning()
    assert {job.method for job in jobs} == {
        key for key, one in METHODS.items() if "text_generation" in one.kinds and not one.from_scratch
    }
    assert "lotus" not in {job.method for job in jobs}


def test_judging_is_the_controls_and_every_finished_model(sweep, own_walk):
    jobs = sweep.judging()
    assert [job.folder and job.folder.name for job in jobs] == [None, "cifar10-mini-resnet-del10-neg-grad-s0"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ["nope"]}, "method must be one of"),
        ({"methods": ["finetune", "retrain"]}, "expected methods that start from a base model, got 'retrain'"),
        ({"task": "nope"}, "task must be one of"),
        ({"backbones": ["resnet", "bert"]}, "backbone of cifar10 must be one of"),
        ({"seeds": [1, 1]}, "expected each backbone, method and seed once, got 1 1"),
        ({"place": Place(data="nowhere/at/all")}, "mubench.hub_builders build cifar10"),
    ],
)
def test_what_cannot_work_is_found_out_before_a_worker_starts(sweep, own_walk, change, message, monkeypatch):
    monkeypatch.setattr("mubench.trainers.sweeps.sweep.Workers", None)
    before = files(own_walk.models)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run_sweep(replace(sweep, **change), workers=1)
    assert files(own_walk.models) == before


def test_a_sweep_on_one_worker_makes_models_and_rows_and_a_second_one_keeps_them(sweep, own_walk, capsys):
    run_sweep(sweep, workers=1)
    made = {path.name.removeprefix("cifar10-mini-resnet-") for path in own_walk.models.glob("*del10*")}
    assert {"del10-finetune-s0", "s1-del10-finetune-s0", "del10-retrain-keep50-s2"} <= made
    rows = read_results(own_walk.results)
    count = {method: sum(row.method == method for row in rows) for method in {row.method for row in rows}}
    assert count == {
        "finetune": 2, "neg_grad": 1, "retrain": 3, "retrain_keep50": 3, "retrain_at": 5, "base": 2, "flip_cheat": 2,
        "quantile_cheat": 2, "constant": 2,
    }  # fmt: skip
    error = capsys.readouterr().err
    assert all(title in error for title in ("references", "unlearning", "judging"))
    models, results = files(own_walk.models), files(own_walk.results)
    run_sweep(sweep, workers=1)
    assert (files(own_walk.models), files(own_walk.results)) == (models, results)


def test_without_seeds_only_the_references_are_made(sweep, own_walk):
    run_sweep(replace(sweep, seeds=[], retrain_seeds=[0, 1]), workers=1)
    assert (own_walk.models / "cifar10-mini-resnet-del10-retrain-keep50-s1").is_dir()
    assert not own_walk.results.exists() and not list(own_walk.models.glob("*finetune*"))


def test_the_first_failure_is_raised_and_the_rest_is_not_begun(later):
    folder, jobs = later
    with pytest.raises(ValueError, match="invalid literal"), Workers(1) as pool:
        pool.run([*jobs(1), partial(int, "no number"), *jobs(30)[1:]], "jobs")
    assert 1 <= len(list(folder.iterdir())) < 10


def test_no_workers_are_refused():
    with pytest.raises(ValueError, match=r"^workers must be 1 or more, got 0$"):
        Workers(0)


def test_all_jobs_are_done_when_none_fails(later):
    folder, jobs = later
    with Workers(2) as pool:
        pool.run(jobs(4), "jobs")
        pool.run([], "none")
    assert len(list(folder.iterdir())) == 4


def test_a_run_that_diverges_or_finds_nothing_to_do_does_not_stop_the_others(sweep, own_walk):
    table = read_defaults("image_classification/mini-resnet")
    few = {"base_seeds": (0,), "retrain_seeds": (0, 1), "seeds": (5,)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(table, "neg_grad", {"value": {"learning_rate": 1e17, "max_grad_norm": 0.0}})
        patch.setattr(boundary_shrink, "targets", lambda *_: [])
        message = "2 runs came to nothing and have no row: boundary_shrink of resnet: expected .*; neg_grad of resnet"
        with pytest.raises(NonFiniteError, match=message):
            run_sweep(replace(sweep, methods=("neg_grad", "boundary_shrink", "finetune"), **few), workers=1)
    methods = {row.method for row in read_results(own_walk.results)}
    assert "finetune" in methods
