"""Front door of room 1: ``python -m mubench.hub_builders build cifar10``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import TaskInfo, task_info
from mubench.hub_builders.dataset.sources import check_options
from mubench.hub_builders.deletion.families import DeletionRequest, check_deletion, known_tasks
from mubench.hub_builders.tasks import BACKBONES, TASKS, Tier, get_task
from mubench.hub_builders.tasks.names import FAMILIES
from mubench.hub_builders.utils.cli import Parser, guarded, underscored
from mubench.hub_builders.utils.tables import align_columns


def parser() -> Parser:
    """Return the parser of all subcommands."""
    top = Parser(prog="python -m mubench.hub_builders", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, parser_class=Parser)
    one = commands.add_parser("build", help="write tasks into the dataset folder", allow_abbrev=False)
    one.add_argument(
        "task", nargs="*", help="task keys, such as cifar10; none is every task that family and tier have"
    )
    one.add_argument("--tier", default="mini", help="full, partial or mini")
    one.add_argument("--raw", type=Path, help="folder of original files; without it rows come from the Hub")
    one.add_argument("--out", type=Path, default=Path(), help="where the dataset folder lies")
    one.add_argument("--family", default="canonical", help=f"deletion family: {', '.join(FAMILIES)}")
    one.add_argument("--deletion_seed", type=int, default=0, help="0 is the published deletion order")
    one.add_argument("--paper_splits", type=Path, help="folder of the published lists (family paper); else downloaded")
    one.add_argument("--forget_ids", type=Path, help="file of ids to forget, one a line (family custom)")
    one.add_argument("--allow_partial", action="store_true", help="accept fewer rows (tier partial)")
    one.add_argument("--max_train_rows", type=int, help="keep a hashed subset of the training rows (tier partial)")
    one.add_argument("--keep_tier", action="store_true", help="refuse to take the place of a build of another tier")
    one.set_defaults(run=run_build)
    _add_training(commands)
    _add_publishing(commands)
    return top


def _add_training(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the subcommands about base models."""
    commands.add_parser("base", help="train a base model (base --help)", add_help=False)
    every = commands.add_parser("backbones", help="list what base models can start from", allow_abbrev=False)
    every.add_argument("task", nargs="?", help="task key; none is every task")
    every.set_defaults(run=run_backbones)


def _add_publishing(commands: argparse._SubParsersAction[Parser]) -> None:
    """Add the subcommands that talk to the Hub."""
    push = commands.add_parser("push", help="upload a dataset, model or Space folder to the Hub", allow_abbrev=False)
    push.add_argument("folder", type=Path, help="dataset folder made by build, a model folder, or a packed Space")
    push.add_argument("--repo", help="NAMESPACE/NAME; default: yours, named after the folder and its tier")
    push.add_argument("--private", action="store_true", help="make the repository private")
    push.set_defaults(run=run_push)
    check = commands.add_parser("verify", help="compare a build with what was published", allow_abbrev=False)
    check.add_argument("task", help="task key")
    check.add_argument("--data", required=True, help="Hub id of the published repository")
    check.add_argument("--built", default="mu-bench", help="dataset folder of the build")
    check.add_argument("--family", default="canonical", help="deletion family")
    check.set_defaults(run=run_verify)


def run_build(task: list[str], tier: Tier, out: Path, **options: Any) -> None:
    """Build tasks one after the other and say what came of it."""
    request = DeletionRequest(**{name: options[name] for name in DeletionRequest.__dataclass_fields__})
    tasks = list(dict.fromkeys(task)) or known_tasks(request.family, tier)
    if request.forget_ids and len(tasks) > 1:
        raise ValueError(f"expected one task with forget_ids, got {', '.join(tasks)}")
    less = {name: options[name] for name in ("raw", "allow_partial", "max_train_rows")}
    for key in tasks:
        check_deletion(get_task(key), tier, request)
        check_options(get_task(key), tier, **less)
    for key in tqdm(tasks, desc="tasks", unit="task", disable=None if len(tasks) > 1 else True):
        folder = build(key, tier=tier, out=out, **options)
        print(_built(folder, task_info(key, data=folder, family=request.family)))
    if not task and (left := [key for key in known_tasks(request.family) if key not in tasks]):
        print(f"left out, for want of a release to build in full: {', '.join(left)}")


def _built(folder: Path, info: TaskInfo) -> str:
    counts = ", ".join(f"{rows} {split}" for split, rows in info.counts.items())
    sets = ", ".join(f"{rows} rows at {ratio} %" for ratio, rows in info.forget.items())
    listed = f"; forgets {sets}" if info.family == "custom" else ""
    return f"{folder}: {info.task} ({info.tier} tier, split {info.split[:8]}): {counts}{listed}"


def run_backbones(task: str | None) -> None:
    """Print the backbones of a task or of all, with the sizes that their authors give."""
    table = [("task", "backbone", "Hub id", "parameters")]
    for row in [get_task(task)] if task else TASKS.values():
        for key in row.recipes:
            one = BACKBONES[key]
            table.append((row.key, key, one.hub_id or "-", f"{one.millions:,g} M" if one.millions else "-"))
    print("\n".join(align_columns(table, left=(0, 1, 2))))


def run_push(folder: Path, repo: str | None, private: bool) -> None:
    """Push a folder, and say what changed."""
    from mubench.hub_builders.hub.push import lacks_card, publish  # noqa: PLC0415  (building needs no client)

    pushed = publish(folder, repo, private=private)
    changed = f"{len(pushed.plan.add)} files written, {len(pushed.plan.delete)} removed"
    print(f"{pushed.target.url}: {changed if pushed.plan else 'nothing to change'}")
    if lacks_card(folder):
        told = "has no licences and citations yet; write it with: python -m mubench.cards --data"
        print(f"mubench: the card of {folder} {told} {folder}", file=sys.stderr)


def run_verify(task: str, **places: str) -> None:
    """Compare a build with what was published."""
    from mubench.hub_builders.hub.restricted import verify  # noqa: PLC0415  (building needs no client)

    split = verify(task, **places)
    print(f"{places['built']}: {task} has the rows and deletions of {places['data']} (split {split[:8]})")


def _run_base(words: Sequence[str]) -> None:
    from mubench.trainers.runs.base_command import run_base  # noqa: PLC0415  (building data needs no torch)

    run_base(words)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; a user's mistake is one line and exit code 2."""
    words = underscored(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["base"]:
        return guarded(lambda: _run_base(words[1:]))
    options = vars(parser().parse_args(words))
    options.pop("command")
    return guarded(lambda: options.pop("run")(**options))


if __name__ == "__main__":
    sys.exit(main())
