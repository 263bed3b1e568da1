"""`Addon`: an option that any method can be trained with, and the arguments that a run records of it."""

from __future__ import annotations

from dataclasses import dataclass

from mubench.trainers.engine.paper import Paper


@dataclass(frozen=True, kw_only=True)
class Addon:
    """One row of `ADDONS`.

    Attributes:
        paper: The paper that it is from.
        switch: The argument that turns it on, as on the command line.
        arguments: Names of its arguments, which a run records where it is on.
        optimizer: Value of ``optim`` or ``dual_optim`` that turns it on, in place of ``switch``.
        splits_gradients: Whether it needs the gradients of the forget and the retain set separately.
    """

    paper: Paper
    switch: str
    arguments: tuple[str, ...]
    optimizer: str | None = None
    splits_gradients: bool = False
