"""Commands that a message tells the user to run, with all that was given, so that a pasted one works."""

from __future__ import annotations

import shlex

from mubench.hub_builders.tasks.names import DATASET

# What every command takes where nothing is said; a message leaves it out too.
USUAL: dict[str, object] = {
    "tier": "mini",
    "out": ".",
    "data": DATASET,
    "family": "canonical",
    "deletion_seed": 0,
    "eval_seed": 0,
    "models": "models",
    "results": "results",
}
# What a build of a family cannot do without.
NEEDED: dict[str, dict[str, object]] = {"paper": {"tier": "full"}, "custom": {"forget_ids": "FILE"}}


def command(door: str, *words: str, **options: object) -> str:
    """Return a room's command, such as ``python -m mubench.hub_builders build cifar10 --tier full``.

    Args:
        door: Name of the room.
        *words: What stands before the options.
        **options: Values by name; ``None``, ``False`` and what is usual are left out, ``True`` is a bare flag.
    """
    return extended(" ".join([f"python -m mubench.{door}", *words]), **options)


def extended(line: str, **options: object) -> str:
    """Return a command with more options, taken as `command` takes them."""
    words = [f"--{name}" if value is True else f"--{name} {_quoted(value)}" for name, value in _said(options).items()]
    return " ".join([line, *words])


def target(name: str, **variables: object) -> str:
    """Return a ``make`` command, such as ``make references TASK=cifar10 RATIO=5``; what is usual is left out."""
    return " ".join(["make", name, *(f"{key.upper()}={_quoted(value)}" for key, value in _said(variables).items())])


def _said(options: dict[str, object]) -> dict[str, object]:
    return {
        name: value
        for name, value in options.items()
        if value is not None and value is not False and str(value) != str(USUAL.get(name))
    }


def _quoted(value: object) -> str:
    """Quote a value for the shell; plain words with spaces between them as people do."""
    text = str(value)
    return f'"{text}"' if " " in text and text.replace(" ", "").isalnum() else shlex.quote(text)
