"""Measures judging at full size: ``python -m tests.bench.measure_judging``; processor seconds and megabytes.

60,000 training rows and 10,000 test rows of 10 classes, 10 % deleted, 5 and 8 retrained models, 3 base models. Outputs
are synthetic and stored as those of a model folder: reading them is part of the first run of a group.
"""

from __future__ import annotations

import importlib
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.trainers.conftest import CLASSES, World, make_run_info

ROWS = {"forget": 6_000, "retain": 54_000, "test": 10_000}


def _seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    found = function()
    return time.process_time() - start, found


def _store(folder: Path, views: Any) -> None:
    """Write a model's outputs with one train split, as model folders have them."""
    from mubench.trainers.inference.outputs import ClassOutputs  # noqa: PLC0415  (of the measured checkout)
    from mubench.trainers.inference.storage import write_outputs  # noqa: PLC0415

    both = views["forget"], views["retain"]
    parts = (np.concatenate([getattr(one, name) for one in both]) for name in ("ids", "logits", "labels"))
    write_outputs(folder, {"train": ClassOutputs(*parts), "test": views["test"]})


def _ids(split: str) -> Any:
    """Return the ids of a split, which are listed once for a group."""
    return np.array([f"{split}-{i:05d}" for i in range(ROWS[split])])


def _read(folder: Path, forget: Any, retain: Any) -> Any:
    from mubench.trainers.inference.storage import outputs_by_split, read_outputs  # noqa: PLC0415

    return outputs_by_split(read_outputs(folder), forget, retain)


def _references(folder: Path, ids: Any, retrained: int) -> Any:
    """Read the reference models, and return the function that judges a model against them."""
    judge = importlib.import_module("mubench.trainers.evaluation.judge")
    models = {seed: _read(folder / f"retrain-{seed}", *ids) for seed in range(retrained)}
    bases = {seed: _read(folder / f"base-{seed}", *ids) for seed in range(3)}
    run = make_run_info()
    if not hasattr(judge, "judge_against"):  # before version 2 of S every run resampled its references anew
        return lambda model: judge.judge(run, model, models, bases, chance=1 / CLASSES)
    references = judge.reference_models(run, models, bases, 1 / CLASSES)
    return lambda model: judge.judge_against(run, model, references)


def measure() -> dict[str, float]:
    """Return the seconds of the first and a further run of a group by the number of retrained models, and memory."""
    importlib.import_module("sklearn.svm")
    world, found = World(ROWS), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(8):
            _store(folder / f"retrain-{seed}", world.views(saw=0.0, seed=seed))
        for seed in range(3):
            _store(folder / f"base-{seed}", world.views(saw=1.0, seed=100 + seed))
        for seed in range(2):
            _store(folder / f"run-{seed}", world.views(saw=0.3, seed=50 + seed))
        for retrained in (5, 8):
            listed, ids = _seconds(lambda: (_ids("forget"), _ids("retain")))
            read, judge = _seconds(partial(_references, folder, ids, retrained))
            first, _ = _seconds(lambda judge=judge, ids=ids: judge(_read(folder / "run-0", *ids)))  # type: ignore[misc]
            further, _ = _seconds(lambda judge=judge, ids=ids: judge(_read(folder / "run-1", *ids)))  # type: ignore[misc]
            found |= {
                f"judge_first_{retrained}_cpu_s": listed + read + first,
                f"judge_further_{retrained}_cpu_s": further,
            }
    return {**found, "judge_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


if __name__ == "__main__":
    for key, value in measure().items():
        print(f"{key} {value:.3f}")  # noqa: T201
