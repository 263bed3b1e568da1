"""`SlurmCluster`: jobs of a sweep as jobs of Slurm, through submitit, on machines that share their folders."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path
from typing import Any, Self

from mubench.hub_builders.utils.optional import require
from mubench.trainers.sweeps.executor import WaitingJobs
from mubench.trainers.sweeps.jobs import Job, Outcome
from mubench.trainers.sweeps.worker_pool import execute_in_worker

DEFAULT = "default"
POLL_S = 0.2


class SlurmCluster:
    """A Slurm cluster, see `Executor`.

    All its machines have this suite installed and share the folders of data, models and results by absolute paths.

    Args:
        partition: Slurm's partition; ``default`` is the cluster's own.
        folder: Folder of jobs and their logs, which only those of failed jobs stay in.
        workers: Jobs in the queue at a time.
        cpus: Cores of a job.
        gpus: GPUs of a job, a whole number; ``None`` is none.
        minutes: Time limit of a job.
        cluster: ``slurm``, or ``local`` for processes of this machine.

    Raises:
        FileNotFoundError: If submitit is not installed, or this machine has no Slurm.
        ValueError: If a number is out of range.
    """

    def __init__(
        self, partition: str, folder: Path, *, workers: int = 2, cpus: float = 1.0, gpus: float | None = None,
        minutes: int = 240, cluster: str = "slurm",
    ) -> None:  # fmt: skip
        if workers < 1:
            raise ValueError(f"workers must be 1 or more, got {workers}")
        if gpus is not None and gpus % 1:
            raise ValueError(f"expected a whole number of GPUs a job on Slurm, got {gpus}")
        submitit = require("submitit")
        self._errors = submitit.core.utils
        try:
            self._executor = submitit.AutoExecutor(folder=folder / "%j", cluster=cluster)
        except RuntimeError as error:
            raise FileNotFoundError(f"expected Slurm on this machine, got: {error}") from error
        self._cpus, self._workers = math.ceil(cpus), workers
        where = {} if partition == DEFAULT else {"slurm_partition": partition}
        self._executor.update_parameters(
            name="mubench", timeout_min=minutes, cpus_per_task=self._cpus, gpus_per_node=int(gpus or 0), **where
        )
        self._waiting = WaitingJobs()
        self._submitted: dict[Any, Job] = {}
        self._refused: list[tuple[Job, Outcome]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.clear()
        for one in self._submitted:
            one.cancel()
        self._submitted.clear()
        shutil.rmtree(self._executor.folder, ignore_errors=True)  # what jobs are submitted from

    def submit(self, job: Job, place: int = 0) -> None:
        """Run a job as soon as fewer than `workers` are in the queue of Slurm, see `Executor`."""
        self._waiting.add(job, place)

    def _feed(self) -> None:
        while self._waiting and len(self._submitted) < self._workers:
            job = self._waiting.take()
            try:
                self._submitted[self._executor.submit(execute_in_worker, job, self._cpus)] = job
            except (self._errors.UncompletedJobError, self._errors.FailedSubmissionError) as error:
                reason = " ".join(str(error).split())
                self._refused.append((job, Outcome(failure=f"expected Slurm to take the job, got: {reason}")))

    def wait(self, seconds: float) -> list[tuple[Job, Outcome]]:
        """Return the jobs that have ended, see `Executor`."""
        self._feed()
        end = time.monotonic() + seconds
        while not (ended := [one for one in self._submitted if one.done()]) and time.monotonic() < end:
            if self._refused:
                break
            time.sleep(POLL_S)
        found = [*self._refused, *((self._submitted.pop(one), self._take(one)) for one in ended)]
        self._refused.clear()
        return found

    def running(self) -> list[Job]:
        """Return the jobs that Slurm has started, see `Executor`."""
        self._feed()
        return [job for one, job in self._submitted.items() if one.state == "RUNNING"]

    def _take(self, one: Any) -> Outcome:
        try:
            outcome: Outcome = one.result()
        except self._errors.UncompletedJobError:
            log = one.paths.stderr
            return Outcome(failure=f"expected the Slurm job {one.job_id} to finish, got state {one.state}; log: {log}")
        if not outcome.failure:
            shutil.rmtree(one.paths.folder, ignore_errors=True)
        return outcome
