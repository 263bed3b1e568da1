"""Draws of the rows to forget that are not the published one: what there is to tune on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mubench.hub_builders.dataset.readme import read_manifests
from mubench.hub_builders.tasks import TASKS, get_task
from mubench.hub_builders.tasks.names import FAMILIES, dataset_folder, deletion_seed_of
from mubench.trainers.runs.bases import Bases
from mubench.trainers.runs.sweep import Place, Sweep

RETRAINED = (0, 1)  # seeds of a draw's retrained models


def sweeps_of(
    folders: Sequence[str], tasks: Sequence[str], *, backbone: str | None, ratio: int, seed: int, place: Place
) -> list[Sweep]:
    """Return a sweep for every task and every folder with a draw of the family that the task is ranked on.

    Args:
        folders: Dataset folders, called as ``build --deletion_seed`` calls them.
        tasks: Task keys; none is every task in the folders.
        backbone: Backbone key; ``None`` takes the first of each task.
        ratio: Percentage to delete.
        seed: Seed of base models and runs.
        place: Its models are kept apart by folder, since a base model belongs to its draw.

    Raises:
        ValueError: If a folder's name tells no family, or a task is not in every folder of the family it is ranked on,
            or there is none such.
    """
    for key in tasks:
        get_task(key)
    families = {folder: _family(folder) for folder in folders}
    built = {folder: read_manifests(Path(folder)) for folder in folders}
    wanted = tasks or [key for key in TASKS if any(_ranked_here(key, built[one], families[one]) for one in folders)]
    found: list[Sweep] = []
    for folder in folders:
        here = [key for key in wanted if _ranked_here(key, built[folder], families[folder])]
        own = replace(place, data=folder, family=families[folder], models=place.models / Path(folder).name)
        grids = Bases(tasks=here, backbone=backbone, ratio=ratio, seeds=(seed,), place=own).sweeps() if here else []
        found += [replace(grid, retrain_seeds=RETRAINED, seeds=(seed,)) for grid in grids]
    for key in wanted or TASKS:
        _check_draws(key, families, [sweep.place.data for sweep in found if sweep.task == key])
    return found


def _check_draws(task: str, families: Mapping[str, str], there: Sequence[str]) -> None:
    """Refuse a task that a folder lacks which should have it."""
    family = get_task(task).family_of("mini") if not there else families[there[0]]
    missing = [folder for folder, one in families.items() if one == family and folder not in there]
    if missing or not there:
        folder = missing[0] if missing else dataset_folder(family, deletion_seed=1)
        seed = deletion_seed_of(Path(folder).name, family)
        raise ValueError(
            f"expected a draw of {task} in {folder}, got none; make it with: python -m mubench.hub_builders build "
            f"{task} --family {family} --deletion_seed {seed}, and name its folder with --data"
        )


def _family(folder: str) -> str:
    name = Path(folder).name
    for family in FAMILIES:
        if name == dataset_folder(family, deletion_seed_of(name, family)):
            return family
    raise ValueError(
        f"expected a folder called as build calls it, such as {dataset_folder(deletion_seed=1)}, got {name}"
    )


def _ranked_here(task: str, built: Mapping[str, Any], family: str) -> bool:
    """Whether a folder of a family has a task that is ranked on it."""
    return task in built and get_task(task).family_of(built[task]["tier"]) == family
