"""Finished runs on disk: a run's folder is complete once it has an outcome file, and outlives the server."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jobs.job_request import JobRequest
from jobs.paths import OUTCOME, POINTS, REQUEST, ROWS, RUNS

from handlers.input_checks import check_run_name
from mubench.hub_builders.utils.atomic import atomic_file
from mubench.trainers.evaluation.result import Result, read_result

# Runs on disk, in a browser's list, and in memory (a megabyte each; more than a browser requests at once).
MAX_RUNS, BROWSER_RUNS, CACHED_RUNS = 300, 20, 32


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A finished run: request, summary (see ``jobs.run_summary``), training curve, and result row if it was judged."""

    name: str
    request: JobRequest
    summary: dict[str, Any]
    points: list[dict[str, float]]
    row: Result | None

    @property
    def folder(self) -> Path:
        return RUNS / self.name

    @property
    def title(self) -> str:
        """Method, changed arguments, setting and seed."""
        request = self.request
        changed = "".join(f" {key}={value}" for key, value in request.arguments.items())
        setting = f"{request.task}, {request.backbone}, {request.ratio} %"
        return f"{request.method}{changed} on {setting}, seed {request.seed}"


def finished_run(name: Any) -> FinishedRun:
    """Return a finished run.

    Raises:
        ValueError: If there is none of that name.
    """
    folder = RUNS / check_run_name(name)
    if not (folder / OUTCOME).is_file():
        raise ValueError("expected a finished run on this server, got an unknown name")
    return _read(folder.name)


@lru_cache(maxsize=CACHED_RUNS)
def _read(name: str) -> FinishedRun:
    folder = RUNS / name
    rows = sorted((folder / ROWS).glob("*.json"))
    files = {part: json.loads((folder / part).read_text()) for part in (REQUEST, OUTCOME, POINTS)}
    row = read_result(rows[0]) if rows else None
    return FinishedRun(name, JobRequest(**files[REQUEST]), files[OUTCOME], files[POINTS], row)


def existing_runs(names: Any) -> list[FinishedRun]:
    """Return a visitor's runs that are still on disk."""
    found = []
    for name in names[:BROWSER_RUNS] if isinstance(names, list) else []:
        with suppress(ValueError, FileNotFoundError):  # the second if it is being removed
            found.append(finished_run(name))
    return found


def remove_old_runs(running: Callable[[], Collection[str]] = tuple) -> None:
    """Remove the oldest runs beyond the maximum, and unfinished ones except those that ``running`` returns."""
    folders = list(RUNS.glob("*"))
    names = running()  # after the folders, so that a run that starts meanwhile is not among them
    folders = [path for path in folders if path.is_dir() and path.name not in names]
    complete = sorted((path for path in folders if (path / OUTCOME).is_file()), key=lambda path: path.stat().st_mtime)
    for path in {*folders} - {*complete[-MAX_RUNS:]}:
        shutil.rmtree(path, ignore_errors=True)


def row_file(name: Any) -> Path:
    """Return the file of a run's result row.

    Raises:
        ValueError: If it has none.
    """
    run = finished_run(name)
    if run.row is None:
        raise ValueError("expected a run with a result row, got one that was not judged: it lacks retrained models")
    return min((run.folder / ROWS).glob("*.json"))


def model_archive(name: Any) -> Path:
    """Return a run's model folder, which is a Hub repository, as a zip file."""
    run = finished_run(name)
    model = run.folder / "models" / run.summary["model"]
    target = run.folder / f"{model.name}.zip"
    if not target.is_file():
        with atomic_file(target) as fresh, zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(path for path in model.rglob("*") if path.is_file()):
                archive.write(path, Path(model.name) / path.relative_to(model))
    return target
