"""The endpoints of ``gradio_client``: the actions of the tabs as plain data, documented in ``README.md``."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import gradio as gr
from handlers import board, choices, explore, outcome, runs
from handlers import compare as comparison
from handlers import try_out as runner
from handlers.arguments import argument_fields
from handlers.submissions import check_row, check_rows
from tabs.common import report_errors, visitor
from tabs.try_out_tab import follow

Data = dict[str, Any]
STATUS = ("run", "state", "before", "point", "error")
SUMMARY = ("scores", "metrics", "rows", "cost", "retraining_s", "took_s")


def _status(status: runner.Status) -> Data:
    return {key: getattr(status, key) for key in STATUS}


def _result(run: runs.FinishedRun) -> Data:
    row = board.row_summary(run.row) if run.row else None
    summary = {key: run.summary[key] for key in SUMMARY}
    repeat = {"command": runner.run_command(run.request), "code": runner.run_code(run.request)}
    head = {"run": run.name, "verdict": runner.verdict(run), "request": asdict(run.request), "row": row}
    return {**head, **summary, **repeat}


def settings(task: str = "", backbone: str = "", ratio: str = "") -> Data:
    """List the tasks, and the backbones, ratios and methods for the chosen ones."""
    found = choices.menu_choices(task, backbone, ratio, None)
    return {**found, "ratios": {str(each): count for each, count in found["ratios"].items()}}


def arguments(task: str, backbone: str, method: str) -> list[Data]:
    """List the arguments of a method on a task and backbone: name, kind, default, limits and help."""
    setting = choices.chosen_setting(task, backbone)
    return [asdict(field) for field in argument_fields(setting.task.key, setting.backbone, method)]


async def try_out(  # noqa: PLR0917  (clients may pass them by position)
    request: gr.Request,
    task: str,
    backbone: str,
    ratio: str,
    method: str,
    seed: int = 0,
    arguments: dict[str, Any] | None = None,
) -> AsyncIterator[Data]:
    """Run a method: yields its status, and in the end its result, whose key "run" is the run's name."""
    choice = {"task": task, "backbone": backbone, "ratio": ratio, "method": method}
    job = await asyncio.to_thread(runner.start, visitor(request), **choice, seed=seed, arguments=arguments)
    async for now in follow(job.name):
        yield {**_status(now), **(_result(runs.finished_run(job.name)) if now.state == "finished" else {})}


async def train_references(request: gr.Request, task: str, backbone: str, ratio: str) -> AsyncIterator[Data]:
    """Train the missing base and retrained models of a setting: yields the status."""
    job = await asyncio.to_thread(runner.start_references, visitor(request), task, backbone, ratio)
    async for now in follow(job.name):
        yield _status(now)


def cancel(run: str) -> str:
    """Cancel a waiting or running run."""
    return runner.cancel(run)


def result(run: str) -> Data:
    """Return the result of a finished run."""
    return _result(runs.finished_run(run))


def attack(run: str, threshold: float) -> Data:
    """Return what the loss attack finds at a threshold on the run's model, its base and retrained."""
    return outcome.attack(runs.finished_run(run), threshold)


def row(run: str) -> str:
    """Return the row of a finished run as the text of its JSON file."""
    return runs.row_file(run).read_text(encoding="utf-8")


def download(run: str) -> str:
    """Return the model folder of a finished run as one zip file in base64."""
    return base64.b64encode(runs.model_archive(run).read_bytes()).decode()


def compare(runs: list[str]) -> Data:
    """Compare one to four finished runs: lists of values by number, in the order of the runs."""
    return {name: values for name, *values in comparison.numbers(comparison.chosen_runs(runs))}


def leaderboard(
    filters: dict[str, list[str]] | None = None, runs: list[str] | None = None, rows: list[str] | None = None
) -> list[Data]:
    """Return the lines of the leaderboard that match the given tiers, tasks, backbones, ratios, methods and origins.

    The lines include those of your runs and of submitted rows, each given as the text of its JSON file.
    """
    lines = board.filter_lines(board.board_lines(runs, check_rows(rows)), filters or {})
    return [dict(zip(board.HEAD, line.cells, strict=True)) for line in lines]


def submit(row: str) -> Data:
    """Check a row, given as the text of its JSON file, against the schema, and return its main values."""
    return board.row_summary(check_row(row))


def data(family: str, task: str, ratio: str) -> Data:
    """Describe a config: rows by split, rows by class, and the code that loads it."""
    config = explore.find_config(family, task, ratio)
    info = {key: getattr(config.info, key) for key in ("task", "tier", "split", "labels")}
    return {**info, "counts": config.counts, "balance": config.balance, "code": config.code}


def samples(family: str, task: str, ratio: str, split: str, page: int = 1) -> list[Data]:
    """List a page of rows of a split: id, class and texts."""
    return explore.sample_rows(explore.find_config(family, task, ratio), split, page)


PLAIN = (settings, arguments, cancel, result, attack, row, download, compare, leaderboard, submit, data, samples)
STREAMING = (try_out, train_references)


def add_endpoints() -> None:
    """Add every endpoint to the page that is being built."""
    for endpoint in PLAIN:
        gr.api(report_errors(endpoint), api_name=endpoint.__name__)
    for stream in STREAMING:
        gr.api(report_errors(stream), api_name=stream.__name__, concurrency_limit=None)
