"""The process that trains: trainers share a process's random state, so each has its own, and torch loads once."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from jobs.errors import told
from jobs.generated_images import draw
from jobs.job_request import JobRequest
from jobs.paths import MODELS, OUTCOME, POINTS, REQUEST, ROWS, RUNS
from jobs.pool import STOP
from jobs.run_summary import outcome
from mubench.cards.folders import write_model_card
from mubench.hub_builders.hub.model_folder import RUN_FILE, read_run
from mubench.hub_builders.utils.atomic import write_text
from mubench.trainers.engine.errors import TRAINING, explain_out_of_memory
from mubench.trainers.evaluation.judge_runs import Judge
from mubench.trainers.evaluation.references import find_group
from mubench.trainers.evaluation.result_files import read_result
from mubench.trainers.models.base_models import train_base
from mubench.trainers.models.setting import load_setting
from mubench.trainers.runs.plan import UnlearningRequest, resolve
from mubench.trainers.runs.run import unlearn
from mubench.trainers.runs.sweep import QUIET
from mubench.trainers.runs.worker_pool import quiet
from mubench.trainers.unlearning.progress import Point, ProgressCallback

Tell = Callable[[dict[str, Any]], None]
RETRAINED = (0, 1, 2)


class StoppedError(Exception):
    """The server wants no more of it."""


def run(job_request: JobRequest, name: str, tell: Tell) -> None:
    """Run a method into ``runs/<name>``: its model, its row if it can be judged, and what there is to show of it."""
    folder, start = RUNS / name, time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "models").mkdir(parents=True)
    write_text(folder / REQUEST, json.dumps(job_request.record()))
    setting = load_setting(job_request.task, job_request.backbone, family=job_request.family)
    _lend_bases(job_request.task, folder / "models")
    points: list[Point] = []

    def note(point: Point) -> None:
        points.append(point)
        tell({"stage": "training", **point})

    request = UnlearningRequest(
        setting=setting,
        method=job_request.method,
        ratio=job_request.ratio,
        base_seed=job_request.base_seed,
        seed=job_request.seed,
        arguments={**QUIET, **job_request.arguments},
        models=folder / "models",
    )
    model = unlearn(resolve(request), [ProgressCallback(note)])
    tell({"stage": "judging"})
    group = find_group(setting, job_request.ratio, MODELS)
    rows = [read_result(Judge(group, folder / ROWS).run(model))] if group.can_judge else []
    write_model_card(model, rows)
    shown = outcome(group, model, job_request.base_seed)
    if setting.task.kind == "text_to_image":
        tell({"stage": "drawing"})
        draw(group, model, job_request.base_seed, shown["rows"])
    write_text(folder / POINTS, json.dumps(points))
    shutil.rmtree(folder / "models" / ".work", ignore_errors=True)
    write_text(folder / OUTCOME, json.dumps({**shown, "model": model.name, "took_s": time.monotonic() - start}))


def _lend_bases(task: str, models: Path) -> None:
    """Put the base models of a task into a run's own folder, as links."""
    for path in MODELS.glob(f"*/{RUN_FILE}"):
        found = read_run(path.parent)
        if found.task == task and found.method is None:
            (models / path.parent.name).symlink_to(path.parent.resolve())


def train_references(job_request: JobRequest, name: str, tell: Tell) -> None:
    """Train the base and retrained models that a setting lacks, one after the other."""
    setting = load_setting(job_request.task, job_request.backbone, family=job_request.family)
    jobs = [("base", 0), *(("retrained", seed) for seed in RETRAINED)]
    for done, (what, seed) in enumerate(jobs):
        shown = {"stage": f"{what} model of seed {seed}", "done": done, "of": len(jobs)}
        tell(shown)
        watch = ProgressCallback(lambda point, shown=shown: tell({**shown, **point}))  # type: ignore[misc]
        if what == "base":
            train_base(setting, seed, models=MODELS, callbacks=[watch], **QUIET)
        else:
            fields: dict[str, Any] = {"base_seed": seed, "arguments": QUIET, "models": MODELS}
            request = UnlearningRequest(setting=setting, method="retrain", ratio=job_request.ratio, **fields)
            unlearn(resolve(request), [watch])


WORK: dict[str, Callable[[JobRequest, str, Tell], None]] = {"run": run, "references": train_references}


def main(server: Connection) -> None:
    """Do what the server says, one thing after the other, until it is gone."""
    _settle()
    while True:
        try:
            said = server.recv()
        except EOFError:
            return
        if said != STOP:  # which came too late for a job that had just ended
            job_request, name = said
            server.send(_done(job_request, name, server))


def _done(job_request: JobRequest, name: str, server: Connection) -> dict[str, Any]:
    def tell(point: dict[str, Any]) -> None:
        if server.poll():
            server.recv()
            raise StoppedError
        server.send({"point": point})

    try:
        with explain_out_of_memory("a run", TRAINING):
            WORK[job_request.kind](job_request, name, tell)
    except StoppedError:
        return {"end": "cancelled"}
    except Exception as error:  # whatever it is, the next job is served
        return {"end": "failed", "error": told(error)}
    return {"end": "finished"}


def _settle() -> None:
    """Set the worker up: one thread, no chatter, and no life after the server's."""
    quiet()
    threading.Thread(target=_follow_the_server, daemon=True).start()


def _follow_the_server() -> None:
    server = multiprocessing.parent_process()
    if server is not None:
        server.join()
        os._exit(1)
