"""`run_jobs`: every job starts when what it requires is there; a failed one stops none but those that require it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from mubench.hub_builders.utils.text import count_noun
from mubench.trainers.sweeps.executor import Executor
from mubench.trainers.sweeps.failures import read_failure, remove_failure, write_failure
from mubench.trainers.sweeps.jobs import BaseJob, MethodJob, Outcome, SweepJob
from mubench.trainers.sweeps.sweep_progress import Progress

WAIT_S = 1.0  # at most, until the progress is shown again and runs of other sweeps are checked
LONGEST_WAIT_S = 60.0  # between two checks of a run of another sweep; each check is a job, on Slurm one of its queue
_RUNS = (BaseJob, MethodJob)


class FailedRunsError(ValueError):
    """Some runs of a sweep failed; all others are finished."""


@dataclass
class Report:
    """What came of a sweep's jobs.

    Attributes:
        done: Jobs that succeeded, or were done before.
        failed: Jobs that failed, now or in an earlier sweep, with the reason.
        blocked: Jobs that were not started, since one that they require failed.
        retried: Whether runs that failed in an earlier sweep were repeated.
    """

    done: list[SweepJob] = field(default_factory=list)
    failed: list[tuple[SweepJob, str]] = field(default_factory=list)
    blocked: list[SweepJob] = field(default_factory=list)
    retried: bool = False

    def check(self) -> None:
        """Raise if a job failed.

        Raises:
            FailedRunsError: If one did; the line names each with its reason.
        """
        if self.failed:
            reasons = "; ".join(sorted(f"{job.label}: {reason}" for job, reason in self.failed))
            count = len(self.blocked)
            were = "was" if count == 1 else "were"
            blocked = f", and {count_noun(count, 'dependent job')} {were} not started" if count else ""
            # Failed judgements have no record: the same command repeats them.
            is_kept = not self.retried and any(isinstance(job, _RUNS) for job, _ in self.failed)
            advice = "; --retry repeats failed runs" if is_kept else ""
            got = f"{count_noun(len(self.failed), 'failed job')}{blocked}"
            raise FailedRunsError(f"expected all jobs to finish, got {got}: {reasons}{advice}")


class _Schedule:
    def __init__(self, jobs: Sequence[SweepJob], executor: Executor, progress: Progress, report: Report) -> None:
        self.executor, self.progress = executor, progress
        self.left = {job.key: job for job in jobs}
        self.places = {job.key: place for place, job in enumerate(jobs)}
        self.running: dict[str, SweepJob] = {}
        self.held: list[tuple[float, SweepJob]] = []  # runs of other sweeps, and when each is checked again
        self.checks: Counter[str] = Counter()
        self.report = report
        self.done: set[str] = set()
        self.lost: set[str] = set()

    def run(self) -> Report:
        """Run all jobs, and return what came of them."""
        self.start_ready()
        self.show()
        while self.running or self.held:
            if not self.running:
                time.sleep(WAIT_S)
            for job, outcome in self.executor.wait(WAIT_S):
                self.end(cast("SweepJob", job), outcome)
            self.start_held()
            self.start_ready()
            self.show()
        return self.report

    def show(self) -> None:
        """Show which of the submitted jobs run."""
        self.progress.show(cast("list[SweepJob]", self.executor.running()))

    def start_held(self) -> None:
        """Submit the runs of other sweeps again whose wait is over."""
        now, held = time.monotonic(), self.held
        self.held = [(due, job) for due, job in held if due > now]
        for due, job in held:
            if due <= now:
                self.start(job)

    def start_ready(self) -> None:
        """Start every job whose requirements are met; those whose requirements failed are blocked."""
        ended = None
        while ended != len(self.done) + len(self.lost):  # what is blocked or failed already may decide about others
            ended = len(self.done) + len(self.lost)
            for key, job in list(self.left.items()):
                if not self.lost.isdisjoint(job.requires):
                    del self.left[key]
                    self.lost.add(key)
                    self.report.blocked.append(job)
                    self.progress.end(job, "blocked")
                elif self.done.issuperset(job.requires) and (self.done | self.lost).issuperset(job.after):
                    del self.left[key]
                    self.start(job)

    def start(self, job: SweepJob) -> None:
        """Hand a job to the executor, unless it has failed before and was not made by hand since."""
        if isinstance(job, _RUNS) and (reason := read_failure(job)):
            if not job.is_done():
                self.fail(job, reason)
                return
            remove_failure(job)
        self.running[job.key] = job
        self.executor.submit(job, self.places[job.key])

    def end(self, job: SweepJob, outcome: Outcome) -> None:
        """Note what came of a job; one of another process is checked again, after a longer wait each time."""
        del self.running[job.key]
        if outcome.owner:
            wait = min(WAIT_S * 2 ** self.checks[job.key], LONGEST_WAIT_S)
            self.checks[job.key] += 1
            self.held.append((time.monotonic() + wait, job))
        elif outcome.failure:
            if isinstance(job, _RUNS) and not outcome.recorded:  # its process ended first
                write_failure(job, outcome)
            self.fail(job, outcome.failure)
        else:
            self.done.add(job.key)
            self.report.done.append(job)
            self.progress.end(job, "done")

    def fail(self, job: SweepJob, reason: str) -> None:
        self.lost.add(job.key)
        self.report.failed.append((job, reason))
        self.progress.end(job, "failed")


def run_jobs(
    jobs: Iterable[SweepJob],
    executor: Executor,
    *,
    retry: bool = False,
    costs: Callable[[], Mapping[str, float]] | None = None,
) -> Report:
    """Run jobs on an executor, and return what came of them.

    A run that another sweep works on is left to it, and is done here once it is done there.

    Args:
        jobs: Jobs with what they require; equal ones are run once. Of those that can start, earlier ones come first.
        executor: Processes to run them.
        retry: Whether runs that failed before are repeated.
        costs: Returns what each job takes, by its key, for the time that is left; without it, all take the same.
    """
    unique = list({job.key: job for job in jobs}.values())
    for job in unique:
        if retry and isinstance(job, _RUNS):
            remove_failure(job)
    with Progress(unique, costs) as progress:
        return _Schedule(unique, executor, progress, Report(retried=retry)).run()
