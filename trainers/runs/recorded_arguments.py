"""The arguments that a run records, in its identity and in its row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mubench.trainers.addons import ADDONS
from mubench.trainers.engine.distributed import STEP
from mubench.trainers.engine.task_arguments import LORA, UNRECORDED, TaskArguments
from mubench.trainers.runs.method_table import RECORDED_TRAINING
from mubench.trainers.unlearning.unlearning_arguments import ADDON_ARGUMENTS, AddonArguments, EpochArguments

if TYPE_CHECKING:
    from mubench.trainers.unlearning.unlearning_trainer import UnlearningArguments, UnlearningTrainer

# Every field of a method's own dataclass is recorded as well. No paths and no tokens.
RECORDED = (*RECORDED_TRAINING, "augment", *LORA, *ADDON_ARGUMENTS, "keep")


def recorded_names(trainer: type[UnlearningTrainer]) -> tuple[str, ...]:
    """Return the names of the arguments that a method's runs record."""
    elsewhere = (TaskArguments, AddonArguments, EpochArguments)
    shared = {field.name for base in elsewhere for field in dataclasses.fields(base)} | UNRECORDED
    return (*(f.name for f in dataclasses.fields(trainer.arguments) if f.name not in shared), *RECORDED)


def recorded_arguments(trainer: type[UnlearningTrainer], arguments: UnlearningArguments) -> dict[str, Any]:
    """Return the arguments that a run records: those of the same run in one process.

    A recipe's steps are recorded whole, since their division into batches does not change the result.
    """
    off = {name for addon in ADDONS.values() if not addon.on(arguments) for name in addon.arguments}
    if arguments.lora_rank is None:
        off |= set(LORA)
    if arguments.keep == "last":  # the default is not recorded
        off.add("keep")
    if not arguments.augment:
        off.add("augment")
    values = {name: _canonical(getattr(arguments, name)) for name in recorded_names(trainer) if name not in off}
    size, parts = STEP
    values[size] *= arguments.world_size
    if trainer.from_scratch:
        values |= {size: values[size] * values[parts], parts: 1}
    return values


def default_value(field: dataclasses.Field[Any]) -> Any:
    """Return the default of a dataclass's field."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


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
