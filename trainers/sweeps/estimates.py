"""What the runs of a sweep will cost: passes from their recipe or from finished runs, minutes from the latter."""

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

        Of these, runs with the given arguments come before others. A backward pass counts as `BACKWARD` forward ones;
        ``None`` if no such run is finished.
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
        same = self._of_method(job, setting)
        found = [cost for _, cost in self._with_arguments(job, same) or same]
        return sum(found) / len(found) if found else None

    def minutes(self, job: BaseJob | MethodJob) -> float | None:
        """Return the minutes of training of a run.

        They are the mean of its finished equals of other seeds, or else its passes at the mean rate of all finished
        runs on its task and backbone: methods differ in what a pass takes.
        """
        same = self._of_method(job, job.place.setting(job.task, job.backbone))
        if equals := [run.cost["seconds"] for run, _ in self._with_arguments(job, same)]:
            return float(sum(equals) / len(equals) / 60)
        rate, count = self.seconds_per_pass(job), self.passes(job)
        return None if count is None or rate is None else count * rate / 60

    def _of_method(self, job: BaseJob | MethodJob, setting: Setting) -> list[tuple[Run, float]]:
        """Return the finished runs of a job's method and ratio, each with its passes."""
        method, ratio = (None, None) if isinstance(job, BaseJob) else (job.method, job.ratio)
        return [(run, cost) for run, cost in self._like(setting) if (run.method, run.ratio) == (method, ratio)]

    @staticmethod
    def _with_arguments(job: BaseJob | MethodJob, runs: list[tuple[Run, float]]) -> list[tuple[Run, float]]:
        """Return those of the runs that have a job's arguments, or the defaults if it has none."""
        given = {} if isinstance(job, BaseJob) else dict(job.given)
        if not given:
            return [(run, cost) for run, cost in runs if run.tuned == "default"]
        return [(run, cost) for run, cost in runs if given.items() <= dict(run.arguments).items()]

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

    Runs take the time of their equals of other seeds, or else their passes times the seconds of one on their task and
    backbone, or on the others where no run there is finished; judgements go by the number of rows, and that of
    controls by how many these are.

    Args:
        jobs: All jobs.
    """

    def __init__(self, jobs: Iterable[SweepJob]) -> None:
        self._jobs = list({job.key: job for job in jobs}.values())
        self._done = {job.key for job in self._jobs if isinstance(job, BaseJob | MethodJob) and job.is_done()}

    def __call__(self) -> Mapping[str, float]:
        """Return the cost of each job by its key, from the runs that are finished by now."""
        if not self._jobs:
            return {}
        folders = {job.place.models: Estimates(job.place.models) for job in self._jobs}
        settings = {(job.place.models, job.task, job.backbone): job for job in self._jobs}
        rates = {setting: folders[setting[0]].seconds_per_pass(job) for setting, job in settings.items()}
        known = [rate for rate in rates.values() if rate]
        mean = sum(known) / len(known) if known else 1.0
        costs = {}
        for job in self._jobs:
            estimates = folders[job.place.models]
            rate = rates[job.place.models, job.task, job.backbone] or mean
            costs[job.key] = 0.0 if job.key in self._done else _seconds(job, estimates, rate)
        return costs


def _seconds(job: SweepJob, estimates: Estimates, rate: float) -> float:
    """Return the seconds of a run, or a number that grows with the rows that a judgement reads.

    Args:
        job: The job.
        estimates: Costs of the runs in its folder of models.
        rate: Seconds of a pass, where no equal of a run is finished.
    """
    setting = job.place.setting(job.task, job.backbone)
    if not isinstance(job, BaseJob | MethodJob):
        return rate * sum(setting.info.counts.values()) * (job.controls if isinstance(job, JudgeGroupJob) else 1)
    if (minutes := estimates.minutes(job)) is not None:
        return 60 * minutes
    passes = estimates.passes(job)
    return rate * (SHARE * _epochs(setting) * setting.info.counts["train"] if passes is None else passes)


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
