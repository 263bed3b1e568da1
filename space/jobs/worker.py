"""The worker process: trainers share a process's random state, so each job has its own, and torch is loaded once."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from jobs.errors import error_message
from jobs.generated_images import add_generated_images
from jobs.job_request import STOP, JobRequest
from jobs.paths import MODELS, OUTCOME, POINTS, REQUEST, ROWS, RUNS
from jobs.run_summary import summarize
from mubench.cards.folders import write_model_card
from mubench.hub_builders.hub.model_folder import read_runs
from mubench.hub_builders.utils.atomic import write_text
from mubench.trainers.engine.errors import TRAINING, explain_out_of_memory
from mubench.trainers.evaluation.group import find_group
from mubench.trainers.evaluation.judge_runs import Judge, can_judge
from mubench.trainers.evaluation.result import read_result
from mubench.trainers.models.base_models import train_base
from mubench.trainers.models.setting import Setting, load_setting
from mubench.trainers.runs.plan import UnlearningRequest, resolve
from mubench.trainers.runs.run import unlearn
from mubench.trainers.sweeps.jobs import QUIET
from mubench.trainers.sweeps.worker_pool import set_up_worker
from mubench.trainers.unlearning.progress import Point, ProgressCallback

Report = Callable[[dict[str, Any]], None]
RETRAINED = (0, 1, 2)


class StoppedError(Exception):
    """The server has cancelled the job."""


def run(job: JobRequest, name: str, report: Report) -> None:
    """Run a method into ``runs/<name>``: its model, its result row if it can be judged, and its summary."""
    folder, start = RUNS / name, time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "models").mkdir(parents=True)
    write_text(folder / REQUEST, json.dumps(dataclasses.asdict(job)))
    setting = load_setting(job.task, job.backbone, family=job.family)
    _train_base(setting, job.ratio, job.base_seed, report)
    _link_bases(job.task, folder / "models")
    model, points = _unlearn(setting, job, folder / "models", report)
    report({"stage": "judging"})
    group = find_group(setting, job.ratio, MODELS)
    rows = [read_result(Judge(group, folder / ROWS).run(model))] if can_judge(group) else []
    write_model_card(model, rows)
    summary = summarize(group, model, job.base_seed)
    if setting.task.kind == "text_to_image":
        report({"stage": "drawing"})
        add_generated_images(group, model, job.base_seed, summary["rows"])
    write_text(folder / POINTS, json.dumps(points))
    shutil.rmtree(folder / "models" / ".work", ignore_errors=True)
    write_text(folder / OUTCOME, json.dumps({**summary, "model": model.name, "took_s": time.monotonic() - start}))


def _unlearn(setting: Setting, job: JobRequest, models: Path, report: Report) -> tuple[Path, list[Point]]:
    """Run the method, and return the model's folder and the points of its training curve."""
    points: list[Point] = []

    def add_point(point: Point) -> None:
        points.append(point)
        report({"stage": "training", **point})

    fields = {**job.run_fields, "arguments": {**QUIET, **job.arguments}}
    request = UnlearningRequest(setting=setting, models=models, **fields)
    return unlearn(resolve(request), [ProgressCallback(add_point)]), points


def _train_base(setting: Setting, ratio: int, seed: int, report: Report) -> None:
    """Train the base model of a seed, unless it is there."""
    if seed in find_group(setting, ratio, MODELS).bases:
        return
    stage = {"stage": f"base model of seed {seed}"}
    callback = ProgressCallback(lambda point: report({**stage, **point}))
    report(stage)
    train_base(setting, seed, models=MODELS, callbacks=[callback], **QUIET)


def _link_bases(task: str, models: Path) -> None:
    """Link the base models of a task into a run's own folder."""
    for folder, found in read_runs(MODELS).items():
        if found.task == task and found.method is None:
            (models / folder.name).symlink_to(folder.resolve())


def train_references(job: JobRequest, name: str, report: Report) -> None:
    """Train the missing base and retrained models of a setting, one after the other."""
    setting = load_setting(job.task, job.backbone, family=job.family)
    models = [("base", 0), *(("retrained", seed) for seed in RETRAINED)]
    for done, (kind, seed) in enumerate(models):
        stage = {"stage": f"{kind} model of seed {seed}", "done": done, "of": len(models)}
        report(stage)
        callback = ProgressCallback(lambda point, stage=stage: report({**stage, **point}))  # type: ignore[misc]
        if kind == "base":
            train_base(setting, seed, models=MODELS, callbacks=[callback], **QUIET)
        else:
            fields: dict[str, Any] = {"base_seed": seed, "arguments": QUIET, "models": MODELS}
            request = UnlearningRequest(setting=setting, method="retrain", ratio=job.ratio, **fields)
            unlearn(resolve(request), [callback])


JOBS: dict[str, Callable[[JobRequest, str, Report], None]] = {"run": run, "references": train_references}


def main(server: Connection) -> None:
    """Run the server's jobs one after the other until it closes the pipe."""
    set_up_worker()
    while True:
        try:
            message = server.recv()
        except EOFError:
            return
        if message != STOP:  # which may arrive after its job has ended
            job, name = message
            server.send(run_job(job, name, server))


def run_job(job: JobRequest, name: str, server: Connection) -> dict[str, Any]:
    """Run a job, send its progress to the server, and return how it ended."""

    def report(point: dict[str, Any]) -> None:
        if server.poll():
            server.recv()
            raise StoppedError
        server.send({"point": point})

    try:
        with explain_out_of_memory("a run", TRAINING):
            JOBS[job.kind](job, name, report)
    except StoppedError:
        return {"end": "cancelled"}
    except Exception as error:  # the worker goes on with the next job
        return {"end": "failed", "error": error_message(error)}
    return {"end": "finished"}
