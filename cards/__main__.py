"""Write the cards of all repositories, or print a table: leaderboard, matrix of S, audit, report, or sequences."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mubench.hub_builders.tasks.names import DATASET, is_dataset_folder
from mubench.hub_builders.utils.cli import Parser, did_you_mean, replace_dashes, run_command
from mubench.hub_builders.utils.hints import command

if TYPE_CHECKING:
    from mubench.cards.leaderboard import Table

PLACE = (Path(DATASET), Path("models"), Path("results"))
DELETION = "deletion_report"
# Tables that are printed from result rows, and may be those of the shipped rows.
PRINTED = ("leaderboard", "matrix", "audit", "report")


def parser(*, leaderboard: bool = False) -> Parser:
    """Return the parser of all cards and tables, or of ``mubench leaderboard``."""
    if leaderboard:
        one = Parser(
            prog="mubench leaderboard", description="Print the ranked tables of all result rows.", allow_abbrev=False
        )
        one.set_defaults(what="leaderboard")
        one.add_argument("--task", nargs="+", metavar="TASK", help="tasks whose tables are printed; default: all")
    else:
        one = Parser(prog="mubench cards", description=__doc__, allow_abbrev=False)
        one.add_argument(
            "what",
            nargs="?",
            choices=("all", *PRINTED, "sequences"),
            default="all",
            help="all cards, or a table; report: analyses and claims on rows of real data; sequences: those of "
            "`mubench sequence`, with pictures beside their files",
        )
        one.set_defaults(task=None)
    one.add_config()
    data, models, results = PLACE
    one.add_argument("--data", type=Path, default=data, help="dataset folder; mu-bench: of all families")
    one.add_argument("--models", type=Path, default=models, help="folder of model folders")
    one.add_argument("--results", type=Path, default=results, help="folder of the result rows")
    one.add_argument("--shipped", action="store_true", help="print the measured rows that come with the suite")
    out = "with audit: a folder to write table, plot and JSON into, too"
    one.add_argument("--out", type=Path, help=argparse.SUPPRESS if leaderboard else out)
    return one


def deletion_parser() -> Parser:
    """Return the parser of the deletion report."""
    line = "Write the deletion report of a run as Markdown and HTML: what was deleted, how, S, attacks, cost."
    one = Parser(prog="mubench report", description=line, allow_abbrev=False)
    one.add_argument("row", type=Path, metavar="ROW", help="result row of the run, results/<run id>.json")
    one.add_argument("--data", default=DATASET, help="dataset folder or Hub id; mu-bench: of all families")
    one.add_argument("--out", type=Path, help="folder of the report (default: reports/<run id>)")
    return one


def _report_deletion(options: argparse.Namespace) -> None:
    from mubench.cards.report.deletion_report import write_report  # noqa: PLC0415

    print("\n".join(write_report(options)))


def _dataset_folders(data: Path) -> list[Path]:
    """Return a dataset folder and, if it is the one that stands for all families, those built beside it."""
    if data.name != DATASET:
        return [data]
    built = sorted(
        one.parent for one in data.parent.glob(f"{DATASET}-*/README.md") if is_dataset_folder(one.parent.name)
    )
    return [data, *built]


def _making(data: Path, models: Path, results: Path) -> str:
    """Return the commands that make all of it; a build names its folder itself."""
    named = data if data.name == DATASET else None
    building = command("build", "cifar10", out=named and named.parent)
    sweeping = command("sweep", task="cifar10", methods="scrub", data=named, models=models, results=results)
    return f"{building}, then {sweeping}"


def _tables(options: argparse.Namespace) -> list[Table]:
    """Return the tables of some tasks, by default all; rows of other tasks are read but not ranked."""
    from mubench.cards.leaderboard import SHIPPED  # noqa: PLC0415
    from mubench.cards.leaderboard.grouping import group_rows, make_table  # noqa: PLC0415
    from mubench.trainers.evaluation.result import read_results  # noqa: PLC0415

    own = {"data": options.data, "models": options.models, "results": options.results}
    folders = {"results": SHIPPED} if options.shipped else own
    if not options.shipped and not any(options.results.glob("*.json")):
        raise FileNotFoundError(
            f"expected result rows in {options.results}, got none; make some with: {_making(**own)}"
        )
    groups, tasks = group_rows(read_results(folders["results"])), options.task
    _check_tasks(dict.fromkeys(rows[0].task for rows in groups), tasks)
    return [make_table(rows, **folders) for rows in groups if tasks is None or rows[0].task in tasks]


def _check_tasks(there: Iterable[str], tasks: Sequence[str] | None) -> None:
    """Raise ``ValueError`` if one of the tasks has no rows."""
    known = list(there)
    for task in tasks or ():
        if task not in known:
            raise ValueError(f"expected tasks with rows, {', '.join(known)}, got {task!r}{did_you_mean(task, known)}")


def _write_all(data: Path, models: Path, results: Path) -> None:
    """Write every card whose folder exists, and name the folders that do not."""
    from mubench.cards.folders import write_dataset_card, write_model_cards, write_results_card  # noqa: PLC0415
    from mubench.trainers.evaluation.result import read_results  # noqa: PLC0415

    judged = any(results.glob("*.json"))
    rows = read_results(results) if judged else []
    jobs: list[tuple[Path, bool, Callable[[], Path | list[Path]]]] = [
        *((folder, folder.is_dir(), partial(write_dataset_card, folder)) for folder in _dataset_folders(data)),
        (models, models.is_dir(), partial(write_model_cards, models, rows)),
        (results, judged, partial(write_results_card, results, data=data, models=models)),
    ]
    if not any(there for _, there, _ in jobs):
        made = _making(data, models, results)
        raise FileNotFoundError(f"expected {data}, {models} or {results}, got none of them; make them with: {made}")
    for folder, there, write in jobs:
        cards = write() if there else []
        count = len(cards) if isinstance(cards, list) else 1
        print(f"{folder}: {count} card(s)" if there else f"{folder}: nothing there yet, no card")


def _run(options: argparse.Namespace) -> None:
    place = options.data, options.models, options.results
    if options.shipped and (options.what not in PRINTED or place != PLACE):
        raise ValueError(f"expected --shipped with {' or '.join(PRINTED)} and no folder, got it with others")
    if options.out is not None and options.what != "audit":
        raise ValueError(f"expected --out with audit, got it with {options.what}")
    if options.what == "sequences":
        _draw_sequences(options.results)
        return
    if options.what not in PRINTED:
        _write_all(*place)
        return
    from mubench.cards.leaderboard.formats import as_matrix, as_text  # noqa: PLC0415  (help needs no numbers)

    found = _tables(options)
    if options.what == "audit":
        _audit(found, options)
        return
    if options.what == "report":
        from mubench.cards import report  # noqa: PLC0415

        print(report.as_text(found), end="")
        return
    print(as_matrix(found) if options.what == "matrix" else as_text(found), end="")


def _draw_sequences(results: Path) -> None:
    """Print every sequence of requests, and draw those of every setting beside their files."""
    from mubench.cards.report.sequence_picture import draw_sequences, group_sequences  # noqa: PLC0415
    from mubench.trainers.sequences.sequence_result import FOLDER, read_sequences  # noqa: PLC0415
    from mubench.trainers.sequences.sequence_table import LEGEND, sequence_lines  # noqa: PLC0415

    for name, sequences in group_sequences(read_sequences(results)).items():
        for one in sequences:
            print("\n".join([*sequence_lines(one), ""]))
        print(f"picture: {draw_sequences(sequences, results / FOLDER / f'{name}.png')}\n")
    print("\n".join(LEGEND))


def _audit(found: Sequence[Table], options: argparse.Namespace) -> None:
    """Print the audit of the metrics over tables, and write it where a folder is given."""
    from mubench.cards.audit_table import as_text, audit_tables, left_out, write_audit  # noqa: PLC0415

    audits = audit_tables(found, data=options.data, models=options.models, results=options.results)
    print(as_text(audits), end="")
    for title in left_out(found):
        print(f"not audited: {title}")
    for path in write_audit(audits, options.out) if options.out else []:
        print(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the cards or print a table; a user's mistake is one line and exit code 2."""
    given = replace_dashes(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == [DELETION]:
        chosen = deletion_parser().parse_args(given[1:])
        return run_command(lambda: _report_deletion(chosen))
    leaderboard = given[:1] == ["leaderboard"]
    options = parser(leaderboard=leaderboard).parse_args(given[1:] if leaderboard else given)
    return run_command(lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
