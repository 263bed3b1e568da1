"""Finished runs on disk: each is a folder that is whole once its outcome is there, and outlives the server."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jobs.job_request import JobRequest
from jobs.paths import OUTCOME, POINTS, REQUEST, ROWS, RUNS

from handlers.checks import run_name
from mubench.hub_builders.utils.atomic import atomic_file
from mubench.trainers.evaluation.result import Result
from mubench.trainers.evaluation.result_files import read_result

MOST_KEPT = 300
# Runs that a browser remembers.
REMEMBERED = 20
# Runs that are kept in memory, about a megabyte each: more than a browser asks for at once.
AT_HAND = 32


@dataclass(frozen=True, eq=False)
class Finished:
    """A run that is over.

    Attributes:
        name: Its name.
        request: What was asked for.
        shown: Scores, losses, metrics and answers, see ``jobs.outcome``.
        points: What it told while it trained.
        row: Its row, where it could be judged.
    """

    name: str
    request: JobRequest
    shown: dict[str, Any]
    points: list[dict[str, float]]
    row: Result | None

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return RUNS / self.name

    @property
    def title(self) -> str:
        """What it was, in a few words."""
        request = self.request
        changed = "".join(f" {key}={value}" for key, value in request.arguments.items())
        return (
            f"{request.method}{changed} on {request.task}, {request.backbone}, {request.ratio} %, seed {request.seed}"
        )


def finished(name: Any) -> Finished:
    """Return a finished run.

    Raises:
        ValueError: If there is none of that name.
    """
    folder = RUNS / run_name(name)
    if not (folder / OUTCOME).is_file():
        raise ValueError("expected a finished run, got the name of none that is kept here")
    return _read(folder.name)


@lru_cache(maxsize=AT_HAND)
def _read(name: str) -> Finished:
    folder = RUNS / name
    rows = sorted((folder / ROWS).glob("*.json"))
    texts = {part: json.loads((folder / part).read_text()) for part in (REQUEST, OUTCOME, POINTS)}
    row = read_result(rows[0]) if rows else None
    return Finished(name, JobRequest(**texts[REQUEST]), texts[OUTCOME], texts[POINTS], row)


def known(names: Any) -> list[Finished]:
    """Return those of a visitor's runs that are kept here; others have been removed meanwhile."""
    found = []
    for name in names[:REMEMBERED] if isinstance(names, list) else []:
        try:
            found.append(finished(name))
        except (ValueError, FileNotFoundError):  # the second, if it is removed just now
            continue
    return found


def tidy(running: Callable[[], Collection[str]] = tuple) -> None:
    """Remove what killed servers left unfinished, and the oldest runs beyond the number that is kept.

    Args:
        running: Returns the names of the runs that are not over.
    """
    folders = list(RUNS.glob("*"))
    names = running()  # after the folders, so that a run that starts meanwhile is not among them
    folders = [path for path in folders if path.is_dir() and path.name not in names]
    whole = sorted((path for path in folders if (path / OUTCOME).is_file()), key=lambda path: path.stat().st_mtime)
    for path in {*folders} - {*whole[-MOST_KEPT:]}:
        shutil.rmtree(path, ignore_errors=True)


def row_file(name: Any) -> Path:
    """Return the file of a run's row.

    Raises:
        ValueError: If it has none.
    """
    found = sorted((finished(name).folder / ROWS).glob("*.json"))
    if not found:
        raise ValueError("expected a run with a row, got one that could not be judged: it lacks retrained models")
    return found[0]


def model_file(name: Any) -> Path:
    """Return a run's model folder, which is a Hub repository, as one file."""
    run = finished(name)
    model = run.folder / "models" / run.shown["model"]
    target = run.folder / f"{model.name}.zip"
    if not target.is_file():
        # Another request may pack the same model at the same time.
        with atomic_file(target) as fresh, zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(path for path in model.rglob("*") if path.is_file()):
                archive.write(path, Path(model.name) / path.relative_to(model))
    return target
