"""What all commands share: parsers with one-line errors and ``--config``, suggestions for typos, exit codes."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mubench.hub_builders.utils.text import one_line

CONFIG = "--config"
INTERRUPTED = 130  # 128 + SIGINT
# What transformers calls arguments that have a usual name.
TRANSFORMERS_NAMES = {"epochs": "num_train_epochs", "lr": "learning_rate", "batch_size": "per_device_train_batch_size"}


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'scrub'?"`` for the known name that is closest to a given one, or an empty text."""
    from difflib import get_close_matches  # noqa: PLC0415  (only errors need it)

    by_lower = {one.lower(): one for one in known}
    given = str(name).lower()
    word = given.lstrip("-")
    usual = given.removesuffix(word) + TRANSFORMERS_NAMES.get(word, word)
    found = get_close_matches(usual if usual in by_lower else given, list(by_lower), n=1, cutoff=0.6)
    return f"; did you mean {by_lower[found[0]]!r}?" if found else ""


class HelpFormatter(argparse.HelpFormatter):
    """Appends an option's default to its help, unless the option has none or its help mentions it."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        values = action.default if isinstance(action.default, (list, tuple)) else [action.default]
        is_empty = any(isinstance(value, bool) or value in (None, "", argparse.SUPPRESS) for value in values)
        if is_empty or not values or "default" in (action.help or ""):
            return action.help
        return f"{action.help} (default: {' '.join(map(str, values)).replace('%', '%%')})"


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line with a suggestion, and that reads options from a YAML file."""

    def __init__(self, **named: Any) -> None:
        """Take the arguments of `argparse.ArgumentParser`, by name."""
        super().__init__(**{"formatter_class": HelpFormatter, **named})

    def add_config(self) -> None:
        """Add ``--config FILE.yaml``, whose options come before those of the command line."""
        self.add_argument(
            CONFIG, metavar="FILE.yaml", default=argparse.SUPPRESS, help="YAML file of options; the command line wins"
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments; those of a config file come first, so that others take their place."""
        arguments = list(sys.argv[1:] if args is None else args)
        if CONFIG in self._option_string_actions:
            arguments = self._expand_config(arguments)
        return super().parse_known_args(arguments, namespace)

    def _expand_config(self, arguments: list[str]) -> list[str]:
        try:
            options, rest = split_config(arguments)
        except (OSError, ValueError) as error:
            self.error(str(error))
        expanded: list[str] = []
        for name, value in options.items():
            action = self._option_string_actions.get(f"--{name}")
            if action is None or name in ("config", "help"):
                known = [flag[2:] for flag in self._option_string_actions if flag.startswith("--")]
                self.error(
                    f"expected options of {self.prog} in the config file, got {name}{did_you_mean(name, known)}"
                )
            expanded += _as_arguments(action, name, value)
        return [*expanded, *rest]

    def error(self, message: str) -> NoReturn:
        """Print one line and exit with code 2."""
        if unknown := re.match(r"unrecognized arguments: (--[^\s=]+)", message):
            message += did_you_mean(unknown[1], [flag for flag in self._option_string_actions if flag[:2] == "--"])
        elif choice := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
            message += did_you_mean(choice[1], re.findall(r"[\w-]+", choice[2]))
        self.exit(2, f"mubench: {one_line(message)}\n")


class CommandParser(Parser):
    """A parser of a subcommand that reports unknown options itself, so that suggestions come from its own options."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments, all of which must be known."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown


def check_options(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a parser without subcommands, after a check that all their options are known.

    By itself argparse would first report what is missing, and a mistyped ``--task`` would not be named.
    """
    known = parser._option_string_actions
    if unknown := [one for one in arguments if one.startswith("--") and one.partition("=")[0] not in known]:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return list(arguments)


def split_config(arguments: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the options of the ``--config`` file among the arguments, and all other arguments.

    A ``--config`` without a value stays, for the parser to report.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it holds something else than names and values.
    """
    options: dict[str, Any] = {}
    rest: list[str] = []
    left = iter(arguments)
    for argument in left:
        name, equals, value = argument.partition("=")
        if name != CONFIG or (file := value if equals else next(left, None)) is None:
            rest.append(argument)
        else:
            options |= _read_config(Path(file))
    return options, rest


def find_options(arguments: Sequence[str], *names: str) -> dict[str, str | None]:
    """Return the values that arguments, or the ``--config`` file among them, give some options, before all are parsed.

    A file that cannot be read gives none: the command's own parser reports it.
    """
    try:
        config, rest = split_config(arguments)
    except (OSError, ValueError):
        config, rest = {}, list(arguments)
    parser = Parser(add_help=False, allow_abbrev=False)
    for name in names:
        parser.add_argument(f"--{name}", default=value if isinstance(value := config.get(name), str) else None)
    return vars(parser.parse_known_args(rest)[0])


def read_yaml(file: Path, wanted: str) -> Any:
    """Return what a user's YAML file holds.

    Args:
        file: The file.
        wanted: What is expected, for the message where it cannot be read.

    Raises:
        FileNotFoundError: If it cannot be read.
        ValueError: If it is no YAML.
    """
    return parse_yaml(read_bytes(file, wanted), file)


def read_bytes(file: Path, wanted: str) -> bytes:
    """Return the bytes of a user's file; arguments and errors as of `read_yaml`."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise FileNotFoundError(f"expected {wanted}, got: {error.strerror or error}") from error


def parse_yaml(data: bytes, file: Path) -> Any:
    """Return what the bytes of a YAML file hold; errors as of `read_yaml`."""
    import yaml  # noqa: PLC0415  (few commands read one)

    try:
        return yaml.safe_load(data.decode("utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"expected YAML in {file}, got: {error}") from error


def _read_config(file: Path) -> dict[str, Any]:
    """Return the options of a YAML file by name, dashes as underscores."""
    found = read_yaml(file, f"a config file {file}")
    if not isinstance(found or {}, dict):
        raise ValueError(f"expected option names and values in {file}, got {type(found).__name__}")  # noqa: TRY004
    return {str(name).replace("-", "_"): value for name, value in (found or {}).items()}


def _as_arguments(action: argparse.Action, name: str, value: Any) -> list[str]:
    """Return the arguments that give an option its value in a config file; ``null`` gives none."""
    if value is None or (action.nargs == 0 and value is False):
        return []
    if action.nargs == 0:
        return [f"--{name}"] if value is True else [f"--{name}={value}"]
    if isinstance(value, list):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}={json.dumps(value) if isinstance(value, Mapping) else value}"]


def replace_dashes(arguments: Sequence[str]) -> list[str]:
    """Return command-line arguments with the dashes inside option names turned into underscores."""
    result = []
    for argument in arguments:
        name, equals, value = argument.partition("=")
        plain = not name.startswith("--")
        result.append(argument if plain else f"--{name[2:].replace('-', '_')}{equals}{value}")
    return result


def run_command(command: Callable[[], object]) -> int:
    """Run a command and return its exit code.

    A user's mistake, a run that diverged and too little memory are one line on stderr and code 2. A closed pipe, as
    `head` leaves one, is no error. Ctrl-C is one line and code 130, as of a shell. Any other exception is ours, and is
    raised.
    """
    try:
        command()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter would fail as it ends
        return 0
    except KeyboardInterrupt:
        print_error("interrupted")
        return INTERRUPTED
    except OSError as error:
        # Ours have a text, those of the system a number.
        message = str(error) if error.errno is None else f"expected files that can be read and written, got: {error}"
    except (ValueError, FloatingPointError, MemoryError) as error:
        message = str(error) or f"expected enough memory, got {type(error).__name__}"
    else:
        return 0
    print_error(message)
    return 2


def print_error(message: str) -> None:
    """Print one line on stderr; with several processes, all but the first add their number."""
    rank = os.environ.get("RANK", "0")
    process = "" if rank == "0" else f" (process {rank})"
    print(f"mubench{process}: {one_line(message)}", file=sys.stderr)  # noqa: T201
