"""What the runs of a sweep will cost: passes from their recipe or from finished runs, minutes at the rate of those."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mubench.hub_builders.hub.model_folder import Run, read_runs
from mubench.hub_builders.utils.tables import align_columns
from mubench.hub_builders.utils.text import count_noun
from mubench.trainers.evaluation.judge_runs import BACKWARD, passes
from mubench.trainers.models.setting import Setting
from mubench.trainers.sweeps.failures import read_failure
from mubench.trainers.sweeps.jobs import BaseJob, JudgeGroupJob, MethodJob, SweepJob

HEAD = ("run", "state", "passes", "minutes")
UNKNOWN = "unknown"
# Passes of a method without finished runs as a share of retraining's: the median of the shipped rows.
SHARE = 0.15


@dataclass(frozen=True)
class Estimates:
    """Costs of runs, from the finished ones in a folder of models.

    Attributes:
        models: The folder.
    """

    models: Path

    @cached_property
    def _runs(self) -> list[Run]:
        return list(read_runs(self.models).values())

    def _like(self, setting: Setting) -> list[tuple[Run, float]]:
        """Return the finished runs on the task, tier and backbone of a setting, each with its passes."""
        same = {"task": setting.task.key, "tier": setting.info.tier, "backbone": setting.backbone}
        found = [
            run
            for run in self._runs
            if run.cost and all(getattr(run, name) == value for name, value in same.items())  # an adopted one has none
        ]
        whole = _epochs(setting) * setting.info.counts["train"]  # a base model counts no passes
        return [(run, passes(run.cost) if "forward" in run.cost else float(whole)) for run in found]

    def passes(self, job: BaseJob | MethodJob) -> float | None:
        """Return the passes of a run: by the recipe, or the mean of finished runs of its method and ratio.

        A backward pass counts as `BACKWARD` forward ones; ``None`` if no such run is finished.
        """
        setting = job.place.setting(job.task, job.backbone)
        rows, epochs = setting.info.counts["train"], _epochs(setting)
        if isinstance(job, BaseJob):
            return float(epochs * rows)
        forget = setting.info.forget_size(job.ratio)
        by_recipe = {
            "retrain": rows - forget,
            "retrain_keep50": rows - forget // 2,
            "retrain_at": (rows - forget) * dict(job.given).get("percent", 0) / 100,
        }
        if job.method in by_recipe:
            return float(epochs * by_recipe[job.method])
        found = [cost for run, cost in self._like(setting) if (run.method, run.ratio) == (job.method, job.ratio)]
        return sum(found) / len(found) if found else None

    def minutes(self, job: BaseJob | MethodJob) -> float | None:
        """Return the minutes of training of a run, at the mean rate of all finished runs on its task and backbone."""
        rate, count = self.seconds_per_pass(job), self.passes(job)
        return None if count is None or rate is None else count * rate / 60

    def seconds_per_pass(self, job: SweepJob) -> float | None:
        """Return the mean seconds of a pass of finished runs on a job's task and backbone; ``None`` without any."""
        found = self._like(job.place.setting(job.task, job.backbone))
        whole = sum(cost for _, cost in found)
        return sum(run.cost["seconds"] for run, _ in found) / whole if whole else None


def _epochs(setting: Setting) -> int:
    """Return the passes of a row over the recipe's epochs."""
    return (1 + BACKWARD) * setting.recipe.epochs


class JobCosts:
    """What each of a sweep's jobs takes, relative to others of its stage; runs that were done before take nothing.

    Runs take their passes times the seconds of one on their task and backbone, or of one on the others where no run
    there is finished; judgements go by the number of rows, and that of controls by how many these are.

    Args:
        jobs: All jobs.
    """

    def __init__(self, jobs: Iterable[SweepJob]) -> None:
        self._jobs = list({job.key: job for job in jobs}.values())
        self._done = {job.key for job in self._jobs if _is_done(job)}

    def __call__(self) -> Mapping[str, float]:
        """Return the cost of each job by its key, from the runs that are finished by now."""
        if not self._jobs:
            return {}
        estimates = Estimates(self._jobs[0].place.models)
        settings = {(job.task, job.backbone): job for job in self._jobs}
        rates = {setting: estimates.seconds_per_pass(job) for setting, job in settings.items()}
        known = [rate for rate in rates.values() if rate]
        mean = sum(known) / len(known) if known else 1.0
        costs = {}
        for job in self._jobs:
            rate = rates[job.task, job.backbone] or mean
            costs[job.key] = 0.0 if job.key in self._done else rate * _size(job, estimates)
        return costs


def _is_done(job: SweepJob) -> bool:
    try:
        return isinstance(job, BaseJob | MethodJob) and job.is_done()
    except ValueError:  # a damaged model, which the job reports
        return False


def _size(job: SweepJob, estimates: Estimates) -> float:
    """Return the passes of a run, or the number of rows that a judgement reads."""
    setting = job.place.setting(job.task, job.backbone)
    if not isinstance(job, BaseJob | MethodJob):
        return float(sum(setting.info.counts.values())) * (job.controls if isinstance(job, JudgeGroupJob) else 1)
    passes = estimates.passes(job)
    return SHARE * _epochs(setting) * setting.info.counts["train"] if passes is None else passes


def describe_jobs(jobs: Iterable[SweepJob], models: Path, *, retry: bool = False) -> list[str]:
    """Return the lines of a table of a sweep's runs, with their state and cost, and the sum of what is to do.

    Args:
        jobs: All jobs of the sweep.
        models: Folder of the finished runs.
        retry: Whether runs that failed before are to be repeated.
    """
    runs = list({job.key: job for job in jobs if isinstance(job, BaseJob | MethodJob)}.values())
    estimates, lines, left, failed = Estimates(models), [HEAD], [], []
    for job in runs:
        reason = "" if retry else read_failure(job)
        state = "done" if job.is_done() else "failed" if reason else "to do"
        cost = (estimates.passes(job), estimates.minutes(job))
        left += [cost] if state == "to do" else []
        failed += [f"{job.label} failed: {reason}"] if state == "failed" else []
        lines.append((job.label, state, _show(cost[0], ".0f"), _show(cost[1], ".3g")))
    return [*align_columns(lines, left=(0, 1)), "", *failed, _sum_up(left)]


def _sum_up(costs: Sequence[tuple[float | None, float | None]]) -> str:
    """Return the whole cost of runs in a line; what is unknown is counted apart."""
    if not costs:
        return "to do: nothing"
    columns = []
    for unit, values, style in zip(("passes", "minutes"), zip(*costs, strict=True), (".0f", ".3g"), strict=True):
        known = [value for value in values if value is not None]
        if not known:
            columns.append(f"{unit} {UNKNOWN}")
            continue
        missing = f" ({count_noun(len(values) - len(known), 'run')} {UNKNOWN})" if len(known) < len(values) else ""
        columns.append(f"{_show(sum(known), style)} {unit}{missing}")
    return f"to do: {count_noun(len(costs), 'run')}, {', '.join(columns)} of one worker"


def _show(value: float | None, style: str) -> str:
    return UNKNOWN if value is None else format(value, style)
