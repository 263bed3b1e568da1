"""The pool of worker processes: what it returns, which job fails with a worker, and which GPU a worker sees."""

import os
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from mubench.trainers.sweeps import worker_pool
from mubench.trainers.sweeps.worker_pool import Workers, visible_gpus


def ended(pool: Workers, count: int) -> list:
    """Return the outcomes of so many jobs, in the order of their ends."""
    found = []
    while len(found) < count:
        found += [outcome for _, outcome in pool.wait(5.0)]
    return found


def _slowly(path: Path) -> Path:
    time.sleep(0.02)
    path.mkdir()
    return path


def test_all_jobs_are_done_and_bring_their_values(tmp_path):
    with Workers(2) as pool:
        assert pool.wait(0.0) == []
        for name in "abcd":
            pool.submit(partial(_slowly, tmp_path / name))
        found = ended(pool, 4)
    assert {outcome.value for outcome in found} == {*tmp_path.iterdir()} and len(found) == 4
    assert not any(outcome.failure for outcome in found)


def test_the_jobs_that_run_are_those_that_have_a_worker():
    jobs = [partial(time.sleep, 0.01 * number) for number in range(3)]
    with Workers(2) as pool:
        for job in jobs:
            pool.submit(job)
        assert pool.running() == jobs[:2]
        ended(pool, 3)
        assert pool.running() == []


def test_an_error_is_an_outcome_with_its_traceback_and_the_rest_is_done():
    with Workers(1) as pool:
        for job in (partial(int, "no number"), partial(int, "7"), partial({}.__getitem__, "x")):
            pool.submit(job)
        bad, good, odd = ended(pool, 3)
    assert bad.failure == "invalid literal for int() with base 10: 'no number'" and "Traceback" in bad.trace
    assert good.value == 7 and odd.failure == "KeyError: 'x'"


def test_a_dead_worker_costs_its_own_job():
    with Workers(1) as pool:
        pool.submit(partial(os._exit, 3))
        pool.submit(partial(int, "7"))
        lost, good = ended(pool, 2)
    assert lost.failure == "expected the worker process to finish the job, got exit code 3" and good.value == 7


def _kill_self() -> None:
    os.kill(os.getpid(), 9)


def test_a_killed_worker_is_named_by_its_signal_and_replaced():
    with Workers(2) as pool:
        for job in (_kill_self, _kill_self, partial(int, "1"), partial(int, "2")):
            pool.submit(job)
        found = ended(pool, 4)
    line = "expected the worker process to finish the job, got signal SIGKILL"
    assert sorted(outcome.failure for outcome in found)[2:] == [line] * 2
    assert {outcome.value for outcome in found} == {None, 1, 2}


def test_leaving_ends_workers_in_the_middle_of_a_job():
    with Workers(1) as pool:
        pool.submit(partial(time.sleep, 60))
        assert len(pool.running()) == 1
        (worker,) = pool._workers
    assert not worker.process.is_alive()


def test_no_workers_are_refused():
    with pytest.raises(ValueError, match=r"^workers must be 1 or more, got 0$"):
        Workers(0)


@pytest.mark.parametrize(("gpus", "seen"), [(["2", "5"], ["2", "2", "5"]), (["2"], [None] * 3)])
def test_each_worker_sees_one_of_several_gpus(gpus, seen, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(worker_pool, "visible_gpus", lambda: gpus)
    with Workers(3) as pool:
        for _ in range(3):
            pool.submit(_look)
        found = [outcome.value for outcome in ended(pool, 3)]
    assert sorted(found, key=str) == seen


def _look() -> str | None:
    time.sleep(0.1)  # so that each of the workers has one
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_the_gpus_are_those_that_the_environment_leaves(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,MIG-7")
    assert visible_gpus() == ["1", "MIG-7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(worker_pool.torch.cuda, "device_count", lambda: 2)
    assert visible_gpus() == ["0", "1"]


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_freed_memory_is_returned_after_a_job_where_the_c_library_can(platform, monkeypatch):
    calls = []
    monkeypatch.setattr(worker_pool.sys, "platform", platform)
    library = SimpleNamespace(malloc_trim=calls.append)
    monkeypatch.setattr(worker_pool.ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(worker_pool, "_set_up_once", lambda threads: None)
    assert worker_pool.execute_in_worker(lambda: len(calls), 1).value == 0
    assert calls == ([0] if platform == "linux" else [])
    del library.malloc_trim
    worker_pool.release_memory()
