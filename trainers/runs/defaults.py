"""Default arguments of every method, and the arguments that a run records.

Defaults are read from `default_arguments/<kind of task>/<backbone family>.yaml`. A file maps methods to their
arguments (``value``), where these come from (``source``: the paper's public code, a first guess, or tuning), the
number of trials, and S of the first and of the best trial; a file may inherit from another one. `same.yaml` lists
families that have no file of their own. `cards/trials/README.md` describes how defaults are chosen and all fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from mubench.hub_builders.tasks import Kind
from mubench.trainers.addons import ADDONS
from mubench.trainers.engine.distributed import STEP
from mubench.trainers.engine.task_arguments import LORA, SIZE, UNRECORDED, TaskArguments
from mubench.trainers.runs.method_table import CUSTOM, RECORDED_TRAINING, suite_table
from mubench.trainers.unlearning.unlearning_arguments import (
    ADDON_ARGUMENTS,
    AddonArguments,
    EpochArguments,
    is_enabled,
)

if TYPE_CHECKING:
    from mubench.trainers.unlearning.unlearning_trainer import UnlearningArguments, UnlearningTrainer

FOLDER = Path(__file__).with_name("default_arguments")
# Every field of a method's own dataclass is recorded as well. No paths and no tokens.
RECORDED = (*RECORDED_TRAINING, "optim_args", "augment", *LORA, *SIZE, *ADDON_ARGUMENTS, "keep")


def default_arguments(kind: Kind, family: str, method: str) -> Mapping[str, Any]:
    """Return the default arguments of a method that is made for the kind of task; empty: its dataclass's defaults.

    A custom method takes those of the method that it is `like`, as far as it has such arguments.
    """
    table = read_defaults(f"{kind}/{family}")
    if method not in CUSTOM:
        return table.get(method, {"value": {}})["value"]
    trainer = CUSTOM[method].trainer
    own = {field.name for field in dataclasses.fields(trainer.arguments)}
    value = table.get(trainer.like or "", {"value": {}})["value"]
    return {name: one for name, one in value.items() if name in own}


@cache
def _read_file(name: str) -> dict[str, Any]:
    path = FOLDER / f"{name}.yaml"
    found: dict[str, Any] = yaml.safe_load(path.read_text()) if path.is_file() else {}
    return found


@cache
def read_defaults(name: str) -> dict[str, dict[str, Any]]:
    """Return the entries of all methods for a kind and family, empty if there is no file of theirs.

    A method that a file does not list takes the values of the method that it is `like`, as they were before tuning.
    """
    name = _read_file("same").get(name, name)
    if not (data := _read_file(name)):
        return {}
    own: dict[str, dict[str, Any]] = data.get("methods", {})
    if "inherits" in data:
        table = dict(read_defaults(data["inherits"]))
    else:
        alike = {key: own[method.like]["value"] for key, method in suite_table().items() if method.like in own}
        table = {method: {"value": value, "source": "guess"} for method, value in alike.items()}
    for method, entry in own.items():
        value = {**table.get(method, {"value": {}})["value"], **entry["value"]}
        table[method] = {"source": data["source"], **entry, "value": value}
    return table


def recorded_names(trainer: type[UnlearningTrainer]) -> tuple[str, ...]:
    """Return the names of the arguments that a method's runs record."""
    elsewhere = (TaskArguments, AddonArguments, EpochArguments)
    shared = {field.name for base in elsewhere for field in dataclasses.fields(base)} | UNRECORDED
    return (*(f.name for f in dataclasses.fields(trainer.arguments) if f.name not in shared), *RECORDED)


def recorded_arguments(trainer: type[UnlearningTrainer], arguments: UnlearningArguments) -> dict[str, Any]:
    """Return the arguments that a run records: those of the same run in one process, without those that are off.

    A recipe's steps are recorded whole, since their division into batches does not change the result.
    """
    off = {name for addon in ADDONS.values() if not is_enabled(addon, arguments) for name in addon.arguments}
    if arguments.lora_rank is None:
        off |= set(LORA)
    if arguments.keep == "last":  # the default is not recorded
        off.add("keep")
    off |= set(SIZE) - arguments.size_options().keys()
    off |= {name for name in ("augment", "optim_args") if not getattr(arguments, name)}
    values = {name: _canonical(getattr(arguments, name)) for name in recorded_names(trainer) if name not in off}
    size, parts = STEP
    values[size] *= arguments.world_size
    if trainer.from_scratch:
        values |= {size: values[size] * values[parts], parts: 1}
    return values


def unset_arguments(
    arguments: UnlearningArguments, recorded: Mapping[str, Any], default: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a run records besides, since it is off although the default has it on; text is ``""``, not ``None``.

    Args:
        arguments: The run's arguments.
        recorded: Those that it records anyway, see `recorded_arguments`.
        default: What it would record by default.
    """
    off = {name: getattr(arguments, name) for name in default if name not in recorded}
    return {
        name: "" if value is None and isinstance(default[name], str) else _canonical(value)
        for name, value in off.items()
    }


def for_one_of(processes: int, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return recorded arguments for each of several processes.

    Raises:
        ValueError: If the rows of a batch cannot be divided evenly.
    """
    if processes == 1:
        return dict(recorded)
    size, left = divmod(recorded[STEP[0]], processes)
    if left:
        raise ValueError(f"expected processes that share out {recorded[STEP[0]]} rows evenly, got {processes}")
    return {**recorded, STEP[0]: size}


def _canonical(value: Any) -> Any:
    """Return one spelling for default, flag and file: enums by value, 4.0 as 4."""
    value = getattr(value, "value", value)
    return int(value) if isinstance(value, float) and value.is_integer() else value
