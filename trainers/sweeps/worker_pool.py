"""A pool of persistent worker processes for independent jobs, one thread and one GPU each."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Self

import datasets
import torch
import transformers

from mubench.trainers.sweeps.execution import execute
from mubench.trainers.sweeps.executor import WaitingJobs
from mubench.trainers.sweeps.jobs import Job, Outcome

END_S = 10.0  # time that a worker gets to stop


def set_up_worker(threads: int = 1) -> None:
    """Set up a worker: one thread (tiny models are many times slower on two), no progress bars, no orphans."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    # Each training ends with a garbage collection, which need not scan the objects of the imports.
    gc.freeze()
    torch.set_num_threads(threads)
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    logging.getLogger().setLevel(logging.ERROR)


def _exit_with_parent() -> None:
    """End this process, whatever it is doing, when its parent has ended: the pipe between them breaks."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


_set_up_once = cache(set_up_worker)


def execute_in_worker(job: Job, threads: int) -> Outcome:
    """Do a job in a process of a cluster, which is set up as a worker first."""
    _set_up_once(threads)
    return _execute(job)


def _execute(job: Job) -> Outcome:
    outcome = execute(job)
    release_memory()
    return outcome


def release_memory() -> None:
    """Return freed memory to the system, where the C library can (glibc): a heap full of gaps grows over many runs."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):  # another C library, or none to load
            ctypes.CDLL(None).malloc_trim(0)


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name.strip()]
    return [str(number) for number in range(torch.cuda.device_count())]


def _serve(pipe: Connection, gpu: str | None) -> None:
    """Run jobs until ``None`` comes."""
    if gpu is not None:  # before CUDA starts, which reads it once
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    set_up_worker()
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while (job := pipe.recv()) is not None:
            pipe.send(_execute(job))


@dataclass
class _Worker:
    number: int
    process: BaseProcess
    pipe: Connection
    job: Job | None = None

    def take(self) -> Outcome:
        """Return the outcome of its job; a process that ended before its job has failed it."""
        with contextlib.suppress(EOFError, OSError):
            if self.pipe.poll():
                outcome: Outcome = self.pipe.recv()
                return outcome
        self.end()
        code = self.process.exitcode or 0
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return Outcome(failure=f"expected the worker process to finish the job, got {how}")

    @property
    def is_alive(self) -> bool:
        return self.process.is_alive()

    def end(self) -> None:
        """End the process: at once if it has a job, else when it has read that there are no more."""
        if self.job is None:
            with contextlib.suppress(OSError):
                self.pipe.send(None)
        else:
            self.process.terminate()
        self.process.join(END_S)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


class Workers:
    """A pool of worker processes, started when there is work for them.

    If a worker process ends during a job, the job fails and another worker is started. Where there are several GPUs,
    each worker sees one of them, and more workers than GPUs share them.

    Args:
        count: Number of processes.

    Raises:
        ValueError: If there are none.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"workers must be 1 or more, got {count}")
        # Forked workers have torch imported already; CUDA cannot be forked.
        method = "spawn" if torch.cuda.is_available() or os.name == "nt" else "fork"
        self._context = multiprocessing.get_context(method)
        self._count, self._gpus = count, visible_gpus()
        self._workers: list[_Worker] = []
        self._waiting = WaitingJobs()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.clear()
        while self._workers:
            self._workers.pop().end()

    def submit(self, job: Job, place: int = 0) -> None:
        """Run a job as soon as a worker is free, see `Executor`."""
        self._waiting.add(job, place)

    def wait(self, seconds: float) -> list[tuple[Job, Outcome]]:
        """Return the jobs that have ended, see `Executor`."""
        self._feed()
        busy = [worker for worker in self._workers if worker.job is not None]
        ready = wait([end for one in busy for end in (one.pipe, one.process.sentinel)], seconds) if busy else []
        ended = []
        for worker in busy:
            if worker.job is not None and (worker.pipe in ready or worker.process.sentinel in ready):
                ended.append((worker.job, worker.take()))
                worker.job = None
        self._workers = [worker for worker in self._workers if not worker.pipe.closed]
        return ended

    def running(self) -> list[Job]:
        """Return the jobs that have a worker, see `Executor`."""
        self._feed()
        return [worker.job for worker in self._workers if worker.job is not None]

    def _feed(self) -> None:
        while self._waiting and (worker := self._free()):
            try:
                worker.pipe.send(self._waiting.first())
            except OSError:  # it died without a job
                worker.end()
                self._workers.remove(worker)
            else:
                worker.job = self._waiting.take()

    def _free(self) -> _Worker | None:
        """Return a worker without a job, a new one if there may be more."""
        found = next((worker for worker in self._workers if worker.job is None), None)
        if found is None and len(self._workers) < self._count:
            used = {worker.number for worker in self._workers}
            found = self._start(min(set(range(self._count)) - used))
            self._workers.append(found)
        return found

    def _start(self, number: int) -> _Worker:
        gpu = self._gpus[number % len(self._gpus)] if len(self._gpus) > 1 else None
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, gpu))  # type: ignore[attr-defined]
        process.start()
        theirs.close()
        return _Worker(number, process, ours)
