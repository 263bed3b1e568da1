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
from jobs.job_request import Wish
from jobs.paths import MODELS, OUTCOME, POINTS, REQUEST, ROWS, RUNS, write_text
from jobs.pool import STOP
from jobs.run_summary import outcome
from mubench.cards.folders import write_model_card
from mubench.hub_builders.hub.model_folder import RUN_FILE, read_run
from mubench.trainers.engine.oom import TRAINING, memory_told
from mubench.trainers.evaluation.judge_runs import Judge
from mubench.trainers.evaluation.references import find_group
from mubench.trainers.evaluation.result_files import read_result
from mubench.trainers.models.base_models import train_base
from mubench.trainers.models.setting import workbench
from mubench.trainers.runs.run import Request, unlearn
from mubench.trainers.runs.sweep import QUIET
from mubench.trainers.runs.worker_pool import quiet
from mubench.trainers.unlearning.progress import Point, Watch

Tell = Callable[[dict[str, Any]], None]
RETRAINED = (0, 1, 2)


class StoppedError(Exception):
    """The server wants no more of it."""


def run(wish: Wish, name: str, tell: Tell) -> None:
    """Run a method into ``runs/<name>``: its model, its row if it can be judged, and what there is to show of it."""
    folder, start = RUNS / name, time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "models").mkdir(parents=True)
    write_text(folder / REQUEST, json.dumps(wish.record()))
    bench = workbench(wish.task, wish.backbone, family=wish.family)
    _lend_bases(wish.task, folder / "models")
    points: list[Point] = []

    def note(point: Point) -> None:
        points.append(point)
        tell({"stage": "training", **point})

    request = Request(
        bench=bench,
        method=wish.method,
        ratio=wish.ratio,
        base_seed=wish.base_seed,
        seed=wish.seed,
        arguments={**QUIET, **wish.arguments},
        models=folder / "models",
    )
    model = unlearn(request, [Watch(note)])
    tell({"stage": "judging"})
    group = find_group(bench, wish.ratio, MODELS)
    rows = [read_result(Judge(group, folder / ROWS).run(model))] if group.can_judge else []
    write_model_card(model, rows)
    shown = outcome(group, model, wish.base_seed)
    if bench.task.kind == "text_to_image":
        tell({"stage": "drawing"})
        draw(group, model, wish.base_seed, shown["rows"])
    write_text(folder / POINTS, json.dumps(points))
    shutil.rmtree(folder / "models" / ".work", ignore_errors=True)
    write_text(folder / OUTCOME, json.dumps({**shown, "model": model.name, "took_s": time.monotonic() - start}))


def _lend_bases(task: str, models: Path) -> None:
    """Put the base models of a task into a run's own folder, as links."""
    for path in MODELS.glob(f"*/{RUN_FILE}"):
        found = read_run(path.parent)
        if found.task == task and found.method is None:
            (models / path.parent.name).symlink_to(path.parent.resolve())


def train_references(wish: Wish, name: str, tell: Tell) -> None:
    """Train the base and retrained models that a setting lacks, one after the other."""
    bench = workbench(wish.task, wish.backbone, family=wish.family)
    jobs = [("base", 0), *(("retrained", seed) for seed in RETRAINED)]
    for done, (what, seed) in enumerate(jobs):
        shown = {"stage": f"{what} model of seed {seed}", "done": done, "of": len(jobs)}
        tell(shown)
        watch = Watch(lambda point, shown=shown: tell({**shown, **point}))  # type: ignore[misc]
        if what == "base":
            train_base(bench, seed, models=MODELS, callbacks=[watch], **QUIET)
        else:
            fields: dict[str, Any] = {"base_seed": seed, "arguments": QUIET, "models": MODELS}
            unlearn(Request(bench=bench, method="retrain", ratio=wish.ratio, **fields), [watch])


WORK: dict[str, Callable[[Wish, str, Tell], None]] = {"run": run, "references": train_references}


def main(server: Connection) -> None:
    """Do what the server says, one thing after the other, until it is gone."""
    _settle()
    while True:
        try:
            said = server.recv()
        except EOFError:
            return
        if said != STOP:  # which came too late for a job that had just ended
            wish, name = said
            server.send(_done(wish, name, server))


def _done(wish: Wish, name: str, server: Connection) -> dict[str, Any]:
    def tell(point: dict[str, Any]) -> None:
        if server.poll():
            server.recv()
            raise StoppedError
        server.send({"point": point})

    try:
        with memory_told("a run", TRAINING):
            WORK[wish.kind](wish, name, tell)
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
