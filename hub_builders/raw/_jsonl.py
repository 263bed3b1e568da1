"""JSON lines: UTF-8, one object per line with required fields; errors name file and line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from mubench.hub_builders.tasks.rows import Row
from mubench.hub_builders.utils.text import decode_text, quote

Field = Literal["string", "strings"]
Fields = Mapping[str, Field]


def parse_json_lines(data: bytes, fields: Fields, where: str) -> list[Row]:
    """Return the required fields of every line; blank lines are skipped.

    Args:
        data: Bytes of the file.
        fields: Required fields and their types; objects may have others.
        where: Name of the file.

    Raises:
        ValueError: If the text is not UTF-8, has no line, or a line is no object with these fields.
    """
    text = decode_text(data, where, encoding="utf-8-sig")
    # Not splitlines: strings may hold other line separators.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip(" \t\r")]
    if not lines:
        raise ValueError(f"expected at least one line, got none: {where}")
    return [
        select_fields(parse_json(line, f"{where} line {number}"), fields, f"{where} line {number}")
        for number, line in lines
    ]


def select_fields(found: object, fields: Fields, where: str) -> Row:
    """Return the required fields of an object from a file or table.

    Raises:
        ValueError: If it is not an object, or a field is missing or of another type.
    """
    if not isinstance(found, dict):
        raise ValueError(f"expected an object, got {quote(str(found))}: {where}")  # noqa: TRY004  (bad data, no bug)
    for name, kind in fields.items():
        if name not in found:
            raise ValueError(f"expected the fields {', '.join(fields)}, got none called {name}: {where}")
        if not _has_type(found[name], kind):
            raise ValueError(f"expected {_TYPE_NAMES[kind]} as {name}, got {quote(str(found[name]))}: {where}")
    return {name: found[name] for name in fields}


_TYPE_NAMES: Mapping[Field, str] = {"string": "a text", "strings": "a list of texts"}


def _has_type(value: object, kind: Field) -> bool:
    if kind == "strings":
        return isinstance(value, list) and all(_has_type(one, "string") for one in value)
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


def parse_json(line: str, where: str) -> object:
    """Parse JSON strictly: without duplicate keys, NaN or infinity.

    Raises:
        ValueError: If the text is not such JSON.
    """
    try:
        return json.loads(line, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError(f"expected a JSON object, got one nested too deeply: {where}") from error
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise ValueError(f"expected a JSON object, got {quote(line)} ({reason}): {where}") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, _ in pairs if [key for key, _ in pairs].count(name) > 1)
        raise ValueError(f"the key {quote(twice)} twice")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
