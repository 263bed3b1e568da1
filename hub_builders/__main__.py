"""Front door of room 1: ``mubench build cifar10``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mubench.hub_builders.tasks import BACKBONES, TASKS, Tier, get_task
from mubench.hub_builders.tasks.names import DATASET, FAMILIES, LISTED
from mubench.hub_builders.utils.cli import CommandParser, Parser, print_error, replace_dashes, run_command
from mubench.hub_builders.utils.hints import command
from mubench.hub_builders.utils.tables import align_columns

if TYPE_CHECKING:
    from mubench.hub_builders.dataset.load import TaskInfo

COMMANDS = {
    "build": "write tasks into the dataset folder",
    "backbones": "list the architectures that base models of a task can start from",
    "push": "upload a dataset, model or Space folder to the Hub",
    "verify": "compare a build with what was published",
}


def parser() -> Parser:
    """Return the parser of all subcommands."""
    top = Parser(prog="mubench", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, parser_class=CommandParser)
    build = _add_command(commands, "build")
    build.add_argument("task", nargs="*", help="task keys, such as cifar10; default: all that family and tier have")
    build.add_argument(
        "--task_file", type=Path, help="YAML file of a task of your own, in place of keys (tier custom)"
    )
    build.add_argument("--tier", default="mini", help="full, partial or mini")
    build.add_argument("--raw", type=Path, help="folder of original files; without it rows come from the Hub")
    build.add_argument("--out", type=Path, default=Path(), help="folder in which the dataset folder is written")
    build.add_argument("--family", default="canonical", help=f"deletion family: {', '.join(FAMILIES)}")
    build.add_argument("--deletion_seed", type=int, default=0, help="seed of the deletion order; 0: the published one")
    build.add_argument(
        "--paper_splits", type=Path, help="folder of the published lists (family paper); else downloaded"
    )
    build.add_argument("--forget_ids", type=Path, help="file of ids to forget, one per line (families of lists)")
    build.add_argument("--allow_partial", action="store_true", help="accept fewer rows (tier partial)")
    build.add_argument("--max_train_rows", type=int, help="keep a hashed subset of the training rows (tier partial)")
    build.add_argument("--keep_tier", action="store_true", help="refuse to replace a build of another tier")
    build.set_defaults(run=run_build)
    backbones = _add_command(commands, "backbones")
    backbones.add_argument("task", nargs="?", help="task key; default: every task")
    backbones.add_argument("--data", default=DATASET, help="dataset folder or Hub id with tasks of your own")
    backbones.set_defaults(run=run_backbones)
    _add_publishing(commands)
    return top


def _add_command(commands: argparse._SubParsersAction[CommandParser], name: str) -> CommandParser:
    command = commands.add_parser(name, help=COMMANDS[name], description=COMMANDS[name], allow_abbrev=False)
    command.add_config()
    return command


def _add_publishing(commands: argparse._SubParsersAction[CommandParser]) -> None:
    """Add the subcommands that use the Hub."""
    push = _add_command(commands, "push")
    push.add_argument("folder", type=Path, help="dataset folder made by build, a model folder, or a packed Space")
    push.add_argument("--repo", help="NAMESPACE/NAME; default: yours, named after the folder and its tier")
    push.add_argument("--private", action="store_true", help="make the repository private")
    push.set_defaults(run=run_push)
    verify = _add_command(commands, "verify")
    verify.add_argument("task", help="task key")
    verify.add_argument("--data", required=True, help="Hub id of the published repository")
    verify.add_argument("--built", default="mu-bench", help="dataset folder of the build")
    verify.add_argument("--family", default="canonical", help="deletion family")
    verify.set_defaults(run=run_verify)


def run_build(task: list[str], tier: Tier, out: Path, task_file: Path | None = None, **options: Any) -> None:
    """Build tasks one after the other, and print the size of each."""
    if task_file is not None:
        _build_own(task_file, out, {"task": task, "tier": tier, **options})
        return
    for key in task:
        get_task(key)
    from tqdm.auto import tqdm  # noqa: PLC0415  (help and mistyped names need none of these)

    from mubench.hub_builders.dataset.build import build  # noqa: PLC0415
    from mubench.hub_builders.dataset.load import task_info  # noqa: PLC0415
    from mubench.hub_builders.dataset.sources import check_options  # noqa: PLC0415
    from mubench.hub_builders.deletion.families import DeletionRequest, check_deletion, known_tasks  # noqa: PLC0415

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
        print(_summary(folder, task_info(key, data=folder, family=request.family)))
    if not task and (left := [key for key in known_tasks(request.family) if key not in tasks]):
        print(f"left out, for want of a release to build in full: {', '.join(left)}")


def _build_own(task_file: Path, out: Path, options: dict[str, Any]) -> None:
    """Build the task of a task file, and print its size."""
    from mubench.hub_builders.dataset.build import build_own  # noqa: PLC0415
    from mubench.hub_builders.dataset.load import task_info  # noqa: PLC0415
    from mubench.hub_builders.dataset.task_file import read_task_file  # noqa: PLC0415

    usual: dict[str, Any] = {"task": [], "tier": "mini", "raw": None, "paper_splits": None, "allow_partial": False}
    if wrong := [name for name, value in usual.items() if options.pop(name) not in (value, "custom")]:
        raise ValueError(f"expected a task of the suite with {wrong[0]}, got it with task_file {task_file}")
    own = read_task_file(task_file)
    folder = build_own(own, out=out, **options)
    print(_summary(folder, task_info(own.file.key, data=folder, family=options["family"])))


def _summary(folder: Path, info: TaskInfo) -> str:
    counts = ", ".join(f"{rows} {split}" for split, rows in info.counts.items())
    sets = ", ".join(f"{rows} rows at {ratio} %" for ratio, rows in info.forget.items())
    listed = f"; forgets {sets}" if info.family in LISTED else ""
    return f"{folder}: {info.task} ({info.tier} tier, split {info.split[:8]}): {counts}{listed}"


def run_backbones(task: str | None, data: str) -> None:
    """Print the backbones of a task or of all, with the sizes that their authors give."""
    from mubench.hub_builders.dataset.task_info import find_task  # noqa: PLC0415  (help needs no manifests)

    table = [("task", "backbone", "Hub id", "parameters")]
    for row in [find_task(task, data=data)] if task else TASKS.values():
        for key in row.recipes:
            one = BACKBONES[key]
            table.append((row.key, key, one.hub_id or "-", f"{one.millions:,g} M" if one.millions else "-"))
    print("\n".join(align_columns(table, left=(0, 1, 2))))


def run_push(folder: Path, repo: str | None, private: bool) -> None:
    """Push a folder, tag its commit, add it to the collection, and print what changed."""
    from mubench.hub_builders.hub.push import lacks_card, publish  # noqa: PLC0415  (only this command needs a client)
    from mubench.hub_builders.hub.release import release  # noqa: PLC0415

    pushed = publish(folder, repo, private=private)
    changed = f"{len(pushed.plan.add)} files written, {len(pushed.plan.delete)} removed"
    print(f"{pushed.target.url}: {changed if pushed.plan else 'nothing to change'}")
    released = release(pushed)
    earlier = "" if released.commit == pushed.commit else f" (of the earlier commit {released.commit[:8]})"
    print(f"tag {released.tag}{earlier}, collection {released.collection}")
    if lacks_card(folder):
        writing = command("cards", data=folder)
        print_error(f"the card of {folder} has no licences and citations yet; write it with: {writing}")


def run_verify(task: str, **places: str) -> None:
    """Compare a build with what was published."""
    from mubench.hub_builders.hub.restricted import verify  # noqa: PLC0415  (only this command needs a client)

    split = verify(task, **places)
    print(f"{places['built']}: {task} has the rows and deletions of {places['data']} (split {split[:8]})")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; a user's mistake is one line and exit code 2."""
    given = replace_dashes(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["base"]:
        moved = shlex.join(["mubench", *given])
        print_error(f"expected {', '.join(COMMANDS)}, got base: base models are trained by: {moved}")
        return 2
    options = vars(parser().parse_args(given))
    options.pop("command")
    return run_command(lambda: options.pop("run")(**options))


if __name__ == "__main__":
    sys.exit(main())
