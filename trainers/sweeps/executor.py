"""What a schedule needs of the processes that run its jobs."""

from __future__ import annotations

import heapq
import itertools
from types import TracebackType
from typing import Protocol, Self

from mubench.trainers.sweeps.jobs import Job, Outcome


class WaitingJobs:
    """Submitted jobs that wait for a process, by place, and at one place in the order of submission."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Job]] = []
        self._turn = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, job: Job, place: int) -> None:
        """Add a job."""
        heapq.heappush(self._heap, (place, next(self._turn), job))

    def first(self) -> Job:
        """Return the job that is run next, and keep it."""
        return self._heap[0][-1]

    def take(self) -> Job:
        """Remove the job that is run next, and return it."""
        return heapq.heappop(self._heap)[-1]

    def clear(self) -> None:
        """Remove all jobs."""
        self._heap.clear()


class Executor(Protocol):
    """Processes that run jobs: the local `Workers`, a `RayCluster` or a `SlurmCluster`."""

    def submit(self, job: Job, place: int = 0) -> None:
        """Run a job as soon as a process is free.

        Args:
            job: The job.
            place: Of the jobs that wait, the one with the lowest place is run next. It is chosen by `wait` and
                `running`, when all jobs that can start are submitted. Ray runs jobs in the order of submission.
        """

    def wait(self, seconds: float) -> list[tuple[Job, Outcome]]:
        """Return the jobs that have ended since the last call, none if none ends in these seconds.

        A job whose process died has failed; the other jobs go on.
        """
        ...

    def running(self) -> list[Job]:
        """Return the jobs that have a process; the other submitted ones wait for one."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all processes, with what they do."""
