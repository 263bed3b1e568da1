"""Types of arguments that are limited to a range of numbers, which `UnlearningArguments` checks."""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple


class Range(NamedTuple):
    """Numbers from ``low`` to ``high``, ends included; ``text`` names them in a message."""

    text: str
    low: float
    high: float = math.inf


SMALLEST = math.ulp(0.0)
NonNegative = Annotated[float, Range("0 or more", 0)]
Positive = Annotated[float, Range("positive", SMALLEST)]
Share = Annotated[float, Range("in (0, 1]", SMALLEST, 1)]
ShareOrZero = Annotated[float, Range("in [0, 1]", 0, 1)]
Count = Annotated[int, Range("1 or more", 1)]
CountOrZero = Annotated[int, Range("0 or more", 0)]
