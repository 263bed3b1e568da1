"""Commands that messages suggest, with every option that was given, so that a pasted one works."""

from __future__ import annotations

import shlex

# Defaults that all commands share, which messages leave out.
USUAL: dict[str, object] = {
    "tier": "mini",
    "out": ".",
    "data": "mu-bench",
    "family": "canonical",
    "deletion_seed": 0,
    "eval_seed": 0,
    "models": "models",
    "results": "results",
}


# How manifests of builds record a command, which is part of the published data.
RECORDED = "python -m mubench.hub_builders"


def command(*arguments: str, **options: object) -> str:
    """Return a command, such as ``mubench build cifar10 --tier full``.

    Args:
        *arguments: Subcommand and others that come before the options.
        **options: Values by name; ``None``, ``False`` and defaults are left out, ``True`` is a bare flag.
    """
    return extend(" ".join(["mubench", *arguments]), **options)


def shorten_recorded(line: str) -> str:
    """Return the command of a manifest as messages spell it."""
    return line.replace(RECORDED, "mubench", 1)


def extend(line: str, **options: object) -> str:
    """Return a command with more options, taken as `command` takes them."""
    given = _unusual(options).items()
    return " ".join([line, *(f"--{name}" if value is True else f"--{name} {_quote(value)}" for name, value in given)])


def _unusual(options: dict[str, object]) -> dict[str, object]:
    return {
        name: value
        for name, value in options.items()
        if value is not None and value is not False and str(value) != str(USUAL.get(name))
    }


def _quote(value: object) -> str:
    """Quote a value for the shell; words with spaces between them in double quotes."""
    text = str(value)
    return f'"{text}"' if " " in text and text.replace(" ", "").isalnum() else shlex.quote(text)
