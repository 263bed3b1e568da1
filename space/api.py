"""The endpoints of ``gradio_client``: what the tabs do, as plain data. ``README.md`` says how each is called."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import gradio as gr
from handlers import board, choices, explore, outcome
from handlers import compare as compared
from handlers.arguments import fields
from handlers.runs import Finished, finished, model_file, row_file
from handlers.submitted import checked_row, sent_in
from handlers.try_out import Choice, Status, code_of, command_of, start, start_references, verdict
from handlers.try_out import cancel as end
from tabs.common import one_line
from tabs.try_out_tab import follow

Data = dict[str, Any]


def _told(status: Status) -> Data:
    return {key: getattr(status, key) for key in ("run", "state", "before", "point", "error")}


def _outcome(run: Finished) -> Data:
    shown = {key: run.shown[key] for key in ("scores", "metrics", "rows", "cost", "retraining_s", "took_s")}
    row = board.row_summary(run.row) if run.row else None
    repeat = {"command": command_of(run.request), "code": code_of(run.request)}
    return {"run": run.name, "verdict": verdict(run), "request": run.request.record(), "row": row, **shown, **repeat}


@one_line
def settings(task: str = "", backbone: str = "", ratio: str = "") -> Data:
    """List what can be tried out: tasks, and the backbones, ratios and methods that go with the chosen ones."""
    found = choices.narrowed(task, backbone, ratio, None)
    return {**found, "ratios": {str(each): count for each, count in found["ratios"].items()}}


@one_line
def arguments(task: str, backbone: str, method: str) -> list[Data]:
    """List the arguments of a method on a task and backbone: name, kind, default, limits and help."""
    setting = choices.bench_of(task, backbone)
    return [asdict(field) for field in fields(setting.task.key, setting.backbone, method)]


async def try_out(  # noqa: PLR0917  (a client names them, or gives them in this order)
    request: gr.Request,
    task: str,
    backbone: str,
    ratio: str,
    method: str,
    seed: int = 0,
    arguments: dict[str, Any] | None = None,
) -> AsyncIterator[Data]:
    """Run a method: yields how far it is, and in the end the outcome, whose key "run" is the run's name."""
    choice = Choice(task, backbone, ratio, method, seed, arguments)
    job = await asyncio.to_thread(start, str(request.session_hash), choice)
    async for now in follow(job.name):
        yield {**_told(now), **(_outcome(finished(job.name)) if now.state == "finished" else {})}


async def train_references(request: gr.Request, task: str, backbone: str, ratio: str) -> AsyncIterator[Data]:
    """Train the base and retrained models that a setting lacks: yields how far it is."""
    job = await asyncio.to_thread(start_references, str(request.session_hash), Choice(task, backbone, ratio))
    async for now in follow(job.name):
        yield _told(now)


@one_line
def cancel(run: str) -> str:
    """End a run that waits or is going on."""
    return end(run)


@one_line
def result(run: str) -> Data:
    """Return the outcome of a finished run."""
    return _outcome(finished(run))


@one_line
def attack(run: str, threshold: float) -> Data:
    """Return what an attack finds that calls rows with at most this loss members: on the run, base and retrained."""
    return outcome.attack(finished(run), threshold)


@one_line
def row(run: str) -> str:
    """Return the row of a finished run as the text of its JSON file."""
    return row_file(run).read_text(encoding="utf-8")


@one_line
def download(run: str) -> str:
    """Return the model folder of a finished run as one zip file in base64."""
    import base64  # noqa: PLC0415

    return base64.b64encode(model_file(run).read_bytes()).decode()


@one_line
def compare(runs: list[str]) -> Data:
    """Set one to four finished runs side by side: a list of values by number, in the runs' order."""
    found = compared.chosen_runs(runs)
    return {name: values for name, *values in compared.numbers(found)[1]}


@one_line
def leaderboard(
    filters: dict[str, list[str]] | None = None, runs: list[str] | None = None, rows: list[str] | None = None
) -> list[Data]:
    """Return the lines of the leaderboard that have the given tiers, tasks, backbones, ratios, methods and origins.

    Runs of yours and rows that are sent in, each as the text of its JSON file, stand beside the others.
    """
    chosen = board.filtered(board.lines(runs, sent_in(rows)), filters or {})
    return [dict(zip(board.HEAD, line.words, strict=True)) for line in chosen]


@one_line
def submit(row: str) -> Data:
    """Check a row, the text of its JSON file, against the schema, and return what it says."""
    return board.row_summary(checked_row(row))


@one_line
def data(family: str, task: str, ratio: str) -> Data:
    """Describe a config: rows by split, rows by class, and the code that loads it."""
    found = explore.config(family, task, ratio)
    return {"task": found.info.task, "tier": found.info.tier, "split": found.info.split, "labels": found.info.labels,
            "counts": found.counts, "balance": found.balance, "code": found.code}  # fmt: skip


@one_line
def samples(family: str, task: str, ratio: str, split: str, page: int = 1) -> list[Data]:
    """List a page of rows of a split: id, class and texts."""
    return explore.samples(explore.config(family, task, ratio), split, page)


PLAIN = (settings, arguments, cancel, result, attack, row, download, compare, leaderboard, submit, data, samples)
STREAMS = (try_out, train_references)


def endpoints() -> None:
    """Add every endpoint to the page that is being built."""
    for function in PLAIN:
        gr.api(function, api_name=function.__name__)
    for function in STREAMS:
        gr.api(one_line(function), api_name=function.__name__, concurrency_limit=None)
