"""`sequence`: several requests one after the other with a method, from the arguments to the lines it prints."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mubench.trainers.engine.distributed import is_main_process, set_up_process
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.models.model_files import read_foreign
from mubench.trainers.runs.commands import check_references, request_of
from mubench.trainers.runs.plan import Plan, resolve
from mubench.trainers.runs.run import unlearn
from mubench.trainers.sequences.request_chain import run_requests, split_request
from mubench.trainers.sequences.sequence_judge import SequenceJudge
from mubench.trainers.sequences.sequence_result import write_sequence
from mubench.trainers.sequences.sequence_table import LEGEND, sequence_lines


def run_sequence(options: argparse.Namespace, arguments: Sequence[str]) -> list[str]:
    """Run the requests and the one-shot run, judge their models, and return lines with the file and the table.

    Finished models are kept. Of several processes the first judges, and only it returns lines. Where a later request
    or the one-shot run diverges, the file holds what is finished.

    Args:
        options: Method and number of steps, see `sequence_parser`.
        arguments: All other arguments, those of the method.

    Raises:
        NonFiniteError: If a request diverges; the message names the file with those before it.
        FileNotFoundError: If there are too few references of the last ratio; the message names the command.
        ValueError: If the steps do not divide the ratio, or an argument is one that the method does not take.
    """
    set_up_process()
    whole, where = request_of(options.method, arguments)
    if not where.judge:
        raise ValueError("expected a sequence that is judged after every request, got judge false")
    requests = split_request(whole, options.steps)
    check_references(whole, whole.base if whole.base is not None and read_foreign(whole.base) else None)
    one_shot = resolve(whole)
    plans, error = run_requests(requests)
    diverged = _run_or_diverge(one_shot)
    if is_main_process():
        reason = None if error is None else str(error)
        judge = SequenceJudge(requests, plans, one_shot, Path(where.results), reason, has_one_shot=diverged is None)
        path = write_sequence(result := judge.result(), Path(where.results))
    if error is not None:
        kept = f"; those before it are in {path}" if is_main_process() else ""
        raise NonFiniteError(f"{error}, in request {len(plans) + 1} of {len(requests)}{kept}") from error
    if not is_main_process():
        return []
    alone = [] if diverged is None else [f"all rows at once: {diverged}"]
    return [f"sequence: {path}", *alone, "", *sequence_lines(result), "", *LEGEND]


def _run_or_diverge(plan: Plan) -> str | None:
    """Run a plan, and return why it diverged; ``None`` if it finished."""
    try:
        unlearn(plan)
    except NonFiniteError as error:
        return str(error)
    return None
