"""Which commands there are, and the options that their parsers have."""

from __future__ import annotations

from typing import Any

from tests.safety_net import doors

COMMANDS = {
    "hub_builders": ("build", "backbones", "push", "verify"),
    "trainers": ("bases", "references", "sweep", "matrix", "tune", "methods", "rerun"),
    "cards": ("",),
}
# Where `base` lies, today and after the restructuring.
BASE = ("trainers", "hub_builders")


def methods() -> list[str]:
    from mubench.trainers.methods import METHODS  # noqa: PLC0415  seconds

    return list(METHODS)


def names() -> list[str]:
    """Return every command but the methods."""
    return ["base", *(f"{room} {word}".strip() for room, words in COMMANDS.items() for word in words)]


def found(name: str) -> dict[str, Any]:
    """Return the options of a command, by its name or a method's."""
    if name == "base":
        parsers = [doors.parser_of(room, "base") for room in BASE]
        return next(own for parser in parsers if parser and "--task" in (own := doors.options(parser)))
    room, *words = name.split()
    parser = doors.parser_of(room, *words)
    assert parser is not None, f"{name} is no command"
    return doors.options(parser)


def defaults(method: str, task: str, backbone: str) -> dict[str, Any]:
    """Return the default of every option of a method on a task and backbone."""
    parser = doors.parser_of("trainers", method, "--task", task, "--backbone", backbone)
    assert parser is not None
    return {name: record[0] for name, record in doors.options(parser).items()}
