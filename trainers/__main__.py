"""Front door of room 2: ``python -m mubench.trainers scrub --task cifar10 --ratio 5``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from mubench.hub_builders.tasks import get_task
from mubench.hub_builders.tasks.names import DATASET, check_ratio, dataset_folder
from mubench.hub_builders.utils.cli import Parser, guarded, known_flags, underscored
from mubench.trainers.engine.distributed import world_size
from mubench.trainers.methods import METHODS
from mubench.trainers.runs.bases import PRIMARY, Bases, make_bases
from mubench.trainers.runs.commands import rerun, run_method
from mubench.trainers.runs.matrix import Matrix
from mubench.trainers.runs.method_table import descriptions, summary, table
from mubench.trainers.runs.sweep import Place, Sweep, run_sweep, run_sweeps
from mubench.trainers.tuning.proxy_requests import proxy_sweeps
from mubench.trainers.tuning.tune import shared_tunings, tune

# What is no method, in a line each.
COMMANDS = {
    "bases": "base models of every task that is built, a retrained one beside each, and what they know",
    "references": "what runs are judged against: base and retrained models, and the control retrain_keep50",
    "sweep": "references, every method on every seed, and their rows; what is done is not done again",
    "matrix": "every method on many tasks, beside their references",
    "tune": "arguments of methods, on rows and models that no result is about",
    "methods": "every method: for which kinds of task, on which rows, with which options",
    "rerun": "a run again from its row, and the same result",
}


def _help() -> str:
    """Return a line for every method, its summary, and for every other command."""
    methods = {key: summary(trainer) for key, trainer in METHODS.items()}
    lines = [__doc__ or "", "", "usage: python -m mubench.trainers METHOD|COMMAND [options], --help for the options"]
    for title, words in (("methods", methods), ("other commands", COMMANDS)):
        lines += ["", f"{title}:", *(f"  {key:<16}{said}" for key, said in words.items())]
    return "\n".join(lines)


def _numbers(text: str) -> list[int]:
    words = text.replace(",", " ").split()
    if not words or not all(word.isdecimal() for word in words):
        raise ValueError(f"seeds must be whole numbers from 0, got {text!r}")
    return [int(word) for word in words]


def _grid_parser(command: str) -> Parser:
    prog = f"python -m mubench.trainers {command}"
    parser = Parser(prog=prog, description=f"Makes {COMMANDS[command]}.", allow_abbrev=False)
    parser.add_argument("--task", required=True)
    parser.add_argument("--ratio", default="5", help="percentage to delete, 1 to 10")
    parser.add_argument("--backbones", "--backbone", nargs="+", help="default: the task's first")
    parser.add_argument("--base_seeds", nargs="+", help="seeds of the base models")
    parser.add_argument("--retrain_seeds", "--seeds_of_retrained", nargs="+", help="seeds of the retrained models")
    parser.add_argument("--methods", nargs="+", default=[], help="default: all")
    parser.add_argument("--seeds", nargs="+", default=["0 1 2"], help="seeds of the runs (of the references)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--eval_seed", type=int, default=0, help="seed of what models are asked to draw")
    for name, default in (("data", DATASET), ("family", "canonical"), ("models", "models"), ("results", "results")):
        parser.add_argument(f"--{name}", default=default)
    return parser


def _tasks_parser(command: str) -> Parser:
    parser = Parser(prog=f"python -m mubench.trainers {command}", allow_abbrev=False)
    parser.add_argument("--task", nargs="*", default=[], help="task keys; default: all that are built")
    parser.add_argument("--ratio", default="5", help="percentage that the retrained models go without")
    parser.add_argument("--seeds", nargs="+", default=["0"], help="seeds of the runs (bases: of the models)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--eval_seed", type=int, default=0, help="seed of what models are asked to draw")
    parser.add_argument("--models", default="models")
    return parser


def _many_parser(command: str) -> Parser:
    parser = _tasks_parser(command)
    parser.add_argument("--data", default=DATASET)
    parser.add_argument("--family", default=PRIMARY, help=f"deletion family; {PRIMARY}: the one a task is ranked on")
    return parser


def _run_bases(words: Sequence[str]) -> None:
    parser = _many_parser("bases")
    parser.add_argument("--backbone", help="default: the first of each task")
    options = parser.parse_args(known_flags(parser, words))
    place = Place(data=options.data, family=options.family, eval_seed=options.eval_seed, models=Path(options.models))
    ratio = _ratio(options)
    seeds = _numbers(" ".join(options.seeds))
    wanted = Bases(tasks=options.task, backbone=options.backbone, ratio=ratio, seeds=seeds, place=place)
    print("\n".join(make_bases(wanted, workers=options.workers)))


def _run_tune(words: Sequence[str]) -> None:
    parser = _tasks_parser("tune")
    parser.add_argument(
        "--data", nargs="+", default=[dataset_folder(deletion_seed=1)], help="folders of build --deletion_seed"
    )
    parser.add_argument("--methods", nargs="+", default=[], help="default: all that a task has")
    parser.add_argument("--backbone", help="default: the first of each task")
    parser.add_argument("--trials", type=int, default=16, help="settings a method, the default among them")
    parser.add_argument("--out", type=Path, default=Path("tuning"), help="folder of the trials")
    parser.description = (
        "Tasks that share their defaults are tuned as one, on every draw that is given: the mean of them counts."
    )
    parser.set_defaults(models="tuning/models")
    options = parser.parse_args(known_flags(parser, words))
    seeds = _numbers(" ".join(options.seeds))
    if len(seeds) != 1:
        raise ValueError(f"expected one seed, got {' '.join(map(str, seeds))}")
    place = Place(eval_seed=options.eval_seed, models=Path(options.models))
    sweeps = proxy_sweeps(
        options.data,
        options.task,
        backbone=options.backbone,
        ratio=check_ratio(options.ratio),
        seed=seeds[0],
        place=place,
    )
    tunings = shared_tunings(sweeps, methods=options.methods, trials=options.trials, out=options.out)
    print("\n".join(tune(tunings, workers=options.workers)))


def _run_grid(command: str, words: Sequence[str]) -> None:
    parser = _grid_parser(command)
    options = parser.parse_args(known_flags(parser, words))
    seeds = _numbers(" ".join(options.seeds))
    bases = _numbers(" ".join(options.base_seeds)) if options.base_seeds else seeds
    retrained = _numbers(" ".join(options.retrain_seeds)) if options.retrain_seeds else seeds
    task = get_task(options.task)
    sweep = Sweep(
        task=task.key,
        ratio=check_ratio(options.ratio, options.family),
        backbones=options.backbones or [task.default_backbone],
        base_seeds=bases,
        retrain_seeds=retrained,
        methods=options.methods,
        seeds=seeds if command == "sweep" else (),
        place=_place(options),
    )
    run_sweep(sweep, workers=options.workers)


def _run_matrix(words: Sequence[str]) -> None:
    parser = _many_parser("matrix")
    parser.add_argument("--methods", nargs="+", default=[], help="default: all that a task has")
    parser.add_argument("--base_seeds", nargs="+", default=["0"], help="seeds of the base models")
    parser.add_argument("--retrain_seeds", nargs="+", default=["0 1 2"], help="seeds of the retrained models")
    parser.add_argument("--results", default="results")
    options = parser.parse_args(known_flags(parser, words))
    seeds = {name: _numbers(" ".join(getattr(options, name))) for name in ("base_seeds", "retrain_seeds", "seeds")}
    ratio = _ratio(options)
    wanted = Matrix(tasks=options.task, methods=options.methods, ratio=ratio, place=_place(options), **seeds)
    run_sweeps(wanted.sweeps(), workers=options.workers)


def _ratio(options: argparse.Namespace) -> int:
    return check_ratio(options.ratio, "canonical" if options.family == PRIMARY else options.family)


MANY: dict[str, Callable[[Sequence[str]], None]] = {
    "references": partial(_run_grid, "references"),
    "sweep": partial(_run_grid, "sweep"),
    "bases": _run_bases,
    "matrix": _run_matrix,
    "tune": _run_tune,
}


def _run_many(command: str, words: Sequence[str]) -> None:
    if world_size() > 1:
        raise ValueError(f"expected one process, since {command} starts workers of its own, got {world_size()}")
    MANY[command](words)


def _methods(words: Sequence[str]) -> None:
    Parser(prog="python -m mubench.trainers methods", description=COMMANDS["methods"]).parse_args(list(words))
    _say([*table(), "", *descriptions()])


def _say(lines: Sequence[str]) -> None:
    if lines:
        print("\n".join(lines))


def _place(options: argparse.Namespace) -> Place:
    return Place(
        data=options.data,
        family=options.family,
        eval_seed=options.eval_seed,
        models=Path(options.models),
        results=Path(getattr(options, "results", "results")),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a method, a grid of runs, or a recorded row again."""
    words = underscored(sys.argv[1:] if arguments is None else arguments)
    command, rest = (words[0], words[1:]) if words else ("", [])
    if command in ("", "-h", "--help"):
        print(_help())
        return 0 if command else 2
    if command in MANY:
        return guarded(lambda: _run_many(command, rest))
    if command == "methods":
        return guarded(lambda: _methods(rest))
    if command == "rerun":
        return guarded(lambda: _say(rerun(rest)))
    return guarded(lambda: _say(run_method(command, rest)))


if __name__ == "__main__":
    sys.exit(main())
