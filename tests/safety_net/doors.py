"""The three front doors, opened in this process: what they print, how they leave, and which options they know."""

from __future__ import annotations

import argparse
import contextlib
import enum
import io
import os
import re
import runpy
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
ROOMS = ("hub_builders", "trainers", "cards")
# Words that show what an option takes: what it makes of each is recorded, not by which function.
PROBES = ("3", "0.5", "true", "words")


@dataclass(frozen=True)
class Answer:
    """What a command said, and how it left."""

    code: int
    out: str
    err: str


def call(room: str, *words: object) -> Answer:
    """Run ``python -m mubench.ROOM WORDS`` in this process."""
    argv = [f"python -m mubench.{room}", *map(str, words)]
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with (
        mock.patch.object(sys, "argv", argv),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            runpy.run_module(f"mubench.{room}", run_name="__main__", alter_sys=True)
        except SystemExit as left:
            code = left.code
    return Answer(code or 0, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def _watched() -> Iterator[list[argparse.ArgumentParser]]:
    """Yield a list that fills with the parsers that are asked to parse."""
    seen: list[argparse.ArgumentParser] = []
    parse = argparse.ArgumentParser.parse_known_args

    def watched(self: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> Any:
        seen.append(self)
        return parse(self, *args, **kwargs)

    with mock.patch.object(argparse.ArgumentParser, "parse_known_args", watched):
        yield seen


def parser_of(room: str, *words: str) -> argparse.ArgumentParser | None:
    """Return the parser that answers ``--help`` of a command, if the door knows the command."""
    with _watched() as seen:
        answer = call(room, *words, "--help")
    return seen[-1] if seen and answer.code == 0 else None


def options(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Return every name of every option of a parser, with its default and what it takes."""
    found: dict[str, Any] = {}
    places = 0
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            continue
        names = action.option_strings or [f"word {places}"]
        places += not action.option_strings
        found |= dict.fromkeys(names, _record(action))
    return found


def _record(action: argparse.Action) -> list[Any]:
    """Return default, whether it is required, how many words it takes, choices, and what it makes of some words."""
    choices = None if action.choices is None else sorted(str(plain(choice)) for choice in action.choices)
    takes = [_probe(action, word) for word in PROBES] if action.nargs != 0 else [plain(action.const)]
    return [plain(action.default), bool(action.required), action.nargs, choices, takes]


def _probe(action: argparse.Action, word: str) -> Any:
    if action.type is None:
        return word
    try:
        return plain(action.type(word))
    except (ValueError, TypeError, argparse.ArgumentTypeError, KeyError):
        return "refused"


def plain(value: Any) -> Any:
    """Return a value as JSON would have it: enums by value, paths as text."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return f"path {value}"
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


def backbones() -> list[tuple[str, str]]:
    """Return every task with each of its backbones, as the door lists them."""
    lines = call("hub_builders", "backbones").out.splitlines()[1:]
    return [(words[0], words[1]) for words in (re.split(r"\s+", line) for line in lines)]
