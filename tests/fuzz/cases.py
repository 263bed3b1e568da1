"""Seeded cases of the fuzzers: a fast share in continuous integration, all of them in `make nightly`."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

SEED = 16


def shares(fast: int, whole: int, *, is_slow: bool = False) -> pytest.MarkDecorator:
    """Parametrize a test over ``first, last``: cases 0 to ``fast``, and nightly those from ``fast`` to ``whole``.

    The first share is one of the fast tests, or of the slow ones if each case takes seconds.
    """
    nightly = pytest.param(fast, whole, id=f"{fast}-{whole}", marks=[pytest.mark.slow, pytest.mark.nightly])
    first = pytest.param(0, fast, id=f"0-{fast}", marks=[pytest.mark.slow] if is_slow else [])
    return pytest.mark.parametrize(("first", "last"), [first, nightly])


def random_cases(first: int, last: int) -> Iterator[tuple[int, random.Random]]:
    """Return the number of every case and a generator of its own, so that one case can be run again alone."""
    for number in range(first, last):
        yield number, random.Random(f"{SEED}-{number}")


def count_outcomes(first: int, last: int, run: Callable[[random.Random], Any]) -> Counter[str]:
    """Return how often each outcome occurred, and print it; ``run`` raises on an outcome that is a failure."""
    counts: Counter[str] = Counter()
    for number, generator in random_cases(first, last):
        try:
            counts[str(run(generator))] += 1
        except Exception as error:
            raise AssertionError(f"case {number} failed: {type(error).__name__}: {error}") from error
    print(f"{last - first} cases: {dict(counts)}")
    return counts
