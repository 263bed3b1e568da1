"""Parsers of the commands about many runs: sweep, references, bases, matrix and tune; they need no torch."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from mubench.hub_builders.tasks import get_task
from mubench.hub_builders.tasks.names import DATASET, check_ratio, dataset_folder
from mubench.hub_builders.utils.cli import Parser, check_options
from mubench.trainers.runs.method_table import check_known

# In place of a deletion family: the one that each task is ranked on.
PRIMARY = "primary"
EVAL_SEED = "seed of the noise that generated images start from"


def _parser(command: str, description: str) -> Parser:
    parser = Parser(prog=f"python -m mubench.trainers {command}", description=description, allow_abbrev=False)
    parser.add_config()
    return parser


def grid_parser(command: str) -> Parser:
    """Return the parser of ``sweep`` or ``references``."""
    parser = _parser(command, "Train what is missing of a grid of runs on one task; finished runs are skipped.")
    parser.add_argument("--task", required=True, help="task key")
    parser.add_argument("--ratio", default="5", help="percentage to delete, 1 to 10")
    parser.add_argument("--backbones", "--backbone", nargs="+", help="backbone keys; default: the task's first")
    parser.add_argument("--base_seeds", nargs="+", help="seeds of the base models; default: --seeds")
    parser.add_argument(
        "--retrain_seeds", "--seeds_of_retrained", nargs="+", help="seeds of the retrained models; default: --seeds"
    )
    parser.add_argument("--methods", nargs="+", default=[], help="method keys; default: all")
    parser.add_argument("--seeds", nargs="+", default=["0 1 2"], help="seeds of the runs (of the references)")
    parser.add_argument("--workers", type=int, default=2, help="number of processes")
    parser.add_argument("--eval_seed", type=int, default=0, help=EVAL_SEED)
    parser.add_argument("--data", default=DATASET, help="dataset folder or Hub id")
    parser.add_argument("--family", default="canonical", help="deletion family")
    parser.add_argument("--models", default="models", help="folder of all models")
    parser.add_argument("--results", default="results", help="folder of the result rows")
    return parser


def _tasks_parser(command: str, description: str) -> Parser:
    parser = _parser(command, description)
    parser.add_argument("--task", nargs="*", default=[], help="task keys; default: all that are built")
    parser.add_argument("--ratio", default="5", help="percentage that the retrained models go without")
    parser.add_argument("--seeds", nargs="+", default=["0"], help="seeds of the runs (bases: of the models)")
    parser.add_argument("--workers", type=int, default=2, help="number of processes")
    parser.add_argument("--eval_seed", type=int, default=0, help=EVAL_SEED)
    parser.add_argument("--models", default="models", help="folder of all models")
    return parser


def _places_parser(command: str, description: str) -> Parser:
    parser = _tasks_parser(command, description)
    parser.add_argument("--data", default=DATASET, help="dataset folder or Hub id")
    parser.add_argument("--family", default=PRIMARY, help=f"deletion family; {PRIMARY}: the one a task is ranked on")
    return parser


def bases_parser() -> Parser:
    """Return the parser of ``bases``."""
    parser = _places_parser("bases", "Train base models and one retrained model beside each; print their scores.")
    parser.add_argument("--backbone", help="backbone key; default: the first of each task")
    return parser


def matrix_parser() -> Parser:
    """Return the parser of ``matrix``."""
    parser = _places_parser("matrix", "Run every method on every task that it is made for, beside the references.")
    parser.add_argument("--methods", nargs="+", default=[], help="method keys; default: all that a task has")
    parser.add_argument("--base_seeds", nargs="+", default=["0"], help="seeds of the base models")
    parser.add_argument("--retrain_seeds", nargs="+", default=["0 1 2"], help="seeds of the retrained models")
    parser.add_argument("--results", default="results", help="folder of the result rows")
    return parser


def tune_parser() -> Parser:
    """Return the parser of ``tune``."""
    parser = _tasks_parser(
        "tune",
        "Tune the arguments of methods on other draws of the forget set. Tasks that share their defaults are tuned "
        "together: a setting is scored by its mean over all tasks and draws.",
    )
    parser.add_argument(
        "--data", nargs="+", default=[dataset_folder(deletion_seed=1)], help="folders of build --deletion_seed"
    )
    parser.add_argument("--methods", nargs="+", default=[], help="method keys; default: all that a task has")
    parser.add_argument("--backbone", help="backbone key; default: the first of each task")
    parser.add_argument("--trials", type=int, default=16, help="settings a method, the default among them")
    parser.add_argument("--out", type=Path, default=Path("tuning"), help="folder of the trials")
    parser.set_defaults(models="tuning/models")
    return parser


PARSERS: dict[str, Callable[[], Parser]] = {
    "references": lambda: grid_parser("references"),
    "sweep": lambda: grid_parser("sweep"),
    "bases": bases_parser,
    "matrix": matrix_parser,
    "tune": tune_parser,
}


def parse_grid(command: str, arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command about many runs, seeds as whole numbers.

    Raises:
        ValueError: If a seed is no whole number, or a task or method is unknown.
    """
    parser = PARSERS[command]()
    options = parser.parse_args(check_options(parser, arguments))
    for name in ("seeds", "base_seeds", "retrain_seeds"):
        if getattr(options, name, None):
            setattr(options, name, read_seeds(" ".join(getattr(options, name))))
    for task in [options.task] if isinstance(options.task, str) else options.task:
        get_task(task)
    for method in options.methods if hasattr(options, "methods") else ():
        check_known(method)
    return options


def read_ratio(options: argparse.Namespace) -> int:
    """Return the deletion ratio in percent.

    Raises:
        ValueError: If it is none of the family.
    """
    family = getattr(options, "family", "canonical")
    return check_ratio(options.ratio, "canonical" if family == PRIMARY else family)


def read_seeds(text: str) -> list[int]:
    """Return seeds that are separated by spaces or commas.

    Raises:
        ValueError: If one is no whole number from 0.
    """
    numbers = text.replace(",", " ").split()
    if not numbers or not all(number.isdecimal() for number in numbers):
        raise ValueError(f"seeds must be whole numbers from 0, got {text!r}")
    return [int(number) for number in numbers]
