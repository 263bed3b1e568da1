"""Result rows on disk: one JSON file per run, written in one step, validated on reading."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from mubench.hub_builders.utils.atomic import write_text
from mubench.hub_builders.utils.hints import target
from mubench.trainers.evaluation.result import Result


def to_json(result: Result) -> str:
    """Return the row as JSON, one field a line, the bootstrap draws on one line."""
    payload = result.model_dump(mode="json")
    if result.interval is None:
        return json.dumps(payload, indent=2, allow_nan=False) + "\n"
    payload["interval"]["draws"] = "@draws@"
    draws = json.dumps(result.interval.draws, separators=(",", ":"))
    return json.dumps(payload, indent=2, allow_nan=False).replace('"@draws@"', draws) + "\n"


def write_result(result: Result, folder: str | Path) -> Path:
    """Write ``<folder>/<run id>.json`` in one step and return its path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.run_id}.json"
    write_text(path, to_json(result))
    return path


def read_result(path: str | Path) -> Result:
    """Read one row.

    Raises:
        ValueError: If it is not a valid row, or not the one its file is named after.
    """
    path = Path(path)
    try:
        result = Result.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "row"
        raise ValueError(f"expected {path} to be a result row, got {place}: {first['msg']}") from error
    if result.run_id != path.stem:
        raise ValueError(f"expected {path} to hold run {path.stem!r}, got {result.run_id!r}")
    return result


def read_results(folder: str | Path) -> list[Result]:
    """Read every row of a folder, by run id.

    Raises:
        FileNotFoundError: If there are none.
        ValueError: If one of them is not valid.
    """
    files = sorted(Path(folder).glob("*.json"))
    if not files:
        making = target("results", results=folder)
        raise FileNotFoundError(f"expected result rows in {folder}, got none; make some with: {making}")
    return [read_result(file) for file in files]
