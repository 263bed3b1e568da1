"""The job queue in front of two persistent worker processes.

This module is light, so that the workers load torch while the server loads the rest.
"""

from __future__ import annotations

import logging
import multiprocessing
import secrets
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from jobs.job_request import STOP, JobRequest
from jobs.run_limits import MAX_PER_VISITOR, MAX_WAITING

WORKERS = 2
# A job whose progress nobody has read for so long has lost its visitor.
LEASE_S = 15.0
# How long a worker may take to stop by itself before it is killed.
GRACE_S = 2.0
# Delay between attempts to start a process.
RETRY_S = 5.0
MAX_JOBS = 500
ENDED = ("finished", "failed", "cancelled")
ABANDONED = "its visitor has left"


@dataclass(eq=False)
class Job:
    """A request and its progress.

    Attributes:
        request: What to run.
        owner: Address of the visitor.
        name: Its name, which nobody can guess.
        state: ``waiting``, ``running``, ``finished``, ``failed`` or ``cancelled``.
        points: Progress points so far.
        error: Why it failed or was cancelled.
        seen: When its progress was last read.
        started: When it began to run.
        stop_reason: Why it is to stop; empty while it is not.
    """

    request: JobRequest
    owner: str
    name: str = field(default_factory=lambda: secrets.token_hex(12))
    state: str = "waiting"
    points: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    seen: float = field(default_factory=time.monotonic)
    started: float | None = None
    stop_reason: str = ""

    @property
    def is_over(self) -> bool:
        return self.state in ENDED

    @property
    def is_abandoned(self) -> bool:
        """Whether its visitor has left."""
        return time.monotonic() - self.seen > LEASE_S

    @property
    def reason_to_stop(self) -> str:
        """Why it must stop now; empty if it may go on."""
        limit = self.request.limit_s
        if self.started is not None and time.monotonic() - self.started > limit:
            return f"it ran for more than the limit of {limit:.0f} s"
        return self.stop_reason or (ABANDONED if self.is_abandoned else "")


class Pool:
    """Runs jobs in order of arrival: at most one per visitor, and one training of references, at a time.

    Every worker process imports the modules ``preload`` in advance, and runs ``target`` with its end of a pipe.

    Attributes:
        one_each: Whether a visitor occupies one process only; not where all have the address of this machine.
    """

    def __init__(self, target: Any, *, preload: tuple[str, ...] = (), workers: int = WORKERS) -> None:
        self._target = target
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(preload))
        self._lock = threading.Condition()
        self._jobs: dict[str, Job] = {}
        self.one_each = True
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]

    def start(self) -> None:
        """Start the worker processes."""
        for thread in self._threads:
            thread.start()

    def submit(self, request: JobRequest, owner: str) -> Job:
        """Queue a job.

        Raises:
            ValueError: If too many jobs are waiting, or the owner has too many unfinished ones.
        """
        with self._lock:
            if sum(job.owner == owner and not job.is_over for job in self._jobs.values()) >= MAX_PER_VISITOR:
                raise ValueError(f"expected at most {MAX_PER_VISITOR} unfinished runs per visitor, got one more")
            if len(self._waiting()) >= MAX_WAITING:
                raise ValueError(f"expected at most {MAX_WAITING} runs in the queue, got one more; try again later")
            job = Job(request, owner)
            self._jobs[job.name] = job
            ended = [name for name, other in self._jobs.items() if other.is_over]
            for name in ended[: max(0, len(self._jobs) - MAX_JOBS)]:
                del self._jobs[name]
            self._lock.notify_all()
            return job

    def get(self, name: str) -> Job:
        """Return a job and renew its lease.

        Raises:
            ValueError: If there is no job of that name.
        """
        job = self._jobs.get(name)
        if job is None:
            raise ValueError("expected a run of this server that has not ended long ago, got another name")
        job.seen = time.monotonic()
        return job

    def position(self, job: Job) -> int:
        """Return how many jobs run or wait before a waiting one."""
        with self._lock:
            running = sum(other.state == "running" for other in self._jobs.values())
            waiting = self._waiting()
        return running + waiting.index(job) if job in waiting else 0

    def list_unfinished(self) -> set[str]:
        """Return the names of the jobs that have not ended."""
        with self._lock:
            return {job.name for job in self._jobs.values() if not job.is_over}

    def cancel(self, name: str) -> None:
        """Cancel a waiting or running job; a job that has ended stays as it is."""
        with self._lock:
            job = self._jobs.get(name)
            if job and job.state == "waiting":
                job.state, job.error = "cancelled", "cancelled"
            elif job and job.state == "running":
                job.stop_reason = "cancelled"

    def _waiting(self) -> list[Job]:
        for job in self._jobs.values():
            if job.state == "waiting" and job.is_abandoned:
                job.state, job.error = "cancelled", ABANDONED
        return [job for job in self._jobs.values() if job.state == "waiting"]

    def _next(self) -> Job:
        """Wait for a job that may run now, and mark it as running."""
        with self._lock:
            while True:
                running = [job for job in self._jobs.values() if job.state == "running"]
                owners = {job.owner for job in running} if self.one_each else set()
                kinds = {job.request.kind for job in running}
                for job in self._waiting():
                    if job.owner not in owners and (job.request.kind == "run" or "references" not in kinds):
                        job.state, job.started = "running", time.monotonic()
                        return job
                self._lock.wait(timeout=1.0)

    def _serve(self) -> None:
        """Keep one worker process alive and send it jobs."""
        process, pipe = self._start_worker()
        while True:
            job = self._next()
            try:
                pipe.send((job.request, job.name))
                reusable = self._follow(job, pipe)
            except (EOFError, OSError):
                reusable = False
                self._end(job, "failed", "its worker process ended; try again")
            if not reusable:
                process.kill()
                process.join()
                process, pipe = self._start_worker()

    def _start_worker(self) -> tuple[Any, Connection]:
        """Start a worker, in as many attempts as it takes: a server that is short of memory may recover."""
        while True:
            try:
                return self._new_process()
            except Exception:  # without this thread, jobs would wait for ever
                logging.getLogger(__name__).exception("a worker process did not start")
                time.sleep(RETRY_S)

    def _new_process(self) -> tuple[Any, Connection]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=self._target, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        return process, ours

    def _follow(self, job: Job, pipe: Connection) -> bool:
        """Receive a job's progress until it ends, and return whether its process can be reused."""
        stopped_at: float | None = None
        while True:
            if pipe.poll(0.1):
                message = pipe.recv()
                if "end" in message:
                    error = job.stop_reason if message["end"] == "cancelled" else message.get("error", "")
                    self._end(job, message["end"], error)
                    return True
                job.points.append(message["point"])
            if stopped_at is not None and time.monotonic() - stopped_at > GRACE_S:
                self._end(job, "cancelled", job.stop_reason)
                return False
            if stopped_at is None and (reason := job.reason_to_stop):
                job.stop_reason, stopped_at = reason, time.monotonic()
                pipe.send(STOP)

    def _end(self, job: Job, state: str, error: str) -> None:
        with self._lock:
            job.state, job.error = state, error
            self._lock.notify_all()


def run_worker(server: Connection) -> None:
    """Run the worker, which imports torch, in its process."""
    from jobs.worker import main  # noqa: PLC0415

    main(server)


POOL = Pool(run_worker, preload=("jobs.worker",))
