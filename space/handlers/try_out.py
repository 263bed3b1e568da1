"""Trying a method out: a visitor's choice becomes a job, whose status can be read until it is a finished run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from jobs.pool import ENDED, POOL, Job, JobRequest

from handlers.arguments import argument_fields, check_arguments
from handlers.checks import SEEDS, check_choice, check_integer, check_run_name
from handlers.choices import chosen_group, methods, references_command
from handlers.runs import FinishedRun, remove_old_runs
from mubench.trainers.evaluation.references import Group
from mubench.trainers.runs.plan import UnlearningRequest, resolve

RUN_FIELDS = ("method", "ratio", "base_seed", "seed", "arguments")


@dataclass(frozen=True, kw_only=True)
class Status:
    """The progress of a job.

    Attributes:
        run: Its name.
        state: ``waiting``, ``running``, ``finished``, ``failed`` or ``cancelled``.
        before: How many jobs run or wait before it.
        point: Its latest progress point.
        points: All of them.
        error: Why it failed or was cancelled.
    """

    run: str
    state: str
    before: int
    point: dict[str, Any]
    points: list[dict[str, Any]]
    error: str

    @property
    def is_over(self) -> bool:
        """Whether the job has ended."""
        return self.state in ENDED


@dataclass(frozen=True)
class Choice:
    """A visitor's choice, unchecked."""

    task: Any
    backbone: Any
    ratio: Any
    method: Any = None
    seed: Any = 0
    arguments: Any = None


def check_request(choice: Choice) -> JobRequest:
    """Return the request of a choice, after checking all of it.

    Raises:
        ValueError: If a choice does not exist, or an argument is invalid.
        FileNotFoundError: If the setting has no base or no retrained model.
    """
    group = chosen_group(choice.task, choice.backbone, choice.ratio)
    setting = group.setting
    method = check_choice("method", choice.method, methods(choice.task, choice.backbone, choice.ratio))
    if not group.bases or not group.retrained:
        command = references_command(setting.task.key, setting.backbone, group.ratio, setting.info.family)
        raise FileNotFoundError(
            f"expected a base and a retrained model of {setting.task.key} {setting.backbone} at {group.ratio} %, got "
            f"{len(group.bases)} and {len(group.retrained)}; make them with: {command}"
        )
    fields = argument_fields(setting.task.key, setting.backbone, method)
    request = JobRequest(
        **_setting_fields(group),
        method=method,
        base_seed=min(group.bases),
        seed=check_integer("seed", choice.seed, 0, SEEDS - 1),
        arguments=check_arguments(fields, choice.arguments),
    )
    resolve(run_request(request, group))
    return request


def _setting_fields(group: Group) -> dict[str, Any]:
    setting = group.setting
    names = {"task": setting.task.key, "family": setting.info.family, "backbone": setting.backbone}
    return {**names, "ratio": group.ratio}


def run_request(request: JobRequest, group: Group) -> UnlearningRequest:
    """Return the request that the library plans and runs."""
    fields = {name: getattr(request, name) for name in RUN_FIELDS}
    return UnlearningRequest(setting=group.setting, models=group.models, **fields)


def start(owner: str, choice: Choice) -> Job:
    """Queue a run.

    Raises:
        ValueError: If a choice does not exist, or there are too many runs.
        FileNotFoundError: If the setting has no reference models.
    """
    return _submit(check_request(choice), owner)


def start_references(owner: str, choice: Choice) -> Job:
    """Queue the training of a setting's base model and three retrained ones.

    Raises:
        ValueError: If the setting does not exist, or there are too many runs.
    """
    group = chosen_group(choice.task, choice.backbone, choice.ratio)
    return _submit(JobRequest(kind="references", **_setting_fields(group)), owner)


def _submit(request: JobRequest, owner: str) -> Job:
    job = POOL.submit(request, owner)
    remove_old_runs(POOL.unfinished)
    return job


def status(run: Any) -> Status:
    """Return the progress of a job.

    Raises:
        ValueError: If there is none of that name.
    """
    job = POOL.get(check_run_name(run))
    points = list(job.points)
    return Status(
        run=job.name,
        state=job.state,
        before=POOL.position(job),
        point=points[-1] if points else {},
        points=points,
        error=job.error,
    )


def is_unfinished(run: Any) -> bool:
    """Whether there is an unfinished job of that name."""
    return run in POOL.unfinished()


def cancel(run: Any) -> str:
    """Cancel a job, and return its state.

    Raises:
        ValueError: If there is none of that name.
    """
    job = POOL.get(check_run_name(run))
    POOL.cancel(job.name)
    return "cancelled" if job.state not in ENDED else job.state


def run_command(request: JobRequest) -> str:
    """Return the command line that repeats a run."""
    words = ["python", "-m", "mubench.trainers", request.method, "--task", request.task, "--ratio", str(request.ratio)]
    words += ["--backbone", request.backbone, "--base_seed", str(request.base_seed), "--seed", str(request.seed)]
    words += ["--family", request.family] if request.family != "canonical" else []
    return shlex.join([*words, *(f"--{name}={value}" for name, value in request.arguments.items())])


def run_code(request: JobRequest) -> str:
    """Return the Python that repeats a run."""
    family = f', family="{request.family}"' if request.family != "canonical" else ""
    fields = {name: getattr(request, name) for name in RUN_FIELDS if name != "arguments" or request.arguments}
    words = ", ".join(f"{name}={value!r}" for name, value in fields.items())
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
        command = references_command(request.task, request.backbone, request.ratio, request.family)
        return (
            f"{run.title}: {trained}. Not judged: S needs two retrained models, and there is one. Train more, then "
            f"run it again: `{command}`"
        )
    if row.interval is None:
        return f"{run.title}: {trained}. No score: {row.no_signal or ', '.join(row.flags)}."
    interval = f"95 % interval {row.interval.low:.2f} to {row.interval.high:.2f}"
    provisional = ", too few for a final rank" if row.provisional else ""
    no_signal = f" {row.no_signal[0].upper()}{row.no_signal[1:]}." if row.no_signal else ""
    flags = f" Flagged: {', '.join(row.flags)}." if row.flags else ""
    title = f"{request.method} on {request.task} ({row.tier} tier), {request.backbone}, {request.ratio} % deleted"
    judged = f"judged against {row.reference_counts}{provisional}"
    return f"S = {row.metrics['score'].value:.2f} ({interval}). {title}: {trained}, {judged}.{no_signal}{flags}"
