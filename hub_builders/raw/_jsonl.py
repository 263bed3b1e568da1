"""JSON lines: UTF-8, one object a line, with the fields a reader asks for; anything else is told by file and line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from mubench.hub_builders.deletion.forget_lists import quoted
from mubench.hub_builders.raw._rows import Row, unmarked

Field = Literal["string", "strings"]
Fields = Mapping[str, Field]


def json_lines(data: bytes, fields: Fields, where: str) -> list[Row]:
    """Return the fields asked for of every line; blank lines are skipped.

    Args:
        data: Bytes of the file.
        fields: Names of the fields that every object must have, and what they hold; it may have others.
        where: Name of the file.

    Raises:
        ValueError: If the text is not UTF-8, has no line, or a line is not such an object.
    """
    text = unmarked(data, where)
    # Not splitlines: strings may hold other line separators.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip(" \t\r")]
    if not lines:
        raise ValueError(f"expected at least one line, got none: {where}")
    return [
        checked(parsed(line, f"{where} line {number}"), fields, f"{where} line {number}") for number, line in lines
    ]


def checked(found: object, fields: Fields, where: str) -> Row:
    """Return the fields asked for of an object, whatever file or table it comes from.

    Raises:
        ValueError: If it is no object, or a field is missing or of another type.
    """
    if not isinstance(found, dict):
        raise ValueError(f"expected an object, got {quoted(str(found))}: {where}")  # noqa: TRY004  (bad data, no bug)
    for name, kind in fields.items():
        if name not in found:
            raise ValueError(f"expected the fields {', '.join(fields)}, got none called {name}: {where}")
        if not _is(found[name], kind):
            raise ValueError(f"expected {_WORDS[kind]} as {name}, got {quoted(str(found[name]))}: {where}")
    return {name: found[name] for name in fields}


_WORDS: Mapping[Field, str] = {"string": "a text", "strings": "a list of texts"}


def _is(value: object, kind: Field) -> bool:
    if kind == "strings":
        return isinstance(value, list) and all(_is(one, "string") for one in value)
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def parsed(line: str, where: str) -> object:
    """Return what a text of JSON holds.

    Raises:
        ValueError: If it is not JSON, or an object in it has a key twice.
    """
    try:
        return json.loads(line, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"expected a JSON object, got {quoted(line)} ({error.msg}): {where}") from error
    except RecursionError as error:
        raise ValueError(f"expected a JSON object, got one nested too deeply: {where}") from error
    except ValueError as error:
        raise ValueError(f"expected a JSON object, got {quoted(line)} ({error}): {where}") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, _ in pairs if [key for key, _ in pairs].count(name) > 1)
        raise ValueError(f"the key {quoted(twice)} twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
