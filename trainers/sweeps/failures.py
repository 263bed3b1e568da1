"""Records of failed runs in a folder of models: one file per run, with the reason, which prevents a repetition."""

from __future__ import annotations

import json
import time
from pathlib import Path

from mubench.hub_builders.utils.atomic import WORK, write_json
from mubench.trainers.sweeps.jobs import Outcome, SweepJob


def _path(job: SweepJob) -> Path:
    return job.place.models / WORK / "failed" / f"{job.key}.json"


def write_failure(job: SweepJob, outcome: Outcome) -> None:
    """Write why a run failed, with the traceback."""
    path = _path(job)
    path.parent.mkdir(parents=True, exist_ok=True)
    when = time.strftime("%Y-%m-%d %H:%M:%S")
    write_json(path, {"run": job.label, "reason": outcome.failure, "when": when, "traceback": outcome.trace})


def read_failure(job: SweepJob) -> str:
    """Return why a run failed; an empty text if it did not. A damaged record is a reason, too, and names its file."""
    path = _path(job)
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["reason"])
    except FileNotFoundError:
        return ""
    except (ValueError, TypeError, KeyError) as error:
        return f"expected the reason of a failed run in {path}, got {type(error).__name__}: {error}"


def remove_failure(job: SweepJob) -> None:
    """Remove the record of a failed run, if there is one, so that it may be repeated."""
    _path(job).unlink(missing_ok=True)
