"""`execute`: a job in this process, under the claim of its run."""

from __future__ import annotations

import traceback
from dataclasses import replace

from mubench.hub_builders.utils.atomic import WORK, claimed
from mubench.hub_builders.utils.text import one_line
from mubench.trainers.methods import METHODS
from mubench.trainers.runs.method_files import MethodFile, custom_methods
from mubench.trainers.sweeps.failures import read_failure, write_failure
from mubench.trainers.sweeps.jobs import BaseJob, Job, MethodJob, Outcome

# Errors whose message is for the user; others are named with their type.
_EXPLAINED = (ValueError, OSError, MemoryError, FloatingPointError)


def execute(job: Job) -> Outcome:
    """Run a job in this process; any exception becomes an `Outcome` with a failure."""
    try:
        with custom_methods(_file_of(job)):
            return _claim(job) if isinstance(job, BaseJob | MethodJob) else Outcome(job())
    except Exception as error:
        return _failure(error)


def _file_of(job: Job) -> MethodFile | None:
    """Return the file of a job's method, where it is not one of the suite."""
    return job.place.method_file if isinstance(job, MethodJob) and job.method not in METHODS else None


def _claim(job: BaseJob | MethodJob) -> Outcome:
    with claimed(job.place.models / WORK / "claims" / f"{job.key}.lock") as owner:
        return Outcome(owner=owner) if owner else _run(job)


def _run(job: BaseJob | MethodJob) -> Outcome:
    """Do a claimed run, and record its failure before the claim is free; one that has a record is not repeated."""
    if (reason := read_failure(job)) and not job.is_done():
        return Outcome(failure=reason, recorded=True)
    try:
        return Outcome(job())
    except Exception as error:
        outcome = _failure(error)
    write_failure(job, outcome)
    return replace(outcome, recorded=True)


def _failure(error: Exception) -> Outcome:
    kind = "" if isinstance(error, _EXPLAINED) and str(error) else f"{type(error).__name__}: "
    return Outcome(failure=one_line(f"{kind}{error}"), trace="".join(traceback.format_exception(error)))
