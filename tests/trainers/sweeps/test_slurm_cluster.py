"""Slurm, through submitit: its jobs as processes of this machine, one that dies, and what is refused without Slurm."""

import importlib
import importlib.util
from collections import Counter
from pathlib import Path
from unittest.mock import Mock

import pytest

from mubench.trainers.__main__ import main
from mubench.trainers.sweeps.jobs import Place
from mubench.trainers.sweeps.schedule import run_jobs
from mubench.trainers.sweeps.slurm_cluster import SlurmCluster
from tests.fixtures.fake_jobs import FakeRun, lines_of

# submitit configures logging as it is imported, and absl, of rouge_score, then closes a stream that is not the current
# stderr: here the tests' own, were it imported while a test captures its output.
importlib.import_module("submitit")

SWEEP = ["sweep", "--task=cifar10", "--ratio=10", "--methods=finetune", "--slurm=gpu"]


def test_without_submitit_or_slurm_a_sweep_is_refused_in_one_line(own_walk, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")  # also where there is a Slurm
    words = [*SWEEP, *own_walk.flags()]
    assert main(words) == 2
    assert capsys.readouterr().err.startswith("mubench: expected Slurm on this machine, got: ")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "submitit" else find(name, *a))
    assert main(words) == 2
    line = "mubench: expected the package submitit to run sweeps on Slurm, got none: pip install 'mubench[sweep]'\n"
    assert capsys.readouterr().err == line


def test_wrong_resources_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^expected a whole number of GPUs a job on Slurm, got 0\.5$"):
        SlurmCluster("gpu", tmp_path, gpus=0.5)
    with pytest.raises(ValueError, match=r"^workers must be 1 or more, got 0$"):
        SlurmCluster("gpu", tmp_path, workers=0)


def test_two_clusters_are_refused(own_walk, capsys):
    assert main([*SWEEP, "--ray=local", "--dry_run", *own_walk.flags()]) == 2
    assert capsys.readouterr().err == "mubench: expected --ray or --slurm, got both\n"


def test_a_job_that_slurm_does_not_take_has_failed_and_the_sweep_goes_on(tmp_path, monkeypatch):
    for name in ("srun", "sbatch"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'invalid partition: gpu' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    place = Place(models=tmp_path)
    jobs = [FakeRun(place, "cifar10", "resnet", 0, name) for name in ("one", "two")]
    with SlurmCluster("gpu", tmp_path / "jobs", workers=1) as cluster:
        report = run_jobs(jobs, cluster)
    reasons = {job.name: reason for job, reason in report.failed}
    assert reasons.keys() == {"one", "two"}
    for reason in reasons.values():
        assert reason.startswith("expected Slurm to take the job, got: ") and "invalid partition: gpu" in reason


def test_of_the_jobs_that_wait_slurm_gets_the_one_with_the_lowest_place(tmp_path, monkeypatch):
    sent = []

    def submit(_, job, cpus):
        sent.append(job.name)
        return Mock(state="RUNNING")

    with SlurmCluster("default", tmp_path / "jobs", workers=1, cluster="local") as cluster:
        monkeypatch.setattr(cluster._executor, "submit", submit)
        for name, place in (("late", 2), ("early", 1)):
            cluster.submit(FakeRun(Place(models=tmp_path), "cifar10", "resnet", 0, name), place)
        assert [job.name for job in cluster.running()] == sent == ["early"]


@pytest.mark.slow
def test_a_killed_job_costs_one_run_and_leaves_its_log_alone(tmp_path):
    place = Place(models=tmp_path)

    def run(name: str, **fields) -> FakeRun:
        return FakeRun(place, "cifar10", "resnet", 0, name, **fields)

    jobs = [run("bad", fault="kill"), run("base"), run("wrong", fault="no luck"), run("blocked", first=("bad",))]
    jobs += [run("after", first=("base",))]
    with SlurmCluster("default", tmp_path / "jobs", workers=2, cluster="local") as cluster:
        report = run_jobs(jobs, cluster)
        assert not cluster.running()
    numbers = [folder.name for folder in (tmp_path / "jobs").iterdir()]
    reasons = {job.name: reason for job, reason in report.failed}
    assert reasons.keys() == {"bad", "wrong"} and reasons["wrong"] == "no luck"
    assert reasons["bad"].startswith("expected the Slurm job ")
    assert Path(reasons["bad"].partition("log: ")[2]).is_file()
    assert [job.name for job in report.blocked] == ["blocked"]
    assert Counter(lines_of(tmp_path)) == dict.fromkeys(["bad", "base", "wrong", "after"], 1)
    assert len(numbers) == 2 and all(number.isdigit() for number in numbers)
