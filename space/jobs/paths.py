"""Where the Space reads and writes: the folder it is started in."""

from __future__ import annotations

import os
from pathlib import Path

from mubench.hub_builders.tasks.names import DATASET

DATA, MODELS, RESULTS, RUNS = Path(DATASET), Path("models"), Path("results"), Path("runs")
REQUEST, OUTCOME, POINTS, ROWS = "request.json", "outcome.json", "points.json", "rows"


def write_text(path: Path, text: str) -> None:
    """Write a file in one step: readers see the old one, none, or all of the new one."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
