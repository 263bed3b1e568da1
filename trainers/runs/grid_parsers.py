"""Parsers of the commands about many runs (sweep, references, bases, matrix, tune) and of judge; no torch needed."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mubench.hub_builders.tasks.names import DATASET, check_ratio, dataset_folder
from mubench.hub_builders.utils.cli import CONFIG, Parser, check_options, split_config
from mubench.trainers.runs.method_table import METHOD_FILE, check_known, check_recorded

# In place of a deletion family: the one that each task is ranked on.
PRIMARY = "primary"
# The options of these commands by name.
OPTIONS: dict[str, dict[str, Any]] = {
    "task": {"nargs": "*", "default": [], "help": "task keys; default: all that are built"},
    "backbone": {"help": "backbone key, or a pretrained model; default: the first of each task"},
    "ratio": {"default": "10", "help": "percentage to delete, 1 to 10"},
    "methods": {"nargs": "+", "default": [], "help": "method keys; default: all that a task has"},
    "method_file": {"metavar": "FILE.py", "help": METHOD_FILE},
    "base_seeds": {"nargs": "+", "default": ["0"], "help": "seeds of the base models"},
    "retrain_seeds": {"nargs": "+", "default": ["0 1 2"], "help": "seeds of the retrained models"},
    "seeds": {"nargs": "+", "default": ["0"], "help": "seeds of the runs (references, bases: of the models)"},
    "trials": {
        "type": int,
        "default": 16,
        "help": "maximum number of settings per method, which together may cost one retraining",
    },
    "workers": {"type": int, "default": 2, "help": "number of processes"},
    "eval_seed": {"type": int, "default": 0, "help": "seed of the noise that generated images start from"},
    "data": {"default": DATASET, "help": "dataset folder or Hub id"},
    "family": {"default": PRIMARY, "help": f"deletion family; {PRIMARY}: the one a task is ranked on"},
    "models": {"default": "models", "help": "folder of all models"},
    "results": {"default": "results", "help": "folder of the result rows"},
    "ray": {"metavar": "ADDRESS", "help": "run on Ray: local starts it here, auto finds it, or an address"},
    "slurm": {"metavar": "PARTITION", "help": "run on Slurm, --workers jobs at a time: a partition, or default"},
    "retry": {"action": "store_true", "help": "repeat runs that failed before"},
    "dry_run": {"action": "store_true", "help": "list the runs with their cost, and start none"},
    "out": {
        "type": Path,
        "default": Path("tuning"),
        "help": "folder of trials and grids of the best settings",
    },
}
ALL = ("ratio", "seeds", "workers", "eval_seed", "models")
SCHEDULED = ("ray", "slurm", "retry", "dry_run")
# Options that also hold for the grid of a file.
BESIDE_GRID = ("data", "family", "eval_seed", "models", "results", "workers", "method_file")


def _parser(command: str, description: str, *names: str, common: Sequence[str] = ALL) -> Parser:
    """Return a parser with these options and the common ones."""
    parser = Parser(prog=f"mubench {command}", description=description, allow_abbrev=False)
    parser.add_config()
    for name, option in OPTIONS.items():
        if name in (*common, *names):
            parser.add_argument(f"--{name}", **option)
    return parser


def grid_parser(command: str) -> Parser:
    """Return the parser of ``sweep`` or ``references``."""
    line = "Train what is missing of a grid of runs on one task; finished runs are skipped."
    parser = _parser(command, line, "methods", "method_file", "data", "results", *SCHEDULED)
    if command == "sweep":
        about = "YAML file of a grid over several tasks, in place of the options about task, methods and seeds"
        parser.add_argument("grid", nargs="?", type=Path, metavar="GRID.yaml", help=about)
    needs_task = command == "references"  # a sweep has a task or a grid, which `parse_grid` checks
    parser.add_argument("--task", required=needs_task, help="task key" if needs_task else "task key, without a grid")
    parser.add_argument(
        "--backbones",
        "--backbone",
        nargs="+",
        help="backbone keys, or folders or Hub ids of pretrained models; default: the task's first",
    )
    parser.add_argument("--base_seeds", nargs="+", help="seeds of the base models; default: --seeds")
    retrain_seeds = ("--retrain_seeds", "--seeds_of_retrained")
    parser.add_argument(*retrain_seeds, nargs="+", help="seeds of the retrained models; default: --seeds")
    parser.add_argument("--family", default="canonical", help="deletion family")
    parser.set_defaults(seeds=["0 1 2"])
    return parser


def robustness_parser() -> Parser:
    """Return the parser of ``robustness``."""
    line = "Measure what needs the weights of finished runs, and add it to their result rows."
    names = ("ratio", "methods", "backbone", "eval_seed", "data", "models", "results")
    parser = _parser("robustness", line, *names, common=())
    parser.add_argument("--task", required=True, help="task key")
    parser.add_argument("--family", default="canonical", help="deletion family")
    return parser


def judge_parser() -> Parser:
    """Return the parser of ``judge``."""
    line = "Judge a model of any origin, or a table of outputs, against the references of a task."
    parser = _parser("judge", line, "ratio", "backbone", "eval_seed", "data", "models", "results", common=())
    parser.add_argument("source", metavar="MODEL_OR_OUTPUTS", help="model folder or Hub id; or outputs as parquet")
    parser.add_argument("--task", required=True, help="task key")
    parser.add_argument("--name", required=True, help="name of the method in tables")
    parser.add_argument("--family", default="canonical", help="deletion family")
    parser.add_argument("--base_seed", type=int, default=0, help="seed of the base model that it was made from")
    return parser


def adopt_parser() -> Parser:
    """Return the parser of ``adopt``."""
    line = "Take a model that another program trained on all training rows of a task as a base model."
    parser = _parser("adopt", line, "eval_seed", "data", "models", common=())
    parser.add_argument("source", metavar="MODEL", help="folder or Hub id of the model")
    parser.add_argument("--task", required=True, help="task key")
    start = "what it and retrained models are trained from: folder or Hub id of a pretrained model, or backbone key"
    parser.add_argument("--start", "--backbone", help=f"{start}; default: the closest backbone")
    parser.add_argument("--family", default="canonical", help="deletion family")
    return parser


def memorised_parser() -> Parser:
    """Return the parser of ``memorised``."""
    line = (
        "List the rows of low, middle and high memorisation among those that the retrained models of a task left out, "
        "and show the signal of forgetting each list."
    )
    parser = _parser("memorised", line, "ratio", "backbone", "eval_seed", "data", "models", common=())
    parser.add_argument("--task", required=True, help="task key")
    parser.add_argument(
        "--out", type=Path, default=Path("memorised"), help="folder of the lists; those there are kept"
    )
    return parser


def corpora_parser() -> Parser:
    """Return the parser of ``corpus_numbers``."""
    line = (
        "Print MUSE's numbers of the base, retrained and unlearned models of a task of texts without prompts: "
        "verbatim and knowledge memorisation, utility and PrivLeak."
    )
    parser = _parser("corpus_numbers", line, "ratio", "backbone", "data", "models", common=())
    parser.add_argument("--task", required=True, help="task key")
    parser.add_argument("--family", default="canonical", help="deletion family")
    about = "JSON lines of question, answer and document; default: no numbers about knowledge"
    parser.add_argument("--questions", nargs="+", type=Path, default=[], metavar="FILE", help=about)
    about = "JSON lines of question and answer, which models read before every question"
    parser.add_argument("--examples", type=Path, metavar="FILE", help=about)
    about = "text around a question; default: that of MUSE, 'Question: {question}', a new line, 'Answer: '"
    parser.add_argument("--question_template", metavar="TEXT", help=about)
    about = "folder of the numbers, and of answers, which a model generates once"
    parser.add_argument("--out", type=Path, default=Path("corpus_numbers"), help=about)
    return parser


# Parsers of the commands about one group.
GROUP_PARSERS = {
    "robustness": robustness_parser, "judge": judge_parser, "adopt": adopt_parser, "memorised": memorised_parser,
    "corpus_numbers": corpora_parser,
}  # fmt: skip


def _tasks_parser(command: str) -> Parser:
    """Return the parser of ``bases``, ``matrix`` or ``tune``."""
    if command == "bases":
        line = "Train base models and one retrained model beside each; print their scores."
        return _parser(command, line, "task", "backbone", "data", "family")
    if command == "matrix":
        line = "Run every method on every task that it is made for, beside the references."
        methods = ("methods", "method_file")
        names = ("task", *methods, "base_seeds", "retrain_seeds", "data", "family", "results", *SCHEDULED)
        return _parser(command, line, *names)
    line = (
        "Tune the arguments of methods on other draws of the forget set. Tasks that share their defaults are tuned "
        "together: a setting is scored by its mean over all tasks and draws."
    )
    parser = _parser(command, line, "task", "methods", "method_file", "backbone", "trials", "out", "ray", "slurm")
    default = [dataset_folder(deletion_seed=1)]
    parser.add_argument("--data", nargs="+", default=default, help="folders of build --deletion_seed")
    parser.set_defaults(models="tuning/models")
    return parser


def parse_grid(command: str, arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command about many runs, seeds as whole numbers.

    Raises:
        ValueError: If a seed is no whole number, or a task or method is unknown.
    """
    if command == "sweep" and _names_grid(arguments):
        return _parse_grid_file(arguments)
    if command in GROUP_PARSERS:
        parser = GROUP_PARSERS[command]()
    else:
        parser = (grid_parser if command in ("references", "sweep") else _tasks_parser)(command)
    options = parser.parse_args(check_options(parser, arguments))
    if options.task is None:
        parser.error("expected --task TASK or GRID.yaml, got neither")
    _set_seeds(options)
    for task in [options.task] if isinstance(options.task, str) else options.task:
        _check_task(task, options)
    for method in getattr(options, "methods", ()):
        if command == "robustness":
            check_recorded(method, options.models)
        else:
            check_known(method)
    return options


def _set_seeds(options: argparse.Namespace) -> None:
    for name in ("seeds", "base_seeds", "retrain_seeds"):
        if getattr(options, name, None):
            setattr(options, name, _read_seeds(" ".join(getattr(options, name))))


def _check_task(task: str, options: argparse.Namespace) -> None:
    """Raise if a task is neither in the table nor built in a folder of the options, of which ``tune`` has several."""
    from mubench.hub_builders.dataset.task_info import find_task  # noqa: PLC0415  help needs no client of the Hub

    folders = [options.data] if isinstance(options.data, str) else options.data
    for number, data in enumerate(folders, start=1):
        try:
            find_task(task, data=data, family=getattr(options, "family", None))
        except ValueError:
            if number == len(folders):
                raise
        else:
            return


def _names_grid(arguments: Sequence[str]) -> bool:
    """Return whether a word is a YAML file, other than that of ``--config``."""
    before = ["", *arguments]
    return any(
        word.endswith((".yaml", ".yml")) and not word.startswith("-") and last != CONFIG
        for last, word in zip(before, arguments, strict=False)
    )


def _parse_grid_file(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a sweep over the grid of a file; ``changes`` are those in place of its fields.

    Raises:
        ValueError: If an option is about what the file is about.
    """
    parser = grid_parser("sweep")
    options = parser.parse_args(check_options(parser, arguments))
    given = _names_given(parser, arguments)
    if about := sorted(given - {*BESIDE_GRID, *SCHEDULED}):
        raise ValueError(f"expected {', '.join(about)} in {options.grid}, got --{about[0]} beside it")
    options.changes = {name: getattr(options, name) for name in given & {*BESIDE_GRID}}
    return options


def _names_given(parser: Parser, arguments: Sequence[str]) -> set[str]:
    """Return the names of the options on a command line and in its ``--config`` file, values equal to defaults too."""
    config, rest = split_config(arguments)
    words = {f"--{name}" for name in config} | {word.partition("=")[0] for word in rest if word.startswith("--")}
    return {parser._option_string_actions[word].dest for word in words}


def read_ratio(options: argparse.Namespace) -> int:
    """Return the deletion ratio in percent.

    Raises:
        ValueError: If it is none of the family.
    """
    family = getattr(options, "family", "canonical")
    return check_ratio(options.ratio, "canonical" if family == PRIMARY else family)


def _read_seeds(text: str) -> list[int]:
    """Return seeds that are separated by spaces or commas."""
    numbers = text.replace(",", " ").split()
    if not numbers or not all(number.isdecimal() for number in numbers):
        raise ValueError(f"seeds must be whole numbers from 0, got {text!r}")
    return [int(number) for number in numbers]
