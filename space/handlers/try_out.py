"""Trying a method out: a choice becomes a job, a job tells how far it is, and ends as a finished run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from jobs.job_request import JobRequest
from jobs.pool import ENDED, Job
from jobs.worker_pool import POOL

from handlers.arguments import checked, fields
from handlers.checks import SEEDS, one_of, run_name, whole
from handlers.choices import group_of, making, methods
from handlers.runs import Finished, tidy
from mubench.trainers.runs.plan import UnlearningRequest, resolve


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far a job is.

    Attributes:
        run: Its name.
        state: ``waiting``, ``running``, ``finished``, ``failed`` or ``cancelled``.
        before: How many run or wait before it.
        point: The last it has told.
        points: All it has told.
        error: Why it failed or ended.
    """

    run: str
    state: str
    before: int
    point: dict[str, Any]
    points: list[dict[str, Any]]
    error: str

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in ENDED


@dataclass(frozen=True)
class Choice:
    """What a visitor has chosen; nothing of it has been checked."""

    task: Any
    backbone: Any
    ratio: Any
    method: Any = None
    seed: Any = 0
    arguments: Any = None


def wish_of(choice: Choice) -> JobRequest:
    """Return a choice as something to do, after checking all of it.

    Raises:
        ValueError: If a choice does not exist, or an argument is out of place.
        FileNotFoundError: If the setting has no base or no retrained model.
    """
    group = group_of(choice.task, choice.backbone, choice.ratio)
    setting = group.setting
    key = one_of("method", choice.method, methods(choice.task, choice.backbone, choice.ratio))
    if not group.bases or not group.retrained:
        raise FileNotFoundError(
            f"expected a base and a retrained model of {setting.task.key} {setting.backbone} at {group.ratio} %, got "
            f"{len(group.bases)} and {len(group.retrained)}; make them with: "
            f"{making(setting.task.key, setting.backbone, group.ratio, setting.info.family)}"
        )
    request = JobRequest(
        task=setting.task.key,
        family=setting.info.family,
        backbone=setting.backbone,
        ratio=group.ratio,
        method=key,
        base_seed=min(group.bases),
        seed=whole("seed", choice.seed, 0, SEEDS - 1),
        arguments=checked(fields(setting.task.key, setting.backbone, key), choice.arguments),
    )
    resolve(request_of(request, group))
    return request


def request_of(request: JobRequest, group: Any) -> UnlearningRequest:
    """Return the request that the library is given."""
    fields_ = {name: getattr(request, name) for name in ("method", "ratio", "base_seed", "seed", "arguments")}
    return UnlearningRequest(setting=group.setting, models=group.models, **fields_)


def start(owner: str, choice: Choice) -> Job:
    """Queue a run.

    Raises:
        ValueError: If a choice does not exist, or there are too many runs.
        FileNotFoundError: If there is nothing to set it beside.
    """
    return _submit(wish_of(choice), owner)


def start_references(owner: str, choice: Choice) -> Job:
    """Queue the training of a setting's base model and three retrained ones.

    Raises:
        ValueError: If the setting does not exist, or there are too many runs.
    """
    group = group_of(choice.task, choice.backbone, choice.ratio)
    request = JobRequest(
        kind="references",
        task=group.setting.task.key,
        family=group.setting.info.family,
        backbone=group.setting.backbone,
        ratio=group.ratio,
    )
    return _submit(request, owner)


def _submit(request: JobRequest, owner: str) -> Job:
    job = POOL.submit(request, owner)
    tidy(POOL.unfinished)
    return job


def status(run: Any) -> Status:
    """Return how far a job is.

    Raises:
        ValueError: If there is none of that name.
    """
    job = POOL.get(run_name(run))
    points = list(job.points)
    return Status(
        run=job.name,
        state=job.state,
        before=POOL.position(job),
        point=points[-1] if points else {},
        points=points,
        error=job.error,
    )


def is_going(run: Any) -> bool:
    """Whether there is a job of that name that is not over."""
    return run in POOL.unfinished()


def cancel(run: Any) -> str:
    """End a job, and say so.

    Raises:
        ValueError: If there is none of that name.
    """
    job = POOL.get(run_name(run))
    POOL.cancel(job.name)
    return "cancelled" if job.state not in ENDED else job.state


def command_of(request: JobRequest) -> str:
    """Return the command line that repeats a run."""
    words = ["python", "-m", "mubench.trainers", request.method, "--task", request.task, "--ratio", str(request.ratio)]
    words += ["--backbone", request.backbone, "--base_seed", str(request.base_seed), "--seed", str(request.seed)]
    words += ["--family", request.family] if request.family != "canonical" else []
    return shlex.join([*words, *(f"--{name}={value}" for name, value in request.arguments.items())])


def code_of(request: JobRequest) -> str:
    """Return the Python that repeats a run."""
    family = f', family="{request.family}"' if request.family != "canonical" else ""
    fields_ = {"method": request.method, "ratio": request.ratio, "base_seed": request.base_seed, "seed": request.seed}
    fields_ |= {"arguments": request.arguments} if request.arguments else {}
    words = ", ".join(f"{name}={value!r}" for name, value in fields_.items())
    return (
        "from mubench.trainers.models.setting import load_setting\n"
        "from mubench.trainers.runs.plan import UnlearningRequest, resolve\n"
        "from mubench.trainers.runs.run import unlearn\n\n"
        f'setting = load_setting("{request.task}", "{request.backbone}"{family})\n'
        f"folder = unlearn(resolve(UnlearningRequest(setting=setting, {words})))\n"
    )


def verdict(run: Finished) -> str:
    """Say in a line or two how a run came out."""
    row, request = run.row, run.request
    took = f"trained for {run.shown['cost']['seconds']:.1f} s"
    if row is None:
        command = making(request.task, request.backbone, request.ratio, request.family)
        return (
            f"{run.title}: {took}. Not judged: S needs two retrained models, and there is one. Make more, then run it "
            f"again: `{command}`"
        )
    if row.interval is None:
        return f"{run.title}: {took}. No score: {row.no_signal or ', '.join(row.flags)}."
    span = f"95 % interval {row.interval.low:.2f} to {row.interval.high:.2f}"
    against = f"judged against {row.reference_counts}"
    rank = ", too few of them for a rank that counts" if row.provisional else ""
    more = f" {row.no_signal[0].upper()}{row.no_signal[1:]}." if row.no_signal else ""
    flags = f" Flagged: {', '.join(row.flags)}." if row.flags else ""
    title = f"{request.method} on {request.task} ({row.tier} tier), {request.backbone}, {request.ratio} % deleted"
    return f"S = {row.metrics['score'].value:.2f} ({span}). {title}: {took}, {against}{rank}.{more}{flags}"
