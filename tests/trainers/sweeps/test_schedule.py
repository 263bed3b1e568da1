"""Schedules: when a job starts, which jobs a failure blocks, and that two sweeps share their runs."""

import json
import threading
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from types import SimpleNamespace

import pytest

from mubench.hub_builders.utils.atomic import WORK, claimed
from mubench.trainers.sweeps import jobs as jobs_module
from mubench.trainers.sweeps import schedule
from mubench.trainers.sweeps.execution import execute
from mubench.trainers.sweeps.failures import read_failure, write_failure
from mubench.trainers.sweeps.jobs import BaseJob, MethodJob, Outcome, Place
from mubench.trainers.sweeps.schedule import FailedRunsError, run_jobs
from mubench.trainers.sweeps.worker_pool import Workers
from tests.fixtures.fake_jobs import FakeLast, FakeModel, FakeRun, lines_of


class InProcess:
    """An executor that runs the last of the submitted jobs whenever it is waited for."""

    def __init__(self) -> None:
        self.waiting: list = []

    def submit(self, job, place=0) -> None:
        self.waiting.append(job)

    def running(self) -> list:
        return self.waiting[-1:]

    def wait(self, seconds: float) -> Iterable:
        if not self.waiting:
            return []
        job = self.waiting.pop()
        return [(job, execute(job))]


@pytest.fixture
def run(tmp_path):
    place = Place(models=tmp_path)
    return lambda name, fault="", first=(): FakeRun(place, "cifar10", "resnet", 0, name, fault, tuple(first))


def names(jobs) -> list[str]:
    return [job.name for job in jobs]


def test_a_job_starts_when_what_it_requires_is_done_and_not_later(run, tmp_path):
    # `other` is done last, since the executor takes the newest job first
    jobs = [run("row", first=["run", "base"]), run("run", first=["base"]), run("other"), run("base")]
    report = run_jobs(jobs, InProcess())
    assert lines_of(tmp_path) == ["base", "run", "row", "other"] == names(report.done)
    report.check()


def test_of_the_jobs_that_can_start_the_earliest_is_next_and_each_is_shown(run, tmp_path, monkeypatch):
    shown, show = [], schedule.Progress.show

    def note(progress, running):
        shown.extend(job.name for job in running if job.name not in shown)
        show(progress, running)

    monkeypatch.setattr(schedule.Progress, "show", note)
    jobs = [run("base"), run("other"), run("run", first=["base"]), run("row", first=["run"]), run("a"), run("b")]
    with Workers(1) as pool:
        run_jobs(jobs, pool).check()
    assert lines_of(tmp_path) == names(jobs) == shown


def test_a_failure_blocks_what_requires_it_alone_and_is_kept_until_it_is_retried(run, tmp_path):
    jobs = [run("base", "no luck"), run("run", first=["base"]), run("row", first=["run"]), run("other")]
    last = FakeLast(jobs[0].place, "cifar10", "resnet", 10, ("other",), ("row", "run"))
    report = run_jobs([*jobs, last], InProcess())
    assert (names(job for job, _ in report.failed), names(report.blocked)) == (["base"], ["run", "row"])
    assert sorted(lines_of(tmp_path)) == ["base", "last", "other"] and lines_of(tmp_path)[-1] == "last"
    line = "got 1 failed job, and 2 dependent jobs were not started: run base: no luck; --retry repeats failed runs$"
    with pytest.raises(FailedRunsError, match=line):
        report.check()
    healed = [run("base"), *jobs[1:]]
    assert names(run_jobs(healed, InProcess()).done) == ["other"] and read_failure(jobs[0]) == "no luck"
    assert names(run_jobs(healed, InProcess(), retry=True).done) == ["other", "base", "run", "row"]
    assert read_failure(jobs[0]) == ""


def test_a_run_that_failed_and_was_made_by_hand_since_is_done(run, tmp_path):
    run_jobs([run("base", "no luck")], InProcess())
    (tmp_path / "base").touch()
    assert names(run_jobs([run("base")], InProcess()).done) == ["base"] and not read_failure(run("base"))


@pytest.mark.parametrize("text", ["[]", "{}", "no JSON"])
def test_a_damaged_record_of_a_failure_is_a_failure_that_names_it_and_stops_no_other_run(run, tmp_path, text):
    path = tmp_path / WORK / "failed" / "base.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    report = run_jobs([run("base"), run("other")], InProcess())
    assert names(report.done) == ["other"]
    with pytest.raises(
        FailedRunsError, match=f"run base: expected the reason of a failed run in {path}, got .*--retry"
    ):
        report.check()
    assert names(run_jobs([run("base")], InProcess(), retry=True).done) == ["base"]


def test_a_damaged_base_model_is_a_failed_run_that_stops_no_other(run, monkeypatch):
    """A sweep checks whether a run that has failed before is there by now."""

    def is_damaged(folder, of):
        raise ValueError("expected a run.json, got half of one")

    monkeypatch.setattr(jobs_module, "is_finished_base", is_damaged)
    monkeypatch.setattr(Place, "setting", lambda *_: SimpleNamespace(run=lambda **_: None))
    monkeypatch.setattr(jobs_module, "base_name", lambda _: "base")
    damaged = BaseJob(run("a").place, "cifar10", "resnet", 0)
    write_failure(damaged, Outcome(failure="expected a run.json"))
    report = run_jobs([damaged, run("other")], InProcess())
    assert report.failed == [(damaged, "expected a run.json")] and names(report.done) == ["other"]


def test_a_run_of_another_sweep_is_checked_less_and_less_often(run, monkeypatch):
    """Each check is a job of its own on Slurm and Ray."""
    now, checks = [0.0], []

    class Owned(InProcess):
        def wait(self, seconds):
            checks.extend(now[0] for _ in self.waiting)
            owner = "" if now[0] > 600 else "process 1 on elsewhere"
            found = [(job, Outcome(owner=owner)) for job in self.waiting]
            self.waiting.clear()
            return found

    monkeypatch.setattr(schedule.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(schedule.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    assert names(run_jobs([run("mine")], Owned()).done) == ["mine"]
    gaps = [later - sooner for sooner, later in pairwise(checks)]
    assert gaps[:6] == [1, 2, 4, 8, 16, 32] and set(gaps[6:]) == {schedule.LONGEST_WAIT_S}


def test_the_failure_of_a_run_is_recorded_before_another_sweep_can_repeat_it(run, tmp_path):
    job, others = run("base", "no luck"), []

    class Between(InProcess):
        def wait(self, seconds):
            found = super().wait(seconds)  # the worker has failed, and its own sweep does not know yet
            others.append(run_jobs([job], InProcess()))
            return found

    report = run_jobs([job], Between())
    assert lines_of(tmp_path) == ["base"] and report.failed == [(job, "no luck")] == others[0].failed
    (record,) = (tmp_path / WORK / "failed").iterdir()
    assert "ValueError: no luck" in json.loads(record.read_text())["traceback"]


def test_a_run_that_failed_elsewhere_since_it_was_submitted_is_not_repeated(run, tmp_path):
    write_failure(run("base"), Outcome(failure="no luck"))
    assert execute(run("base")).failure == "no luck" and lines_of(tmp_path) == []
    (tmp_path / "base").touch()  # made by hand since
    assert execute(run("base")).failure == "" and lines_of(tmp_path) == ["base"]


def test_a_process_that_ended_during_a_run_leaves_a_record_by_its_sweep(run):
    class Dying(InProcess):
        def wait(self, seconds):
            return [(self.waiting.pop(), Outcome(failure="got exit code 3"))]

    run_jobs([run("base")], Dying())
    assert read_failure(run("base")) == "got exit code 3"


def test_a_failed_run_whose_request_cannot_be_resolved_any_more_keeps_its_failure(run, monkeypatch):
    def cannot(job):
        raise ValueError("expected the base model of this recipe, got another")

    monkeypatch.setattr(MethodJob, "plan", cannot)
    lost = MethodJob(run("base").place, "cifar10", "resnet", 10, "finetune", 0, 0)
    write_failure(lost, Outcome(failure="no luck"))
    report = run_jobs([lost, run("other")], InProcess())
    assert report.failed == [(lost, "no luck")] and names(report.done) == ["other"]


@pytest.mark.parametrize(
    ("failed", "blocked", "retried", "line"),
    [
        ("a", "", False, "1 failed job: run a: no luck; --retry repeats failed runs"),
        ("ab", "c", True, "2 failed jobs, and 1 dependent job was not started: run a: no luck; run b: no luck"),
    ],
)
def test_the_line_about_failures_counts_them_and_advises_what_was_not_done_yet(run, failed, blocked, retried, line):
    report = schedule.Report(
        failed=[(run(name), "no luck") for name in failed], blocked=[run(name) for name in blocked], retried=retried
    )
    with pytest.raises(FailedRunsError, match=f"^expected all jobs to finish, got {line}$"):
        report.check()


def test_a_retry_is_not_advised_twice_nor_for_judgements_which_are_repeated_anyway(run):
    report = run_jobs([run("a", "no luck")], InProcess(), retry=True)
    with pytest.raises(FailedRunsError, match=r"run a: no luck$"):
        report.check()
    judging = FakeLast(run("a").place, "cifar10", "resnet", 10, (), ())
    with pytest.raises(FailedRunsError, match=f"{judging.label}: no luck$"):
        schedule.Report(failed=[(judging, "no luck")]).check()


def test_equal_jobs_are_run_once(run, tmp_path):
    run_jobs([run("base"), run("base")], InProcess())
    assert lines_of(tmp_path) == ["base"]


def test_a_run_that_another_sweep_has_is_left_to_it_and_taken_up_when_its_owner_is_gone(run, tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "WAIT_S", 0.01)
    free = threading.Event()
    held = threading.Event()

    def hold() -> None:
        with claimed(tmp_path / WORK / "claims" / "mine.lock"):
            held.set()
            free.wait(10)

    owner = threading.Thread(target=hold)
    owner.start()
    held.wait(10)

    class Freeing(InProcess):
        def wait(self, seconds):
            found = super().wait(seconds)
            if lines_of(tmp_path) == ["other"]:
                free.set()
                owner.join()
            return found

    executor = Freeing()
    report = run_jobs([run("other"), run("mine")], executor)
    assert lines_of(tmp_path) == ["other", "mine"] and len(report.done) == 2
    assert not list((tmp_path / WORK).rglob("*.lock"))


def test_two_sweeps_side_by_side_do_no_run_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(schedule, "WAIT_S", 0.01)
    jobs = [FakeModel(Place(models=tmp_path), "cifar10", "resnet", 0, str(number)) for number in range(20)]
    reports = []
    threads = [threading.Thread(target=lambda: reports.append(run_jobs(jobs, InProcess()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(report.done) for report in reports] == [20, 20]
    assert Counter(lines_of(tmp_path)) == {str(number): 1 for number in range(20)}
