"""Search spaces of methods, read from `spaces.yaml`: factors of defaults, or choices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class LogFloat:
    """A range of positive factors of a default, uniform on a logarithmic scale."""

    low: float
    high: float

    def bounds(self, default: float) -> tuple[float, float]:
        """Return the smallest and the largest value, rounded to 12 significant digits."""
        return float(f"{default * self.low:.12g}"), float(f"{default * self.high:.12g}")

    def contains(self, value: float, default: float) -> bool:
        """Return whether a value lies in the range around a default."""
        low, high = self.bounds(default)
        return low <= value <= high


@dataclass(frozen=True)
class LogInt(LogFloat):
    """A `LogFloat` over integers from 1."""

    def bounds(self, default: float) -> tuple[int, int]:
        """Return the smallest and the largest value."""
        return max(1, round(default * self.low)), max(1, round(default * self.high))


@dataclass(frozen=True)
class Categorical:
    """One of some values."""

    values: tuple[Any, ...]

    def contains(self, value: Any, default: Any) -> bool:
        """Return whether a value is among them, whatever the default."""
        return value in self.values


Space = dict[str, LogFloat | Categorical]

_RANGES = {"factor": LogFloat, "count": LogInt}


def _read_space(space: dict[str, dict[str, list[Any]]]) -> Space:
    found: Space = {}
    for name, entry in space.items():
        ((kind, values),) = entry.items()
        found[name] = Categorical(tuple(values)) if kind == "choice" else _RANGES[kind](*values)
    return found


@cache
def read_spaces() -> dict[str, Space]:
    """Return the search spaces in `spaces.yaml` by method; ``default`` is that of all others."""
    found = yaml.safe_load(Path(__file__).with_name("spaces.yaml").read_text())
    spaces = {"default": found["default"], **found["methods"]}
    return {method: _read_space(space) for method, space in spaces.items()}


def space_of(method: str) -> Space:
    """Return the search space of a method, by default learning rate and epochs."""
    return read_spaces().get(method, read_spaces()["default"])
