"""`Addon`: an option that any method can be trained with, and what a run records of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mubench.trainers.engine.paper import Paper


@dataclass(frozen=True, kw_only=True)
class Addon:
    """One row of `ADDONS`.

    Attributes:
        paper: Where it comes from.
        switch: The argument that turns it on, as one would type it.
        arguments: Its arguments, which a run records where it is on.
        on: Whether it is, given a run's arguments.
        splits_gradients: Whether it needs the gradients of forget and retain rows apart from each other.
    """

    paper: Paper
    switch: str
    arguments: tuple[str, ...]
    on: Callable[[Any], bool]
    splits_gradients: bool = False
