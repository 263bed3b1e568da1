"""Schedules: when a job starts, whom a failure stops, and that two sweeps share their runs."""

import threading
from collections import Counter
from collections.abc import Iterable

import pytest

from mubench.hub_builders.utils.atomic import WORK, claimed
from mubench.trainers.sweeps import schedule
from mubench.trainers.sweeps.failures import read_failure
from mubench.trainers.sweeps.jobs import Place, execute
from mubench.trainers.sweeps.schedule import FailedRunsError, run_jobs
from tests.fixtures.fake_jobs import FakeLast, FakeModel, FakeRun, lines_of


class InProcess:
    """An executor that runs the last of the submitted jobs whenever it is waited for."""

    def __init__(self) -> None:
        self.waiting: list = []

    def submit(self, job) -> None:
        self.waiting.append(job)

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


def test_a_failure_blocks_what_requires_it_alone_and_is_kept_until_it_is_retried(run, tmp_path):
    jobs = [run("base", "no luck"), run("run", first=["base"]), run("row", first=["run"]), run("other")]
    last = FakeLast(jobs[0].place, "cifar10", "resnet", 10, ("other",), ("row", "run"))
    report = run_jobs([*jobs, last], InProcess())
    assert (names(job for job, _ in report.failed), names(report.blocked)) == (["base"], ["run", "row"])
    assert sorted(lines_of(tmp_path)) == ["base", "last", "other"] and lines_of(tmp_path)[-1] == "last"
    line = "got 1 failed ones, and 2 jobs that need them were not started: run base: no luck; --retry repeats them$"
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


def test_a_damaged_record_of_a_failure_is_named(run, tmp_path):
    path = tmp_path / WORK / "failed" / "base.json"
    path.parent.mkdir(parents=True)
    path.write_text("[]")
    with pytest.raises(ValueError, match=f"expected the reason of a failed run in {path}, got"):
        run_jobs([run("base")], InProcess())


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
