"""A method's arguments as a form: names, defaults, help and limits come from its dataclass."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from handlers.checks import number, one_of, shown, whole
from mubench.hub_builders.tasks import BACKBONES, TASKS
from mubench.trainers.methods import METHODS
from mubench.trainers.runs.defaults import default_arguments
from mubench.trainers.runs.recorded_arguments import RECORDED, recorded_names

# Of `TrainingArguments`, with the range that a public machine can bear.
SHARED: dict[str, tuple[str, float, float]] = {
    "learning_rate": ("Peak learning rate.", 0.0, 10.0),
    "num_train_epochs": ("Passes over the rows.", 0.01, 50.0),
    "per_device_train_batch_size": ("Rows of a step.", 1, 256),
    "weight_decay": ("Decoupled weight decay.", 0.0, 10.0),
}
MOST = 1e6
LONGEST = 80
SIMPLE: dict[type, str] = {float: "number", int: "whole", bool: "switch", str: "text"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Field:
    """One argument.

    Attributes:
        name: Its name.
        kind: ``number``, ``whole``, ``switch`` or ``text``.
        default: What holds where nothing is said.
        help: What it is, and the paper's value where that differs.
        low: Smallest number.
        high: Largest number.
        optional: Whether nothing may be said: where that is the default.
    """

    name: str
    kind: str
    default: Any
    help: str
    low: float = -MOST
    high: float = MOST
    optional: bool = False


def fields(task: str, backbone: str, method: Any) -> list[Field]:
    """Return the form of a method on a task and backbone: its own arguments, then those that all share.

    Raises:
        ValueError: If there is no such method.
    """
    trainer = METHODS[one_of("method", method, METHODS)]
    one_of("task", task, TASKS), one_of("backbone", backbone, BACKBONES)
    usual = default_arguments(TASKS[task].kind, BACKBONES[backbone].family, method)
    hints = typing.get_type_hints(trainer.arguments)
    own = [name for name in recorded_names(trainer) if name not in RECORDED]
    shared = [] if trainer.edits() else list(SHARED)
    by_name = {field.name: field for field in dataclasses.fields(trainer.arguments)}
    return [_field(by_name[name], hints[name], usual) for name in (*own, *shared)]


def _field(field: dataclasses.Field[Any], hint: Any, usual: Mapping[str, Any]) -> Field:
    parts = typing.get_args(hint) if isinstance(hint, types.UnionType) or typing.get_origin(hint) else (hint,)
    plain = next(part for part in parts if part is not type(None))
    default = usual.get(field.name, field.default)
    words, low, high = SHARED.get(field.name, (field.metadata.get("help", ""), -MOST, MOST))
    paper = field.name not in SHARED and default != field.default
    return Field(
        name=field.name,
        kind=SIMPLE.get(plain, "text"),
        default=default,
        help=f"{words} The dataclass's default is {field.default}." if paper else words,
        low=low,
        high=high,
        optional=type(None) in parts and default is None,
    )


def checked(form: list[Field], given: Any) -> dict[str, Any]:
    """Return what of the given arguments differs from the defaults.

    Raises:
        ValueError: If an argument is none of the form, of another kind, or beyond its limits.
    """
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ValueError(f"arguments must be names and values, got {shown(given)}")  # noqa: TRY004
    by_name = {field.name: field for field in form}
    values = {one_of("argument", name, by_name): _value(by_name[name], value) for name, value in given.items()}
    return {name: value for name, value in values.items() if value != by_name[name].default}


def _value(field: Field, value: Any) -> Any:
    if value is None or (value == "" and field.optional):
        if field.optional:
            return None
        raise ValueError(f"{field.name} must have a value, got none")
    if field.kind == "number":
        return number(field.name, value, field.low, field.high)
    if field.kind == "whole":
        return whole(field.name, value, int(field.low), int(field.high))
    wanted = bool if field.kind == "switch" else str
    if not isinstance(value, wanted) or (isinstance(value, str) and len(value) > LONGEST):
        what = "true or false" if wanted is bool else f"text of at most {LONGEST} characters"
        raise ValueError(f"{field.name} must be {what}, got {shown(value)}")
    return value
