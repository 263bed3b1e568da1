"""The grid of the best settings of a tuning, which `mubench sweep` runs on the published requests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mubench.hub_builders.tasks.names import dataset_folder
from mubench.hub_builders.utils.atomic import write_text
from mubench.trainers.evaluation.result import ENOUGH_BASES, ENOUGH_RETRAINED
from mubench.trainers.tuning.search import TuneMethod, defaults_key
from mubench.trainers.tuning.trials import best_trial, read_trials


def grid_fields(searches: Sequence[TuneMethod]) -> dict[str, Any]:
    """Return the fields of the grid of finished searches that share their tasks and backbones.

    Seeds are as many as a rank requires. A method whose best trial is its default has no arguments.
    """
    sweeps = list({sweep.task: sweep for sweep in searches[0].sweeps}.values())
    place = sweeps[0].place
    best = {one.method: best_trial(read_trials(one.path, one.about)).arguments for one in searches}
    return {
        "tasks": [sweep.task for sweep in sweeps],
        "data": str(Path(place.data).with_name(dataset_folder(place.family))),
        "family": place.family,
        "eval_seed": place.eval_seed,
        "backbones": {sweep.task: list(sweep.backbones) for sweep in sweeps},
        "ratios": [sweeps[0].ratio],
        "methods": best,
        **({"method_file": place.method_file.source} if place.method_file else {}),
        "tuned": True,
        "base_seeds": list(range(ENOUGH_BASES)),
        "retrain_seeds": list(range(ENOUGH_RETRAINED)),
        "seeds": [0],
    }


def write_grids(searches: Sequence[TuneMethod]) -> list[Path]:
    """Write a grid beside the trials for each kind of task and backbone family, and return the paths.

    A search of another group of methods writes the file anew.
    """
    alike: dict[Path, list[TuneMethod]] = {}
    for one in searches:
        kind, family = defaults_key(one.sweeps[0])
        alike.setdefault(one.out / f"{kind}-{family}-del{one.sweeps[0].ratio}.yaml", []).append(one)
    for path, group in alike.items():
        write_text(path, yaml.safe_dump(grid_fields(group), sort_keys=False, width=1_000))
    return list(alike)
