"""Limits of result rows, which may come from anybody: bounded types for the schema, and JSON that is checked first."""

from __future__ import annotations

import base64
import json
import re
import sys
from array import array
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
import pydantic_core
from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator

from mubench.hub_builders.utils.text import quote
from mubench.trainers.metrics import DESCRIPTIONS
from mubench.trainers.metrics.bootstrap import DRAWS

# The longest row and its longest lists and dictionaries; a shipped row has 12,000 bytes, 4 seeds and 23 arguments.
MAX_BYTES, MAX_SEEDS, MAX_ENTRIES = 64_000, 64, 64
MAX_NAME, MAX_RUN_ID, MAX_TEXT = 64, 200, 256
# The largest number, and by how much rounding may exceed a range. S divides by nothing below 1 / MAX_NUMBER.
MAX_NUMBER, ROUNDING = 1e12, 1e-6
THOUSANDTHS = 1000
_PLAIN = r"^[A-Za-z0-9][A-Za-z0-9._+-]*$"


def check_name(name: str) -> str:
    """Return a name if rows may carry it, else raise ``ValueError``."""
    if len(name) > MAX_NAME or not re.fullmatch(_PLAIN, name):
        raise ValueError(
            f"expected a name of 1 to {MAX_NAME} letters, digits, '.', '_', '+' and '-', got {quote(name)}"
        )
    return name


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"expected printable characters, got {quote(text)}")
    return text


def _measurable(number: float) -> float:
    if 0 < number < 1 / MAX_NUMBER:
        raise ValueError(f"expected 0 or at least {1 / MAX_NUMBER:g}, got {number:g}")
    return number


def _unpack(draws: Any) -> array[int]:
    """Return draws as two bytes each, from a list of integers or from base64 of little-endian int16."""
    if isinstance(draws, str):
        try:
            found = array("h", base64.b64decode(draws, validate=True))
        except ValueError as error:
            raise ValueError("expected draws as base64 of 16-bit integers, got another text") from error
        if sys.byteorder == "big":
            found.byteswap()
    elif isinstance(draws, list | array) and all(type(one) is int for one in draws):
        found = array("h", draws if max(map(abs, draws), default=0) <= THOUSANDTHS else [])
    else:
        raise ValueError("expected draws as a list of integers or as base64, got something else")
    numbers = np.frombuffer(found, np.int16)
    if len(found) != DRAWS or numbers.min() < 0 or numbers.max() > THOUSANDTHS:
        raise ValueError(f"expected {DRAWS} draws from 0 to {THOUSANDTHS}, got others")
    return found


def _to_base64(draws: array[int]) -> str:
    if sys.byteorder == "big":
        draws = array("h", draws)
        draws.byteswap()
    return base64.b64encode(draws.tobytes()).decode()


Name = Annotated[str, Field(max_length=MAX_NAME, pattern=_PLAIN)]
RunId = Annotated[str, Field(max_length=MAX_RUN_ID, pattern=_PLAIN)]
Label = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_printable)]
Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_printable)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Positive = Annotated[float, Field(ge=0, le=MAX_NUMBER), AfterValidator(_measurable)]
Share = Annotated[float, Field(ge=-ROUNDING, le=1 + ROUNDING)]
Scalar = bool | Annotated[int, Field(ge=-(2**63), lt=2**63)] | float | Text | None
# Two bytes a draw: an `array` of int16, which has the buffer that numpy reads.
Draws = Annotated[Sequence[int], PlainValidator(_unpack), PlainSerializer(_to_base64)]
_Values = dict[Name, Scalar | Annotated[list[Scalar], Field(max_length=MAX_ENTRIES)]]


def _public(values: _Values) -> _Values:
    """Raise for absolute paths and Hub tokens, which must not be published."""
    for key, value in values.items():
        if isinstance(value, str) and value.startswith(("/", "~", "hf_")):
            raise ValueError(f"expected no path and no token in a row, got one as {key!r}")
    return values


Settings = Annotated[_Values, Field(max_length=MAX_ENTRIES), AfterValidator(_public)]


_RANGES = {
    name: (max(one.range[0], -MAX_NUMBER) - ROUNDING, min(one.range[1], MAX_NUMBER) + ROUNDING)
    for name, one in DESCRIPTIONS.items()
}


def check_range(name: str, *numbers: float | None) -> None:
    """Check values of a metric.

    Raises:
        ValueError: If there is no such metric, or a number is outside its range.
    """
    if name not in _RANGES:
        raise ValueError(f"expected a metric of the suite, got {quote(name)}")
    low, high = _RANGES[name]
    for number in numbers:
        if number is not None and not low <= number <= high:
            low, high = low + ROUNDING, high - ROUNDING
            raise ValueError(f"expected {name} from {low:g} to {high:g}, got {number:g}")


def parse_json(text: str | bytes) -> Any:
    """Return what a JSON text holds, before the schema reads it.

    Raises:
        ValueError: If it is too long, not JSON, nested too deeply, or gives a name twice.
    """
    if len(text.encode(errors="replace") if isinstance(text, str) else text) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES:,} bytes")
    try:
        found = pydantic_core.from_json(text)
    except ValueError:
        found = None
    colons = text.count(":") if isinstance(text, str) else text.count(b":")
    # One colon for each name: none is given twice. Otherwise the slower reader decides, and says what is wrong.
    if isinstance(found, dict) and colons == _count_names(found):
        return found
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error


def _count_names(row: dict[str, Any]) -> int:
    """Return the number of names in an object and in the objects within it, two levels deep as rows are."""
    inner = [value for value in row.values() if type(value) is dict]
    innermost = [value for one in inner for value in one.values() if type(value) is dict]
    return len(row) + sum(map(len, inner)) + sum(map(len, innermost))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = {sys.intern(name): value for name, value in pairs}
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{quote(next(name for name in names if names.count(name) > 1))} twice")
    return found
