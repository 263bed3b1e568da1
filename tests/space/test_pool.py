"""The queue and its processes, with jobs that only wait: order, limits, and everybody who leaves."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.fixtures.waiting import act
from tests.space.conftest import Import

WAIT_S = 20.0


def until(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not ready():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


@pytest.fixture
def pool(space: Import, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = space("jobs.pool")
    monkeypatch.setattr(module, "GRACE_S", 0.3)
    made = module.Pool(act)
    made.start()
    return made


def submit(space: Import, pool: Any, method: str = "wait", *, tenths: int = 1, owner: str = "me", **more: Any) -> Any:
    place = {"task": "cifar10", "family": "canonical", "backbone": "resnet", "ratio": 5, **more}
    return pool.submit(space("jobs.job_request").JobRequest(method=method, seed=tenths, **place), owner)


def test_two_run_and_the_others_wait_in_their_order(space: Import, pool: Any) -> None:
    jobs = [submit(space, pool, tenths=6, owner=str(i)) for i in range(4)]
    until(lambda: [job.state for job in jobs] == ["running", "running", "waiting", "waiting"])
    assert [pool.position(job) for job in jobs] == [0, 0, 2, 3]
    until(lambda: all(job.state == "finished" for job in jobs))
    assert all({point["name"] for point in job.points} == {job.name} for job in jobs)
    assert len({job.points[0]["process"] for job in jobs}) == 2, "processes stay"


def test_a_job_is_cancelled_whether_it_waits_or_runs_or_hears_nothing(space: Import, pool: Any) -> None:
    running, deaf = submit(space, pool, tenths=100, owner="a"), submit(space, pool, "deaf", tenths=999, owner="b")
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
    monkeypatch.setattr(module, "PAUSE_S", 0.05)
    pool, failures = module.Pool(act, workers=1), [OSError("no memory"), EOFError()]
    started = pool._process

    def start() -> Any:
        if failures:
            raise failures.pop()
        return started()

    monkeypatch.setattr(pool, "_process", start)
    pool.start()
    job = submit(space, pool)
    until(lambda: job.state == "finished")
    assert not failures


def test_a_visitor_who_leaves_frees_the_place(space: Import, pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space("jobs.pool"), "LEASE_S", 0.5)
    left = [submit(space, pool, tenths=100, owner=str(i)) for i in range(3)]
    stays = submit(space, pool, tenths=2, owner="stays")
    until(lambda: pool.get(stays.name).state == "finished")
    assert [job.state for job in left] == ["cancelled"] * 3
    assert left[0].error == "its visitor has left"


def test_what_takes_too_long_is_ended(space: Import, pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(space("jobs.pool").LIMITS_S, "run", 0.4)
    job = submit(space, pool, tenths=100)
    until(lambda: job.state == "cancelled")
    assert "the most there is" in job.error


def test_references_leave_a_process_for_runs(space: Import, pool: Any) -> None:
    training = [submit(space, pool, tenths=8, owner=str(i), kind="references") for i in range(2)]
    run = submit(space, pool, owner="run")
    until(lambda: run.state == "finished")
    assert [job.state for job in training] == ["running", "waiting"]


def test_one_visitor_and_all_of_them_have_their_limits(space: Import, pool: Any) -> None:
    module = space("jobs.pool")
    for _ in range(module.MOST_OWN):
        submit(space, pool, tenths=50, owner="greedy")
    with pytest.raises(ValueError, match="at most 2 unfinished runs a visitor"):
        submit(space, pool, owner="greedy")
    until(lambda: not pool._waiting())
    for i in range(module.MOST_WAITING):
        submit(space, pool, owner=str(i))
    with pytest.raises(ValueError, match="try again later"):
        submit(space, pool, owner="late")


@pytest.mark.parametrize("name", ["", "0" * 24, "../x", None])
def test_nobody_guesses_a_job(space: Import, pool: Any, name: Any) -> None:
    with pytest.raises(ValueError, match="expected a run of this server"):
        pool.get(name)


def test_a_stop_that_comes_too_late_ends_no_other_job(space: Import, pool: Any) -> None:
    jobs = []
    for turn in range(6):
        job = submit(space, pool, tenths=1, owner=str(turn))
        until(lambda job=job: job.state != "waiting")
        time.sleep(0.018 * turn)
        pool.cancel(job.name)
        jobs.append(job)
        after = submit(space, pool, tenths=2, owner=f"after {turn}")
        until(lambda after=after: after.state == "finished")
    assert {job.state for job in jobs} <= {"finished", "cancelled"}
