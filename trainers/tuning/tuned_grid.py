"""The grids of the best settings that `tune` found, which `sweep` runs on the published requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from mubench.hub_builders.dataset.task_info import task_info
from mubench.hub_builders.tasks.names import FAMILIES, dataset_folder
from mubench.hub_builders.tasks.own_backbones import OWN
from mubench.hub_builders.utils.atomic import write_text
from mubench.trainers.evaluation.result import ENOUGH_BASES, ENOUGH_RETRAINED
from mubench.trainers.sweeps.sweep import Sweep
from mubench.trainers.tuning.search import TuneMethod
from mubench.trainers.tuning.trials import best_trial, has_trials, read_trials


def write_grids(searches: Sequence[TuneMethod]) -> list[Path]:
    """Write a grid beside the trials for tasks that share defaults and a deletion family, and return the paths.

    A grid has every method with trials of these requests in the folder, those of earlier commands as well, but custom
    methods only of this one. A method whose best trial is its default has no arguments. Seeds are as many as a rank
    requires. The row of a run that was made by hand with these arguments before still says `custom`.
    """
    paths = []
    for first in {one.stem: one for one in searches}.values():
        best = {one.method: best_trial(read_trials(one.path, one.about)).arguments for one in _with_trials(first)}
        for family in dict.fromkeys(sweep.place.family for sweep in first.sweeps):
            own = [sweep for sweep in first.sweeps if sweep.place.family == family]
            names = dict.fromkeys([*(sweep.task for sweep in own), *(sweep.backbones[0] for sweep in own)])
            path = first.out / f"{'-'.join(names)}-del{own[0].ratio}{FAMILIES[family]}.yaml"
            write_text(path, yaml.safe_dump(_fields(own, best), sort_keys=False, width=1_000))
            paths.append(path)
    return paths


def _with_trials(first: TuneMethod) -> list[TuneMethod]:
    """Return the searches of all methods with trials of the requests of one of them, by method."""
    names = sorted(path.stem.removeprefix(f"{first.stem}-") for path in first.out.glob(f"{first.stem}-*.json"))
    known = {key for sweep in first.sweeps for key in replace(sweep, methods=()).find_methods(sweep.backbones[0])}
    found = [replace(first, method=name) for name in names if name in known]
    return [one for one in found if has_trials(one.path, one.about)]


def _fields(sweeps: Sequence[Sweep], best: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the fields of a grid of proxy requests of one deletion family, with the best arguments by method."""
    place = sweeps[0].place
    return {
        "tasks": list(dict.fromkeys(sweep.task for sweep in sweeps)),
        "tiers": _tiers(sweeps),
        "data": str(Path(place.data).with_name(dataset_folder(place.family))),
        "family": place.family,
        "eval_seed": place.eval_seed,
        "backbones": {sweep.task: [_source(key) for key in sweep.backbones] for sweep in sweeps},
        "ratios": [sweeps[0].ratio],
        "methods": dict(best),
        **({"method_file": place.method_file.source} if place.method_file else {}),
        "tuned": True,
        "base_seeds": list(range(ENOUGH_BASES)),
        "retrain_seeds": list(range(ENOUGH_RETRAINED)),
        "seeds": [0],
    }


def _tiers(sweeps: Sequence[Sweep]) -> list[str]:
    """Return the tiers of the proxy requests, those of which the published ones are."""
    infos = (task_info(sweep.task, data=sweep.place.data, family=sweep.place.family) for sweep in sweeps)
    return list(dict.fromkeys(info.tier for info in infos))


def _source(backbone: str) -> str:
    """Return what names a backbone in a grid: its key, or the folder or repository of a custom one."""
    own = OWN.get(backbone)
    return backbone if own is None or own.start is not None else own.repository or str(own.hub_id)
