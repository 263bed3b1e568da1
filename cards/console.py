"""The command ``mubench``: one list of subcommands over the three front doors.

It lies in the last packaged room, the only one that may import the others.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from mubench.hub_builders.utils.cli import did_you_mean, find_options, print_error, replace_dashes

# What a command runs: a room, and arguments that come before the user's.
CARDS = {
    "cards": (
        (),
        "write a README.md into every built repository, and the leaderboard; cards matrix, cards audit: tables",
    ),
    "leaderboard": (("leaderboard",), "print the ranked tables of all result rows"),
    "report": (("deletion_report",), "write the deletion report of a run as Markdown and HTML"),
}


def _commands() -> dict[str, dict[str, str]]:
    """Return every command with its line of help, by room."""
    from mubench.hub_builders.__main__ import COMMANDS as HUB_BUILDERS  # noqa: PLC0415
    from mubench.trainers.__main__ import COMMANDS as TRAINERS  # noqa: PLC0415

    cards = {name: line for name, (_, line) in CARDS.items()}
    return {"hub_builders": HUB_BUILDERS, "trainers": TRAINERS, "cards": cards}


def _help() -> str:
    from mubench.trainers.runs.method_table import method_table  # noqa: PLC0415

    commands = {name: line for room in _commands().values() for name, line in room.items()}
    lines = ["usage: mubench COMMAND|METHOD [options], --help for the options, --version", "", "commands:"]
    lines += [f"  {name:<16}{line}" for name, line in commands.items()]
    lines += ["", "methods:", *(f"  {key:<16}{method.summary}" for key, method in method_table().items())]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command of any room; a user's mistake is one line and exit code 2."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command, rest = (given[0], given[1:]) if given else ("", [])
    if not given or command in ("-h", "--help"):
        print(_help())  # noqa: T201
        return 0 if given else 2
    if command == "--version":
        print(f"mubench {version('mubench')}")  # noqa: T201
        return 0
    from mubench.trainers.methods import METHODS  # noqa: PLC0415

    rooms = {name: room for room, names in _commands().items() for name in names}
    rooms |= dict.fromkeys(METHODS, "trainers")
    if command not in rooms and find_options(replace_dashes(rest), "method_file")["method_file"] is not None:
        rooms[command] = "trainers"  # a custom method
    if command not in rooms:
        print_error(
            f"expected a command or a method, see mubench --help, got {command!r}{did_you_mean(command, rooms)}"
        )
        return 2
    before = CARDS[command][0] if command in CARDS else (command,)
    code: int = import_module(f"mubench.{rooms[command]}.__main__").main([*before, *rest])
    return code


if __name__ == "__main__":
    sys.exit(main())
