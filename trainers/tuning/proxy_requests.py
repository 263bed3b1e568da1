"""Proxy requests: deletion requests with another deletion seed than the published one, for tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mubench.hub_builders.dataset.manifest import task_of
from mubench.hub_builders.dataset.readme import read_manifests
from mubench.hub_builders.dataset.task_info import find_task
from mubench.hub_builders.tasks import TASKS, in_order
from mubench.hub_builders.tasks.names import FAMILIES, dataset_folder, deletion_seed_of
from mubench.hub_builders.utils.hints import command
from mubench.trainers.sweeps.bases import task_sweeps
from mubench.trainers.sweeps.jobs import Place
from mubench.trainers.sweeps.sweep import Sweep

RETRAIN_SEEDS = (0, 1)  # of the retrained models of a proxy request


def proxy_sweeps(
    folders: Sequence[str], tasks: Sequence[str], *, seed: int, place: Place, **options: Any
) -> list[Sweep]:
    """Return a sweep for every task and every dataset folder of the deletion family that ranks the task.

    Args:
        folders: Dataset folders with the names that ``build --deletion_seed`` gives.
        tasks: Task keys; empty: every task in the folders.
        seed: Seed of base models and runs.
        place: Its models go to one folder per dataset folder, since a base model belongs to its deletion request.
        **options: Backbone, ratio and methods, as in `task_sweeps`.

    Raises:
        ValueError: If a folder's name has no family, or a task is missing from a folder of the family that ranks it,
            or no folder is of that family.
    """
    families = {folder: _folder_family(folder) for folder in folders}
    built = {folder: read_manifests(Path(folder)) for folder in folders}
    there = in_order(key for manifests in built.values() for key in manifests)
    wanted = tasks or [key for key in there if any(_is_ranked(key, built[one], families[one]) for one in folders)]
    found: list[Sweep] = []
    for folder in folders:
        here = [key for key in wanted if _is_ranked(key, built[folder], families[folder])]
        own = replace(place, data=folder, family=families[folder], models=place.models / Path(folder).name)
        if here:
            seeds: dict[str, Any] = {"base_seeds": (seed,), "retrain_seeds": RETRAIN_SEEDS, "seeds": (seed,)}
            found += task_sweeps(here, own, **seeds, **options)
    for key in wanted or TASKS:
        _check_built(key, families, [sweep.place.data for sweep in found if sweep.task == key])
    return found


def _check_built(task: str, families: Mapping[str, str], there: Sequence[str]) -> None:
    """Raise if a folder of the task's family lacks the task."""
    row = find_task(task, data=next(iter(families)))
    family = row.family_of("mini") if not there else families[there[0]]
    missing = [folder for folder, one in families.items() if one == family and folder not in there]
    if missing or not there:
        folder = missing[0] if missing else dataset_folder(family, deletion_seed=1)
        seed = deletion_seed_of(Path(folder).name, family)
        making = command("build", task, family=family, deletion_seed=seed)
        raise ValueError(
            f"expected {task} in {folder}, got no such data; build them with: {making}, and name its folder with "
            "--data"
        )


def _folder_family(folder: str) -> str:
    name = Path(folder).name
    for family in FAMILIES:
        if name == dataset_folder(family, deletion_seed_of(name, family)):
            return family
    raise ValueError(f"expected a folder name that build gives, such as {dataset_folder(deletion_seed=1)}, got {name}")


def _is_ranked(task: str, built: Mapping[str, Any], family: str) -> bool:
    """Return whether a folder of a family has a task that this family ranks."""
    return task in built and task_of(built[task]).family_of(built[task]["tier"]) == family
