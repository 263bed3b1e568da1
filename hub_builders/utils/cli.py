"""What every front door shares: one-line complaints with exit code 2, and dashes in place of underscores."""

from __future__ import annotations

import argparse
import os
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
    """Run a command; a user's mistake, a run that diverged or too little memory is one line on stderr and exit code 2.

    A reader who leaves early is no mistake. Any other error is ours, and is raised.
    """
    try:
        command()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads, such as `head`, has had enough; so has the interpreter as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # Ours have words; those of the system have a number.
        told = str(error) if error.errno is None else f"expected files that can be read and written, got: {error}"
    except (ValueError, FloatingPointError, MemoryError) as error:
        told = str(error) or f"expected enough memory, got {type(error).__name__}"
    else:
        return 0
    complain(told)
    return 2


def complain(told: str) -> None:
    """Print one line on stderr; of several processes, all but the first say which they are."""
    rank = os.environ.get("RANK", "0")
    who = "" if rank == "0" else f" (process {rank})"
    print(f"mubench{who}: {' '.join(told.split())}", file=sys.stderr)  # noqa: T201
