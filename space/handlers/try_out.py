"""Trying a method out: a visitor's choice becomes a job, whose status can be read until it is a finished run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from html import escape
from typing import Any

from jobs.job_request import JobRequest
from jobs.pool import ENDED, POOL, Job
from jobs.run_limits import SEEDS

from handlers.arguments import argument_fields, check_arguments
from handlers.choices import chosen_group, methods, references_command, shipped_ratios
from handlers.input_checks import check_choice, check_integer, check_run_name
from handlers.outcome import render_curve
from handlers.runs import FinishedRun, remove_old_runs
from mubench.hub_builders.utils.hints import command
from mubench.trainers.evaluation.group import Group
from mubench.trainers.runs.plan import UnlearningRequest, resolve

ENDS = {"finished": "Done", "cancelled": "Ended", "failed": "Failed"}


@dataclass(frozen=True, kw_only=True)
class Status:
    """A job at one time: its name, state, points and error, and how many jobs run or wait before it."""

    run: str
    state: str
    before: int
    points: list[dict[str, Any]]
    error: str

    @property
    def point(self) -> dict[str, Any]:
        return self.points[-1] if self.points else {}

    @property
    def is_over(self) -> bool:
        return self.state in ENDED


def check_request(
    *, task: Any, backbone: Any, ratio: Any, method: Any, seed: Any, arguments: Any = None
) -> JobRequest:
    """Return the request of a visitor's choice, after checking all of it.

    Raises:
        ValueError: If a choice does not exist, or an argument is invalid.
        FileNotFoundError: If the setting has no base or no retrained model.
    """
    group = chosen_group(task, backbone, ratio)
    method = check_choice("method", method, methods(task, backbone, ratio))
    if not (group.bases and group.retrained) and group.ratio not in shipped_ratios(task, backbone):
        making = references_command(task, backbone, group.ratio, group.setting.info.family)
        raise FileNotFoundError(
            f"expected a base and a retrained model of {task} {backbone} at {group.ratio} %, got "
            f"{len(group.bases)} and {len(group.retrained)}; make them with: {making}"
        )
    request = JobRequest(
        **_setting_fields(group),
        method=method,
        base_seed=min(group.bases, default=0),
        seed=check_integer("seed", seed, 0, SEEDS - 1),
        arguments=check_arguments(argument_fields(task, backbone, method), arguments),
        trains_base=not group.bases,
    )
    if group.bases:  # otherwise the run trains one first
        resolve(UnlearningRequest(setting=group.setting, models=group.models, **request.run_fields))
    return request


def _setting_fields(group: Group) -> dict[str, Any]:
    info = group.setting.info
    return {"task": info.task, "family": info.family, "backbone": group.setting.backbone, "ratio": group.ratio}


def start(owner: str, **choice: Any) -> Job:
    """Queue a run; the choice is given as to `check_request`.

    Raises:
        ValueError: If a choice does not exist, or there are too many runs.
        FileNotFoundError: If the setting has no reference models.
    """
    return _submit(check_request(**choice), owner)


def start_references(owner: str, task: Any, backbone: Any, ratio: Any) -> Job:
    """Queue the training of a setting's base model and three retrained ones.

    Raises:
        ValueError: If the setting does not exist, or there are too many runs.
    """
    fields = _setting_fields(chosen_group(task, backbone, ratio))
    return _submit(JobRequest(kind="references", **fields), owner)


def _submit(request: JobRequest, owner: str) -> Job:
    job = POOL.submit(request, owner)
    remove_old_runs(POOL.list_unfinished)
    return job


def status(run: Any) -> Status:
    """Return the progress of a job.

    Raises:
        ValueError: If there is none of that name.
    """
    job = POOL.get(check_run_name(run))
    return Status(run=job.name, state=job.state, before=POOL.position(job), points=list(job.points), error=job.error)


def render_progress(status: Status) -> str:
    """Return a job's place in the queue, or its stage, step, losses and seconds, or how it ended."""
    if status.state == "waiting":
        if not status.before:
            return _status_box("Starting.", 0)
        count = "1 run is" if status.before == 1 else f"{status.before} runs are"
        return _status_box(f"In the queue: {count} before yours.", 0)
    if status.is_over:
        error = f": {status.error}" if status.error and status.state != "finished" else ""
        return _status_box(f"{ENDS[status.state]}{error}.", None)
    point, share = status.point, None
    words = [str(point.get("stage", "getting ready"))]
    if "of" in point:
        words = [f"{words[0]} ({point['done'] + 1} of {point['of']} models)"]
    if point.get("steps"):
        words.append(f"step {point['step']:.0f} of {point['steps']:.0f}")
        share = point["step"] / point["steps"]
    words += [f"loss on {split} rows {point[split]:.3f}" for split in ("forget", "retain") if split in point]
    words += [f"{point['seconds']:.1f} s"] if "seconds" in point else []
    losses = [each for each in status.points if "forget" in each or "retain" in each]
    return _status_box(", ".join(words), share) + (render_curve(losses) if len(losses) > 1 else "")


def _status_box(text: str, share: float | None) -> str:
    bar = "" if share is None else f'<progress max="1" value="{share:.3f}" aria-label="progress"></progress>'
    return f'<div class="mu-status" role="status">{escape(text)}{bar}</div>'


def cancel(run: Any) -> str:
    """Cancel a job, and return its state.

    Raises:
        ValueError: If there is none of that name.
    """
    job = POOL.get(check_run_name(run))
    POOL.cancel(job.name)
    return job.state if job.is_over else "cancelled"


def run_command(request: JobRequest) -> str:
    """Return the command line that repeats a run."""
    fields = {name: getattr(request, name) for name in ("task", "ratio", "backbone", "base_seed", "seed", "family")}
    arguments = [shlex.quote(f"--{name}={value}") for name, value in request.arguments.items()]
    return " ".join([command(request.method, **fields), *arguments])


def run_code(request: JobRequest) -> str:
    """Return the Python that repeats a run."""
    family = f', family="{request.family}"' if request.family != "canonical" else ""
    words = ", ".join(f"{name}={value!r}" for name, value in request.run_fields.items() if value != {})
    return (
        "from mubench.trainers.models.setting import load_setting\n"
        "from mubench.trainers.runs.plan import UnlearningRequest, resolve\n"
        "from mubench.trainers.runs.run import unlearn\n\n"
        f'setting = load_setting("{request.task}", "{request.backbone}"{family})\n'
        f"folder = unlearn(resolve(UnlearningRequest(setting=setting, {words})))\n"
    )


def verdict(run: FinishedRun) -> str:
    """Return the result of a run in a line or two."""
    row, request = run.row, run.request
    trained = f"trained for {run.summary['cost']['seconds']:.1f} s"
    if row is None:
        making = references_command(request.task, request.backbone, request.ratio, request.family)
        return (
            f"{run.title}: {trained}. Not judged: S needs two retrained models, and there is one. Train more, then "
            f"run it again: `{making}`"
        )
    if row.interval is None:
        return f"{run.title}: {trained}. No score: {row.no_signal or ', '.join(row.flags)}."
    interval = f"one seed, 95 % interval {row.interval.low:.2f} to {row.interval.high:.2f}"
    provisional = ", too few for a final rank" if row.provisional else ""
    no_signal = f" {row.no_signal[0].upper()}{row.no_signal[1:]}." if row.no_signal else ""
    flags = f" Flagged: {', '.join(row.flags)}." if row.flags else ""
    title = f"{request.method} on {request.task} ({row.tier} tier), {request.backbone}, {request.ratio} % deleted"
    title += f", seed {request.seed}"
    judged = f"judged against {row.reference_counts}{provisional}"
    return f"S = {row.metrics['score'].value:.2f} ({interval}). {title}: {trained}, {judged}.{no_signal}{flags}"
