"""What a stranger may say: nothing that is sent is trusted to be of a kind, of a size, or to exist."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Any

SEEDS = 2**31
SHOWN = 60
RUN_NAME = re.compile(r"[0-9a-f]{24}")


def shown(value: Any) -> str:
    """Return what was sent, short enough for a message."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text):,} characters)"


def one_of(name: str, value: Any, known: Collection[str]) -> str:
    """Return a choice that exists.

    Raises:
        ValueError: If it does not; the message names those that do.
    """
    if not isinstance(value, str) or value not in known:
        raise ValueError(
            f"{name} must be one of {', '.join(known) or 'nothing, as nothing is there'}, got {shown(value)}"
        )
    return value


def whole(name: str, value: Any, low: int, high: int) -> int:
    """Return a whole number between two others; 3.0 is one, True is none.

    Raises:
        ValueError: If it is none.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not low <= value <= high
        or value != int(value)
    ):
        raise ValueError(f"{name} must be a whole number from {low} to {high}, got {shown(value)}")
    return int(value)


def number(name: str, value: Any, low: float, high: float) -> float:
    """Return a finite number between two others.

    Raises:
        ValueError: If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}, got {shown(value)}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value}")
    return value


def run_name(value: Any) -> str:
    """Return the name of a run, which is also the name of its folder.

    Raises:
        ValueError: If it is no name of a run.
    """
    if not isinstance(value, str) or not RUN_NAME.fullmatch(value):
        raise ValueError(f"run must be the name of a run, 24 of the characters 0 to 9 and a to f, got {shown(value)}")
    return value


def ratio_of(value: Any, known: Collection[int]) -> int:
    """Return a deletion ratio that a build has, given as a number or as its digits.

    Raises:
        ValueError: If it has no such ratio.
    """
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if text not in map(str, known):
        raise ValueError(f"ratio must be one of {', '.join(map(str, known))}, got {shown(value)}")
    return int(text)
