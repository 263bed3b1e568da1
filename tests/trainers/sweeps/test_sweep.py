"""Sweeps: which jobs there are, what a worker does with them, and that nothing is done twice."""

import os
from collections import Counter
from dataclasses import replace

import pytest

from mubench.hub_builders.hub.model_folder import read_runs
from mubench.trainers.evaluation.result import read_results
from mubench.trainers.methods import METHODS, boundary_shrink
from mubench.trainers.runs.defaults import read_defaults
from mubench.trainers.sweeps.estimates import SHARE, Estimates, JobCosts
from mubench.trainers.sweeps.jobs import BaseJob, JudgeGroupJob, JudgeJob, MethodJob, Place
from mubench.trainers.sweeps.schedule import FailedRunsError
from mubench.trainers.sweeps.sweep import CURVE, Sweep, run_sweep
from mubench.trainers.sweeps.worker_pool import Workers
from tests.fixtures.walk import COUNTS, RATIO, files


@pytest.fixture
def sweep(own_walk):
    place = Place(data=own_walk.data, models=own_walk.models, results=own_walk.results)
    return Sweep(
        task="cifar10", ratio=RATIO, backbones=["resnet"], base_seeds=[0, 1], retrain_seeds=[0, 1, 2],
        methods=["finetune"], seeds=[0], place=place,
    )  # fmt: skip


def test_references_are_every_base_and_every_model_from_scratch(sweep):
    jobs = replace(sweep, backbones=["resnet", "vit"]).references()
    bases = [(job.backbone, job.seed) for job in jobs if isinstance(job, BaseJob)]
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


def test_jobs_cost_what_their_finished_equals_do_or_passes_at_the_mean_rate_and_done_ones_nothing(sweep):
    grid = replace(sweep, backbones=["resnet", "vit"], retrain_seeds=[0, 1, 2, 3])
    found = JobCosts(grid.jobs())()
    costs = {job.label: found[job.key] for job in grid.jobs()}
    base, retrained = costs["base of cifar10 vit s1"], costs["retrain of cifar10 vit del10 s3"]
    assert retrained / base == pytest.approx(144 / 160) and costs["finetune of cifar10 vit del10 b0 s0"] > 0
    assert costs["finetune of cifar10 vit del10 b0 s0"] == pytest.approx(SHARE * base)
    assert costs["base of cifar10 resnet s0"] == 0 < costs["retrain of cifar10 resnet del10 s3"]
    runs = read_runs(sweep.place.models).values()
    seconds = [run.cost["seconds"] for run in runs if (run.method, run.tuned) == ("retrain", "default")]
    assert costs["retrain of cifar10 resnet del10 s3"] == pytest.approx(sum(seconds) / len(seconds))
    rate = Estimates(sweep.place.models).seconds_per_pass(sweep.bases("resnet")[0])
    assert rate and base == pytest.approx(960 * rate)  # no vit is finished
    rows = sum(COUNTS.values())
    judged, controls = ([cost for label, cost in costs.items() if label.startswith(of)] for of in ("row", "controls"))
    assert judged == pytest.approx([rows * base / 960] * len(judged))
    assert controls == pytest.approx([(4 + 4 * len(grid.base_seeds)) * judged[0]] * 2)  # retrained, and four a base


def test_unlearning_is_the_grid_of_seeds_bases_and_methods_whole_seeds_first(sweep):
    jobs = replace(sweep, methods=["scrub", "salun"], seeds=[4, 5]).unlearning()
    found = [(job.method, job.base_seed, job.seed) for job in jobs]
    assert found == [(m, b, s) for s in (4, 5) for b in (0, 1) for m in ("scrub", "salun")]


def test_every_row_comes_directly_after_its_run_and_those_of_controls_after_all_references(sweep):
    jobs = replace(sweep, methods=["scrub", "salun"], seeds=[4, 5]).jobs()
    count = len(sweep.references())
    kinds = "".join(type(job).__name__[0] for job in jobs[count:])
    assert kinds == "J" * 8 + "MJ" * 8 + "J"
    assert all(row.run == run for run, row in zip(jobs[count + 8 : -1 : 2], jobs[count + 9 : -1 : 2], strict=True))
    assert len({job.key for job in jobs}) == len(jobs)
    assert len(replace(sweep, options=({}, {})).jobs()) == len(sweep.jobs())


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


def test_a_row_needs_its_run_and_all_references_and_a_run_only_its_own_base(sweep):
    jobs = {job.key: job for job in sweep.jobs()}
    bases = {job.seed: key for key, job in jobs.items() if isinstance(job, BaseJob)}
    runs = {key: job for key, job in jobs.items() if isinstance(job, MethodJob)}
    for job in runs.values():
        assert job.requires == (() if METHODS[job.method].from_scratch else (bases[job.base_seed],))
    references = {*bases.values(), *(key for key, job in runs.items() if job.method == "retrain")}
    rows = [job for job in jobs.values() if isinstance(job, JudgeJob)]
    assert Counter(job.run.method for job in rows) == {"finetune": 2, "retrain_keep50": 3, "retrain_at": 5}
    assert all({*job.requires} == {job.run.key, *references} for job in rows)
    (group,) = (job for job in jobs.values() if isinstance(job, JudgeGroupJob))
    assert ({*group.requires}, {*group.after}) == (references, {job.key for job in rows})


def test_options_multiply_the_runs_and_controls_may_be_left_out(sweep):
    options = ({}, {"sam_rho": 0.1})
    grid = replace(sweep, methods=["scrub"], arguments={"scrub": {"alpha": 0.5}}, options=options, controls=())
    jobs = grid.unlearning()
    given = (("alpha", 0.5),), (("alpha", 0.5), ("sam_rho", 0.1))
    assert [(job.base_seed, job.given) for job in jobs] == [(base, one) for base in (0, 1) for one in given]
    assert len({job.key for job in jobs}) == 4
    assert {job.method for job in grid.references() if isinstance(job, MethodJob)} == {"retrain"}


def test_a_key_names_data_and_arguments_and_not_how_a_folder_is_written(sweep, own_walk, monkeypatch):
    (job, *_) = sweep.unlearning()
    monkeypatch.chdir(own_walk.root)
    place = replace(job.place, data=os.path.relpath(own_walk.data, own_walk.root))
    assert replace(job, place=place.absolute()).key == job.key == replace(job, place=place).key
    assert replace(job, place=replace(place, eval_seed=1)).key != job.key != replace(job, given=(("alpha", 1),)).key


def test_the_folder_of_a_family_is_found_by_its_own_name_and_by_that_of_all_families(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real" / "mu-bench-group").mkdir(parents=True)
    short, whole = (Place(data=data, family="group") for data in ("real/mu-bench", "real/mu-bench-group"))
    assert short.absolute().data == str(tmp_path / "real" / "mu-bench")
    assert short.key("a") == short.absolute().key("a") == whole.key("a") == whole.absolute().key("a")
    assert Place(data="team/mu-bench", family="group").absolute().data == "team/mu-bench"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ["nope"]}, "method must be one of"),
        ({"methods": ["finetune", "retrain"]}, "expected methods that start from a base model, got 'retrain'"),
        ({"task": "nope"}, "task must be one of"),
        ({"backbones": ["resnet", "bert"]}, "backbone of cifar10 must be one of"),
        ({"methods": ["scrub"], "arguments": {"scrub": {"alhpa": 1}}}, "got 'alhpa'; did you mean 'alpha'"),
        (
            {"methods": ["scrub"], "arguments": {"salun": {"rho": 1}}},
            "expected arguments of methods of the sweep",
        ),
        (
            {"tuned": True, "options": ({}, {"sam_rho": 0.1})},
            r"^expected no options beside tuned arguments, got \[\{\}, \{'sam_rho': 0.1\}\]$",
        ),
        (
            {"methods": ["scrub", "salun"], "options": ({}, {"lora_rank": 4})},
            "^expected no lora_rank, since salun works on weights or blocks, got 4$",
        ),
        (
            {"methods": ["scrub"], "options": ({}, {"learning_rate": "1e-3"})},
            "^expected learning_rate to be a number, got '1e-3', a string; as a number it is 0.001$",
        ),
        (
            {"methods": ["scrub"], "arguments": {"scrub": {"msteps": 2.5}}},
            "^expected msteps to be a whole number, got 2.5$",
        ),
        (
            {"methods": ["scrub"], "arguments": {"scrub": {"msteps": "2"}}},
            "^expected msteps to be a whole number, got '2', a string; as a number it is 2$",
        ),
        (
            {"methods": ["scrub"], "arguments": {"scrub": {"msteps": "1" * 400}}},
            "^expected msteps to be a whole number, got '1111",
        ),
        (
            {"methods": ["scrub"], "arguments": {"scrub": {"alpha": "inf"}}},
            "^expected alpha to be a number, got 'inf'$",
        ),
        ({"methods": ["scrub"], "options": ({"alpha": True},)}, "^expected alpha to be a number, got True$"),
        ({"controls": ["retrain"]}, "expected controls that start from a fresh model, got 'retrain'"),
        (
            {"tiers": ["full", "partial"]},
            "^expected cifar10 of tier full or partial in .*, got mini: make it with `mubench build cifar10 --tier",
        ),
        ({"seeds": [1, 1]}, "expected each backbone, method and seed once, got 1 1"),
        ({"place": Place(data="nowhere/at/all")}, "mubench build cifar10"),
    ],
)
def test_what_cannot_work_is_found_out_before_a_worker_starts(sweep, own_walk, change, message):
    before = files(own_walk.models)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run_sweep(replace(sweep, **change), executor=None)
    assert files(own_walk.models) == before


@pytest.mark.slow
def test_a_sweep_on_one_worker_makes_models_and_rows_and_a_second_one_keeps_them(sweep, own_walk, capsys):
    run_sweep(sweep, executor=Workers(1))
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
    run_sweep(sweep, executor=Workers(1))
    assert (files(own_walk.models), files(own_walk.results)) == (models, results)


@pytest.mark.slow
def test_without_seeds_only_the_references_are_made(sweep, own_walk):
    run_sweep(replace(sweep, seeds=[], retrain_seeds=[0, 1]), executor=Workers(1))
    assert (own_walk.models / "cifar10-mini-resnet-del10-retrain-keep50-s1").is_dir()
    assert not own_walk.results.exists() and not list(own_walk.models.glob("*finetune*"))


@pytest.mark.slow
def test_a_run_that_diverges_or_finds_nothing_to_do_does_not_stop_the_others(sweep, own_walk):
    table = read_defaults("image_classification/mini-resnet")
    methods = ("neg_grad", "boundary_shrink", "finetune")
    few = {"base_seeds": (0,), "retrain_seeds": (0, 1), "seeds": (5,), "controls": ()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(table, "neg_grad", {"value": {"learning_rate": 1e17, "max_grad_norm": 0.0}})
        patch.setattr(boundary_shrink, "targets", lambda *_: [])
        message = "got 2 failed jobs, and 2 dependent .*: boundary_shrink of cifar10 .* b0 s5: expected .*; neg_grad"
        with pytest.raises(FailedRunsError, match=message):
            run_sweep(replace(sweep, methods=methods, **few), executor=Workers(1)).check()
    assert "finetune" in {row.method for row in read_results(own_walk.results)}
    kept = run_sweep(replace(sweep, methods=methods, **few), executor=Workers(1))  # with what now would succeed
    assert sorted(job.method for job, _ in kept.failed) == ["boundary_shrink", "neg_grad"]
    again = run_sweep(replace(sweep, methods=methods, **few), executor=Workers(1), retry=True)
    assert not again.failed and not again.blocked
    assert {*methods} <= {row.method for row in read_results(own_walk.results)}
