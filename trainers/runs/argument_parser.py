"""Command line flags made from dataclass fields, with one-line complaints; only what was given is handed on."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from transformers import HfArgumentParser

from mubench.hub_builders.utils.cli import known_flags


class FlagParser(HfArgumentParser):
    """The transformers parser, which makes a flag of every field of its dataclasses."""

    def error(self, message: str) -> NoReturn:
        """Print one line and leave with exit code 2."""
        self.exit(2, f"mubench: {message}\n")

    def show(self, groups: Mapping[str, Iterable[str]]) -> None:
        """Show these arguments under their titles, in this order, and hide all others.

        Args:
            groups: Names of arguments by title.
        """
        self.usage = "%(prog)s [-h] --task TASK [--ARGUMENT VALUE ...]"
        left = [action for action in self._actions if action.dest != "help"]
        self._optionals._group_actions = [action for action in self._actions if action.dest == "help"]
        for title, names in groups.items():
            group = self.add_argument_group(title)
            for name in names:
                group._group_actions += [action for action in left if action.dest == name]
        shown = {id(action) for group in self._action_groups for action in group._group_actions}
        for action in left:
            if id(action) not in shown:
                action.help = argparse.SUPPRESS

    def given(self, words: Sequence[str]) -> dict[str, Any]:
        """Return the flags that are among the words; a default that was typed out counts as given."""
        absent = object()
        names = {action.dest: absent for action in self._actions if action.dest != "help"}
        values = vars(self.parse_args(known_flags(self, words), argparse.Namespace(**names)))
        return {name: value for name, value in values.items() if value is not absent}


def training_flags(given: dict[str, Any]) -> dict[str, Any]:
    """Return given `TaskArguments`, with checkpoints every epoch unless said otherwise.

    Raises:
        ValueError: If a folder is given: it follows from what is run.
    """
    if "output_dir" in given:
        raise ValueError(
            f"expected no output_dir, since a folder's name follows from its run, and --models says where it lies; "
            f"got {given['output_dir']!r}"
        )
    return {"save_strategy": "steps" if "save_steps" in given else "epoch", **given}
