"""Front door of room 2: ``mubench scrub --task cifar10 --ratio 5``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.names import DATASET
from mubench.hub_builders.utils.cli import (
    Parser,
    did_you_mean,
    find_options,
    print_error,
    replace_dashes,
    run_command,
)
from mubench.trainers.methods import METHODS

# All commands but the methods, in a line each. What a command needs is imported when it is called: help, lists and
# mistyped names need no torch.
COMMANDS = {
    "base": "a base model of one task and backbone",
    "bases": "base models of every task that is built, a retrained one beside each, and a table of their scores",
    "references": "reference models of a task: base and retrained models, and the controls that train from scratch",
    "sweep": "references, every method on every seed, and their result rows; finished runs are skipped",
    "matrix": "every method on many tasks, beside their references",
    "sequence": "a forget set in requests one after the other, judged after each, beside deleting all at once",
    "memorised": "lists of rows of low, middle and high memorisation, and the signal of forgetting each of them",
    "corpus_numbers": "verbatim and knowledge memorisation, utility and PrivLeak of models of texts without prompts",
    "tune": "arguments of methods, on proxy requests, whose forget sets appear in no result",
    "robustness": "relearning, and S with rounded weights, of every finished run of a task, added to its result row",
    "methods": "list every method: for which kinds of task, on which splits, with which options",
    "metrics": "list every metric: title, direction, range, unit, what it needs, its paper",
    "ensemble": "metrics over many runs of one method and many retrained models: KLoM, U-LiRA, the NeurIPS 2023 score",
    "judge": "a model of any origin, from a folder or the Hub, or a parquet of outputs: its result row",
    "adopt": "a model that another program trained on a task, from a folder or the Hub, as a base model of its own",
    "rerun": "repeat the run of a result row, unless its model is there, and judge it again",
}
# Commands other than methods that take custom methods.
TAKE_METHODS = ("references", "sweep", "matrix", "sequence", "tune", "methods", "rerun")
# Module and function of the commands with a parser of grids that are not about sweeps.
GRIDS = {
    "judge": ("runs.judge_model", "judge_model"),
    "adopt": ("runs.adopt", "adopt_model"),
    "memorised": ("runs.memorised_sets", "list_memorised"),
    "corpus_numbers": ("corpora.corpus_table", "list_corpus_numbers"),
    "robustness": ("runs.commands", "measure_robustness"),
    "tune": ("tuning.tune", "run_tune"),
}


def help_text() -> str:
    """Return a line for every method, its summary, and for every other command."""
    from mubench.trainers.runs.method_table import method_table  # noqa: PLC0415  (reads the sources of all methods)

    methods = {key: method.summary for key, method in method_table().items()}
    lines = [__doc__ or "", "", "usage: mubench METHOD|COMMAND [options], --help for the options"]
    for title, entries in (("methods", methods), ("other commands", COMMANDS)):
        lines += ["", f"{title}:", *(f"  {key:<16}{line}" for key, line in entries.items())]
    return "\n".join(lines)


def _list_methods(arguments: Sequence[str]) -> list[str]:
    from mubench.trainers.runs.method_table import METHOD_FILE, descriptions, table  # noqa: PLC0415

    parser = Parser(prog="mubench methods", description=COMMANDS["methods"])
    parser.add_argument("--method_file", metavar="FILE.py", help=METHOD_FILE)
    parser.parse_args(list(arguments))
    return [*table(), "", *descriptions()]


def _run_grid(command: str, arguments: Sequence[str]) -> list[str]:
    from mubench.trainers.runs.grid_parsers import parse_grid  # noqa: PLC0415

    options = parse_grid(command, arguments)
    if (processes := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        reason = "is not divided" if command in GRIDS and command != "tune" else "starts workers of its own"
        raise ValueError(f"expected one process, since {command} {reason}, got {processes}")
    module, function = GRIDS.get(command, ("sweeps.grid_commands", "run_grid"))
    run = getattr(importlib.import_module(f"mubench.trainers.{module}"), function)
    lines: list[str] = run(options) if command in GRIDS else run(command, options)
    return lines


def _check_task(arguments: Sequence[str]) -> None:
    """Raise ``ValueError`` for a mistyped task, before torch is imported."""
    given = find_options(arguments, "task", "data", "family")
    if given["task"] is not None and given["task"] not in TASKS and {"-h", "--help"}.isdisjoint(arguments):
        from mubench.hub_builders.dataset.task_info import find_task  # noqa: PLC0415  (reads data folders)

        find_task(given["task"], data=given["data"] or DATASET, family=given["family"])


def _run_one(command: str, arguments: Sequence[str]) -> list[str]:
    if command != "rerun":
        _check_task(arguments)
        from mubench.trainers.runs.argument_parser import base_parser, method_parser  # noqa: PLC0415

        parser = base_parser() if command == "base" else method_parser(command, arguments)
        parser.parse_given(arguments)  # help and mistyped options end here, before all that trains is imported
    from mubench.trainers.runs import commands  # noqa: PLC0415

    if command not in COMMANDS:
        return commands.run_method(command, arguments)
    return commands.run_base(arguments) if command == "base" else commands.rerun(arguments)


def _run_sequence(arguments: Sequence[str]) -> list[str]:
    _check_task(arguments)
    from mubench.trainers.sequences.sequence_parser import parse_sequence  # noqa: PLC0415

    options, rest = parse_sequence(arguments)
    from mubench.trainers.sequences.sequence_command import run_sequence  # noqa: PLC0415  (mistyped options end above)

    return run_sequence(options, rest)


def _read_metrics(command: str, arguments: Sequence[str]) -> list[str]:
    from mubench.trainers.runs.metric_table import list_metrics, run_ensemble  # noqa: PLC0415

    return list_metrics(arguments) if command == "metrics" else run_ensemble(arguments)


def _run(command: str, arguments: Sequence[str]) -> None:
    if command == "methods":
        lines = _list_methods(arguments)
    elif command in ("metrics", "ensemble"):
        lines = _read_metrics(command, arguments)
    elif command == "sequence":
        lines = _run_sequence(arguments)
    elif command not in COMMANDS or command in ("base", "rerun"):
        lines = _run_one(command, arguments)
    else:
        lines = _run_grid(command, arguments)
    if lines:
        print("\n".join(lines))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a method, another command, or print help; a user's mistake is one line and exit code 2."""
    given = replace_dashes(sys.argv[1:] if arguments is None else arguments)
    command, rest = (given[0], given[1:]) if given else ("", [])
    if not given or command in ("-h", "--help"):
        print(help_text())
        return 0 if given else 2
    takes = command not in COMMANDS or command in TAKE_METHODS
    if takes and (source := find_options(rest, "method_file")["method_file"]) is not None:
        return run_command(lambda: _run_custom(source, command, rest))
    if command not in (*METHODS, *COMMANDS):
        closest = did_you_mean(command, (*METHODS, *COMMANDS))
        print_error(f"method must be one of {', '.join(METHODS)}, got {command!r}{closest}")
        return 2
    return run_command(lambda: _run(command, rest))


def _run_custom(source: str, command: str, arguments: Sequence[str]) -> None:
    """Run a command with the custom methods of a file."""
    from mubench.trainers.runs.method_files import custom_methods, read_method_file  # noqa: PLC0415  (one option)
    from mubench.trainers.runs.method_table import CUSTOM  # noqa: PLC0415

    with custom_methods(read_method_file(source)):
        if command not in (*METHODS, *CUSTOM, *COMMANDS):
            raise ValueError(f"expected a method of {source} ({', '.join(CUSTOM)}) or of the suite, got {command!r}")
        _run(command, arguments)


if __name__ == "__main__":
    sys.exit(main())
