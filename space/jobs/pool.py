"""The queue before two persistent processes: who is next, who is running, who has left."""

from __future__ import annotations

import logging
import multiprocessing
import secrets
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from jobs.job_request import JobRequest

WORKERS = 2
MOST_WAITING = 32
MOST_OWN = 2
# A job nobody has asked about for so long has lost its visitor.
LEASE_S = 15.0
LIMITS_S = {"run": 180.0, "references": 900.0}
# How long a worker may take to stop by itself before it is killed.
GRACE_S = 2.0
# How long to wait before another try to start a process.
PAUSE_S = 5.0
KEPT_JOBS = 500
STOP = "stop"
ENDED = ("finished", "failed", "cancelled")


@dataclass(eq=False)
class Job:
    """Something to do, and how far it is.

    Attributes:
        request: What.
        owner: Whose it is.
        name: What it is known by; nobody can guess it.
        state: ``waiting``, ``running``, ``finished``, ``failed`` or ``cancelled``.
        points: What it has told so far.
        error: Why it failed or ended.
        seen: When somebody last asked about it.
        started: When it began to run.
    """

    request: JobRequest
    owner: str
    name: str = field(default_factory=lambda: secrets.token_hex(12))
    state: str = "waiting"
    points: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    seen: float = field(default_factory=time.monotonic)
    started: float | None = None
    unwanted: str = ""

    @property
    def left(self) -> bool:
        """Whether its visitor is gone."""
        return time.monotonic() - self.seen > LEASE_S

    @property
    def late(self) -> bool:
        """Whether it has run for too long."""
        return self.started is not None and time.monotonic() - self.started > LIMITS_S[self.request.kind]


class Pool:
    """Takes jobs, first come first served, but never more than one training of references at a time.

    Args:
        target: What a worker process runs, given its end of a pipe.
        preload: Modules that the processes are to have imported.
        workers: How many there are.
    """

    def __init__(self, target: Any, *, preload: tuple[str, ...] = (), workers: int = WORKERS) -> None:
        self._target = target
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        self._lock = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]

    def start(self) -> None:
        """Start the processes."""
        for thread in self._threads:
            thread.start()

    def submit(self, request: JobRequest, owner: str) -> Job:
        """Queue a job.

        Raises:
            ValueError: If too many are waiting, or too many of one owner's are not over.
        """
        with self._lock:
            waiting = self._waiting()
            own = [job for job in self._jobs.values() if job.owner == owner and job.state not in ENDED]
            if len(own) >= MOST_OWN:
                raise ValueError(f"expected at most {MOST_OWN} unfinished runs a visitor, got one more")
            if len(waiting) >= MOST_WAITING:
                raise ValueError(f"expected at most {MOST_WAITING} runs in the queue, got one more; try again later")
            job = Job(request, owner)
            self._jobs[job.name] = job
            self._forget_old()
            self._lock.notify_all()
            return job

    def get(self, name: str) -> Job:
        """Return a job, which counts as asking about it.

        Raises:
            ValueError: If there is none of that name.
        """
        job = self._jobs.get(name)
        if job is None:
            raise ValueError("expected a run of this server that is not long over, got another")
        job.seen = time.monotonic()
        return job

    def position(self, job: Job) -> int:
        """Return how many jobs run or wait before one that waits."""
        with self._lock:
            running = sum(other.state == "running" for other in self._jobs.values())
            waiting = self._waiting()
        return running + waiting.index(job) if job in waiting else 0

    def unfinished(self) -> set[str]:
        """Return the names of the jobs that are not over."""
        with self._lock:
            return {job.name for job in self._jobs.values() if job.state not in ENDED}

    def cancel(self, name: str, why: str = "cancelled") -> None:
        """End a job, whether it waits or runs; one that is over stays as it is."""
        with self._lock:
            job = self._jobs.get(name)
            if job and job.state == "waiting":
                job.state, job.error = "cancelled", why
            elif job and job.state == "running":
                job.unwanted = why

    def _waiting(self) -> list[Job]:
        for job in self._jobs.values():
            if job.state == "waiting" and job.left:
                job.state, job.error = "cancelled", "its visitor has left"
        return [job for job in self._jobs.values() if job.state == "waiting"]

    def _forget_old(self) -> None:
        over = [name for name, job in self._jobs.items() if job.state in ENDED]
        for name in over[: max(0, len(self._jobs) - KEPT_JOBS)]:
            del self._jobs[name]

    def _next(self) -> Job:
        """Wait for a job that may run now, and mark it as running."""
        with self._lock:
            while True:
                training = any(j.state == "running" and j.request.kind == "references" for j in self._jobs.values())
                for job in self._waiting():
                    if job.request.kind == "run" or not training:
                        job.state, job.started = "running", time.monotonic()
                        return job
                self._lock.wait(timeout=1.0)

    def _serve(self) -> None:
        """Keep one process alive and give it jobs."""
        process, pipe = self._started()
        while True:
            job = self._next()
            try:
                pipe.send((job.request, job.name))
                whole = self._follow(job, pipe)
            except (EOFError, OSError):
                whole = False
                self._end(job, "failed", "the process that ran it ended; try again")
            if not whole:
                process.kill()
                process.join()
                process, pipe = self._started()

    def _started(self) -> tuple[Any, Connection]:
        """Start a process, however many tries it takes: a server that is short of memory now may not be later."""
        while True:
            try:
                return self._process()
            except Exception:  # whatever it is: without this thread jobs would wait for ever
                logging.getLogger(__name__).exception("a process did not start")
                time.sleep(PAUSE_S)

    def _process(self) -> tuple[Any, Connection]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=self._target, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def _follow(self, job: Job, pipe: Connection) -> bool:
        """Listen to a running job until it is over, and return whether its process can go on."""
        stopped_at: float | None = None
        while True:
            if pipe.poll(0.1):
                said = pipe.recv()
                if "end" in said:
                    why = job.unwanted if said["end"] == "cancelled" else said.get("error", "")
                    self._end(job, said["end"], why)
                    return True
                job.points.append(said["point"])
            if stopped_at is not None and time.monotonic() - stopped_at > GRACE_S:
                self._end(job, "cancelled", job.unwanted)
                return False
            if stopped_at is None and (why := self._unwanted(job)):
                job.unwanted, stopped_at = why, time.monotonic()
                pipe.send(STOP)

    @staticmethod
    def _unwanted(job: Job) -> str:
        if job.late:
            return f"it ran for more than {LIMITS_S[job.request.kind]:.0f} s, which is the most there is for one"
        return job.unwanted or ("its visitor has left" if job.left else "")

    def _end(self, job: Job, state: str, error: str) -> None:
        with self._lock:
            job.state, job.error = state, error
            self._lock.notify_all()
