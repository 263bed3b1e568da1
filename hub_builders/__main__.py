"""Front door of room 1: ``python -m mubench.hub_builders build cifar10``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from mubench.hub_builders.build import build
from mubench.hub_builders.load import task_info


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"mubench: {message}\n")


def parser() -> Parser:
    """Return the parser of all subcommands."""
    top = Parser(prog="python -m mubench.hub_builders", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, parser_class=Parser)
    one = commands.add_parser("build", help="write tasks into the dataset folder", allow_abbrev=False)
    one.add_argument("task", nargs="+", help="task keys, such as cifar10")
    one.add_argument("--tier", default="mini", help="full, partial or mini")
    one.add_argument("--raw", type=Path, help="folder of original files; without it rows come from the Hub")
    one.add_argument("--out", type=Path, default=Path(), help="where the dataset folder lies")
    one.add_argument("--family", default="canonical", help="deletion family")
    one.add_argument("--deletion_seed", type=int, default=0, help="0 is the published deletion order")
    one.add_argument("--allow_partial", action="store_true", help="accept fewer rows (tier partial)")
    one.add_argument("--max_train_rows", type=int, help="keep a hashed subset of the training rows (tier partial)")
    one.set_defaults(run=run_build)
    return top


def run_build(task: list[str], out: Path, family: str, **options: object) -> None:
    """Build tasks one after the other and say what came of it."""
    for key in task:
        folder = build(key, out=out, family=family, **options)  # type: ignore[arg-type]
        info = task_info(key, data=folder, family=family)
        counts = ", ".join(f"{rows} {split}" for split, rows in info.counts.items())
        print(f"{folder}: {key} ({info.tier} tier, split {info.split[:8]}): {counts}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; a user's mistake is one line and exit code 2."""
    words = sys.argv[1:] if arguments is None else arguments
    dashes = [f"--{word[2:].partition('=')[0].replace('-', '_')}{''.join(word.partition('=')[1:])}"
              if word.startswith("--") else word for word in words]  # fmt: skip
    options = vars(parser().parse_args(dashes))
    del options["command"]
    try:
        options.pop("run")(**options)
    except (ValueError, FileNotFoundError) as error:
        print(f"mubench: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
