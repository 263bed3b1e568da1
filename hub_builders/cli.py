"""What every front door shares: one-line complaints with exit code 2, and dashes in place of underscores."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        """Print one line and leave with exit code 2."""
        self.exit(2, f"mubench: {message}\n")


def known_flags(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """Return the words for a parser without subcommands, which complains about flags that it does not know.

    By itself it would first complain about what is missing, and a mistyped ``--task`` would not be named.
    """
    known = parser._option_string_actions
    if unknown := [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return list(words)


def underscored(words: Sequence[str]) -> list[str]:
    """Return command line words with the dashes inside option names turned into underscores."""
    result = []
    for word in words:
        name, equals, value = word.partition("=")
        plain = not name.startswith("--")
        result.append(word if plain else f"--{name[2:].replace('-', '_')}{equals}{value}")
    return result


def guarded(command: Callable[[], object]) -> int:
    """Run a command; a user's mistake, or a run that diverged, becomes one line on stderr and exit code 2."""
    try:
        command()
    except OSError as error:
        # Ours have words; those of the system have a number.
        told = str(error) if error.errno is None else f"expected files that can be read and written, got: {error}"
    except (ValueError, FloatingPointError) as error:
        told = str(error)
    else:
        return 0
    print(f"mubench: {' '.join(told.split())}", file=sys.stderr)  # noqa: T201
    return 2
