"""Paths of the Space, relative to its working directory."""

from __future__ import annotations

from pathlib import Path

from mubench.hub_builders.tasks.names import DATASET

DATA, MODELS, RESULTS, RUNS = Path(DATASET), Path("models"), Path("results"), Path("runs")
REQUEST, OUTCOME, POINTS, ROWS = "request.json", "outcome.json", "points.json", "rows"
