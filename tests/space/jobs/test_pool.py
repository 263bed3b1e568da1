"""The job queue and its worker processes, with jobs that only wait: order, limits, and visitors who leave."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.fixtures.waiting import TICK_S, act
from tests.space.conftest import Import

WAIT_S = 60.0
ENDLESS = 10**6


def until(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not ready():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)


@pytest.fixture
def pool(space: Import, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = space("jobs.pool")
    monkeypatch.setattr(module, "GRACE_S", 0.3)
    pool = module.Pool(act)
    pool.start()
    return pool


def submit(space: Import, pool: Any, method: str = "wait", *, ticks: int = 1, owner: str = "me", **more: Any) -> Any:
    setting = {"task": "cifar10", "family": "canonical", "backbone": "resnet", "ratio": 5, **more}
    return pool.submit(space("jobs.job_request").JobRequest(method=method, seed=ticks, **setting), owner)


def test_two_jobs_run_and_the_others_wait_in_order(space: Import, pool: Any) -> None:
    jobs = [submit(space, pool, ticks=ENDLESS, owner=str(i)) for i in range(4)]
    until(lambda: [job.state for job in jobs] == ["running", "running", "waiting", "waiting"])
    assert [pool.position(job) for job in jobs] == [0, 0, 2, 3]
    for first, second in ((0, 2), (1, 3)):
        until(lambda first=first: bool(jobs[first].points))
        pool.cancel(jobs[first].name)
        until(lambda second=second: jobs[second].state == "running" and bool(jobs[second].points))
    assert all({point["name"] for point in job.points} == {job.name} for job in jobs)
    assert len({job.points[0]["process"] for job in jobs}) == 2, "processes are reused"


def test_a_job_is_cancelled_while_it_waits_runs_or_ignores_messages(space: Import, pool: Any) -> None:
    running = submit(space, pool, ticks=ENDLESS, owner="a")
    deaf = submit(space, pool, "deaf", ticks=ENDLESS, owner="b")
    until(lambda: running.state == deaf.state == "running" and bool(deaf.points))
    waiting = submit(space, pool, owner="c")
    for job in (waiting, running, deaf):
        pool.cancel(job.name)
    assert waiting.state == "cancelled"
    until(lambda: running.state == deaf.state == "cancelled")
    after = submit(space, pool, owner="d")
    until(lambda: after.state == "finished")


def test_a_process_that_dies_fails_its_job_and_is_replaced(space: Import, pool: Any) -> None:
    dead = [submit(space, pool, "die", owner=str(i)) for i in range(3)]
    until(lambda: all(job.state == "failed" for job in dead))
    assert "ended" in dead[0].error
    failed, alive = submit(space, pool, "fail", owner="x"), submit(space, pool, owner="y")
    until(lambda: failed.state == "failed" and alive.state == "finished")
    assert failed.error == "no luck"


def test_a_process_that_does_not_start_is_tried_again(space: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    module = space("jobs.pool")
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    pool, failures = module.Pool(act, workers=1), [OSError("no memory"), EOFError()]
    new_process = pool._new_process

    def start() -> Any:
        if failures:
            raise failures.pop()
        return new_process()

    monkeypatch.setattr(pool, "_new_process", start)
    pool.start()
    job = submit(space, pool)
    until(lambda: job.state == "finished")
    assert not failures


def test_a_visitor_who_leaves_frees_the_place(space: Import, pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space("jobs.pool"), "LEASE_S", 0.2)
    left = [submit(space, pool, ticks=ENDLESS, owner=str(i)) for i in range(3)]
    stays = submit(space, pool, owner="stays")
    until(lambda: pool.get(stays.name).state == "finished")
    until(lambda: all(job.state == "cancelled" for job in left))
    assert left[0].error == "its visitor has left"


def test_an_overdue_job_is_cancelled(space: Import, pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(space("jobs.job_request").LIMITS_S, "run", 0.1)
    job = submit(space, pool, ticks=ENDLESS)
    until(lambda: job.state == "cancelled")
    assert "more than the limit" in job.error


def test_a_run_that_trains_its_base_model_first_has_the_time_for_both(space: Import) -> None:
    module = space("jobs.job_request")
    request = {"task": "cifar10", "family": "canonical", "backbone": "resnet", "ratio": 5, "method": "scrub"}
    assert module.JobRequest(**request).limit_s == module.LIMITS_S["run"]
    assert module.JobRequest(**request, trains_base=True).limit_s == sum(module.LIMITS_S.values())


def test_references_leave_a_process_for_runs(space: Import, pool: Any) -> None:
    training = [submit(space, pool, ticks=ENDLESS, owner=str(i), kind="references") for i in range(2)]
    run = submit(space, pool, owner="run")
    until(lambda: run.state == "finished")
    assert [job.state for job in training] == ["running", "waiting"]


def test_a_visitor_occupies_one_process_whatever_waits(space: Import, pool: Any) -> None:
    greedy = [submit(space, pool, ticks=ENDLESS, owner="greedy") for _ in range(2)]
    patient = submit(space, pool, owner="patient")
    until(lambda: patient.state == "finished")
    assert [job.state for job in greedy] == ["running", "waiting"]
    pool.cancel(greedy[0].name)
    until(lambda: greedy[1].state == "running")


def test_runs_of_one_address_share_the_processes_of_ones_own_machine(space: Import, pool: Any) -> None:
    pool.one_each = False
    jobs = [submit(space, pool, ticks=ENDLESS) for _ in range(2)]
    until(lambda: [job.state for job in jobs] == ["running", "running"])


def test_the_number_of_jobs_is_limited_per_visitor_and_in_total(space: Import, pool: Any) -> None:
    module = space("jobs.pool")
    for _ in range(module.MAX_PER_VISITOR):
        submit(space, pool, ticks=ENDLESS, owner="greedy")
    with pytest.raises(ValueError, match="at most 2 unfinished runs per visitor"):
        submit(space, pool, owner="greedy")
    submit(space, pool, ticks=ENDLESS, owner="another")
    until(lambda: len(pool._waiting()) == 1)
    for i in range(module.MAX_WAITING - 1):
        submit(space, pool, owner=str(i))
    with pytest.raises(ValueError, match="try again later"):
        submit(space, pool, owner="late")


@pytest.mark.parametrize("name", ["", "0" * 24, "../x", None])
def test_an_unknown_job_is_refused(space: Import, pool: Any, name: Any) -> None:
    with pytest.raises(ValueError, match="expected a run of this server"):
        pool.get(name)


def test_a_stop_message_that_comes_too_late_ends_no_other_job(space: Import, pool: Any) -> None:
    jobs = []
    for turn in range(5):
        job = submit(space, pool, ticks=4, owner=str(turn))
        until(lambda job=job: job.state != "waiting")
        time.sleep(TICK_S * turn)
        pool.cancel(job.name)
        jobs.append(job)
        after = submit(space, pool, ticks=2, owner=f"after {turn}")
        until(lambda after=after: after.state == "finished")
    assert {job.state for job in jobs} <= {"finished", "cancelled"}
