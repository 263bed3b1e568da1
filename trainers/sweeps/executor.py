"""What a schedule needs of the processes that run its jobs."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from mubench.trainers.sweeps.jobs import Job, Outcome


class Executor(Protocol):
    """Processes that run jobs: the local `Workers`, a `RayCluster` or a `SlurmCluster`."""

    def submit(self, job: Job) -> None:
        """Run a job as soon as a process is free."""

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
