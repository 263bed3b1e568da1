"""Draws of the rows to forget that are not the published one: what there is to tune on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mubench.hub_builders.names import FAMILIES, dataset_folder, deletion_seed_of
from mubench.hub_builders.readme import committed
from mubench.hub_builders.tasks import TASKS, get_task
from mubench.trainers.bases import Bases
from mubench.trainers.sweep import Place, Sweep

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
        ValueError: If a folder's name tells no family, or a task is in none of the folders.
    """
    for key in tasks:
        get_task(key)
    found: list[Sweep] = []
    for folder in folders:
        family = _family(folder)
        here = [key for key in TASKS if _ranked_on(key, folder) == family and (not tasks or key in tasks)]
        own = replace(place, data=folder, family=family, models=place.models / Path(folder).name)
        grids = Bases(tasks=here, backbone=backbone, ratio=ratio, seeds=(seed,), place=own).sweeps() if here else []
        found += [replace(grid, retrain_seeds=RETRAINED, seeds=(seed,)) for grid in grids]
    there = {sweep.task for sweep in found}
    if missing := [key for key in tasks if key not in there] or ([] if found else ["tasks"]):
        raise ValueError(
            f"expected draws of {', '.join(missing)}, of the family each is ranked on, got {', '.join(folders)}; make "
            "them with: python -m mubench.hub_builders build --deletion_seed 1"
        )
    return found


def _family(folder: str) -> str:
    name = Path(folder).name
    for family in FAMILIES:
        if name == dataset_folder(family, deletion_seed_of(name, family)):
            return family
    raise ValueError(
        f"expected a folder called as build calls it, such as {dataset_folder(deletion_seed=1)}, got {name}"
    )


def _ranked_on(task: str, folder: str) -> str | None:
    """Return the family that a task is ranked on, ``None`` where a folder does not have the task."""
    built = committed(Path(folder)).get(task)
    return get_task(task).family_of(built["tier"]) if built else None
