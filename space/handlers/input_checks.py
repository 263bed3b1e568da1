"""Checks of visitors' input: a value may have any type and size, and may name something that does not exist."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from mubench.hub_builders.utils.text import quote

RUN_NAME = re.compile(r"[0-9a-f]{24}")


def check_choice(name: str, value: Any, known: Collection[str]) -> str:
    """Return one of the known values.

    Raises:
        ValueError: If it is another; the message lists the known ones.
    """
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known) or 'none, as none exists'}, got {quote(value)}")
    return value


def check_integer(name: str, value: Any, low: int, high: int) -> int:
    """Return an integer within limits; 3.0 is accepted, True is not.

    Raises:
        ValueError: If it is not one.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high or value != int(value):
        raise ValueError(f"{name} must be a whole number from {low} to {high}, got {quote(value)}")
    return int(value)


def check_number(name: str, value: Any, low: float, high: float) -> float:
    """Return a finite number within limits.

    Raises:
        ValueError: If it is not one.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}, got {quote(value)}")
    return value


def check_run_name(value: Any) -> str:
    """Return the name of a run, which is also the name of its folder.

    Raises:
        ValueError: If it cannot be one.
    """
    if not isinstance(value, str) or not RUN_NAME.fullmatch(value):
        raise ValueError(f"run must be the name of a run, 24 characters of 0 to 9 and a to f, got {quote(value)}")
    return value


def check_ratio(value: Any, known: Collection[int]) -> int:
    """Return one of the known deletion ratios, given as a number or as its digits.

    Raises:
        ValueError: If it is another.
    """
    return int(check_choice("ratio", str(value), [str(each) for each in known]))
