"""The form of a method's arguments: names, types, defaults and help come from its dataclass."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from jobs.run_limits import MAX_NUMBER, MAX_TEXT, SHARED

from handlers.choices import built_task_info
from handlers.input_checks import check_choice, check_integer, check_number
from mubench.hub_builders.tasks import BACKBONES, TASKS
from mubench.hub_builders.utils.text import quote
from mubench.trainers.methods import METHODS
from mubench.trainers.runs.defaults import RECORDED, default_arguments, recorded_names

KINDS: dict[type, str] = {float: "number", int: "whole", bool: "switch", str: "text"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Field:
    """One argument.

    Attributes:
        name: Its name.
        kind: ``number``, ``whole``, ``switch`` or ``text``.
        default: Its default on the task and backbone.
        help: What it does, and the dataclass's default where that differs.
        low: Smallest number.
        high: Largest number.
        optional: Whether it may be left empty, which is its default.
    """

    name: str
    kind: str
    default: Any
    help: str
    low: float = -MAX_NUMBER
    high: float = MAX_NUMBER
    optional: bool = False


def argument_fields(task: str, backbone: str, method: Any) -> list[Field]:
    """Return the form of a method on a task and backbone: its own arguments, then the shared ones.

    Raises:
        ValueError: If there is no such method.
    """
    trainer = METHODS[check_choice("method", method, METHODS)]
    is_suite = isinstance(task, str) and task in TASKS
    kind = TASKS[task].kind if is_suite else built_task_info(task).row.kind
    defaults = default_arguments(kind, BACKBONES[check_choice("backbone", backbone, BACKBONES)].family, method)
    hints = typing.get_type_hints(trainer.arguments)
    own = [name for name in recorded_names(trainer) if name not in RECORDED]
    shared = [] if trainer.edits() else list(SHARED)
    by_name = {field.name: field for field in dataclasses.fields(trainer.arguments)}
    return [_field(by_name[name], hints[name], defaults) for name in (*own, *shared)]


def _field(field: dataclasses.Field[Any], hint: Any, defaults: Mapping[str, Any]) -> Field:
    parts = typing.get_args(hint) or (hint,)
    plain = next(part for part in parts if part is not type(None))
    default = defaults.get(field.name, field.default)
    text, low, high = SHARED.get(field.name, (field.metadata.get("help", ""), -MAX_NUMBER, MAX_NUMBER))
    differs = field.name not in SHARED and default != field.default
    return Field(
        name=field.name,
        kind=KINDS.get(plain, "text"),
        default=default,
        help=f"{text} The method's own default is {field.default}." if differs else text,
        low=low,
        high=high,
        optional=type(None) in parts and default is None,
    )


def check_arguments(form: list[Field], values: Any) -> dict[str, Any]:
    """Return the arguments that differ from the defaults.

    Raises:
        ValueError: If an argument is not in the form, of another type, or outside its limits.
    """
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ValueError(f"arguments must be values by name, got {quote(values)}")  # noqa: TRY004
    by_name = {field.name: field for field in form}
    checked = {check_choice("argument", name, by_name): _value(by_name[name], value) for name, value in values.items()}
    return {name: value for name, value in checked.items() if value != by_name[name].default}


def _value(field: Field, value: Any) -> Any:
    if value is None or (value == "" and field.optional):
        if field.optional:
            return None
        raise ValueError(f"{field.name} must have a value, got none")
    if field.kind == "number":
        return check_number(field.name, value, field.low, field.high)
    if field.kind == "whole":
        return check_integer(field.name, value, int(field.low), int(field.high))
    expected = bool if field.kind == "switch" else str
    if not isinstance(value, expected) or (isinstance(value, str) and len(value) > MAX_TEXT):
        text = "true or false" if expected is bool else f"text of at most {MAX_TEXT} characters"
        raise ValueError(f"{field.name} must be {text}, got {quote(value)}")
    return value
