"""Rows that strangers send in: checked, kept as text, and shown to nobody else."""

from __future__ import annotations

import json
from typing import Any

from charts.board_charts import cost_chart, parts_chart
from pydantic import ValidationError

from handlers.board import SUBMITTED, Line, board_shown
from handlers.checks import number, one_of, shown
from mubench.cards.entries import make_entry
from mubench.hub_builders.tasks import TASKS
from mubench.trainers.evaluation.result import Result
from mubench.trainers.metrics import METRICS

LARGEST_ROW = 60_000
# Rows that somebody may have shown beside the others.
MOST_SUBMITTED = 10
LARGEST = 1e6


def checked_row(text: Any) -> Result:
    """Return a row that a stranger sends in, if it is one.

    Raises:
        ValueError: If it is too long, is not a row, is about something the suite does not have, or cannot be placed.
    """
    if not isinstance(text, str):
        raise ValueError(f"a row must be the text of a JSON file, got {shown(text)}")  # noqa: TRY004
    if len(text) > LARGEST_ROW:
        raise ValueError(f"a row must have at most {LARGEST_ROW:,} characters, got {len(text):,}")
    try:
        row = Result.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))[:80] or "row"
        raise ValueError(f"expected a result row, got {place}: {first['msg'][:200]}") from error
    except RecursionError as error:
        raise ValueError("expected a result row, got JSON nested too deeply") from error
    if row.task not in TASKS or row.backbone not in TASKS[row.task].recipes:
        raise ValueError(
            f"expected a task of the suite and a backbone of it, got {shown(row.task)} and {shown(row.backbone)}"
        )
    for name, value in (("method", row.method), ("run_id", row.run_id), ("family", row.family)):
        if not value.replace("_", "").replace("-", "").replace(".", "").isalnum() or len(value) > 120:
            raise ValueError(f"{name} must be a plain name, got {shown(value)}")
    _check_numbers(row)
    line = Line(make_entry(row.method, [row]), SUBMITTED)
    board_shown([line])  # what cannot be shown is refused here, and not each time that it is to be shown
    cost_chart([line])
    parts_chart([line])
    return row


def _check_numbers(row: Result) -> None:
    """Refuse numbers that no run has, or that no chart has a place for."""
    for name in ("seconds_share", "passes_share"):
        if share := row.cost.get(name, 0):
            number(name, share, 1 / LARGEST, LARGEST)
    for name, value in row.metrics.items():
        low, high = METRICS[one_of("metric", name, METRICS)].range
        number(name, value.value, max(low, -LARGEST), min(high, LARGEST))
    if row.interval:
        number("interval", row.interval.low, 0, row.interval.high)
        number("interval", row.interval.high, row.interval.low, 1)


def sent_in(texts: Any) -> list[Result]:
    """Return rows that a program or a page sends with its question.

    Raises:
        ValueError: If they are no list, too many, or one of them is no row.
    """
    if not isinstance(texts, list | None):
        raise ValueError(f"rows must be a list of texts, got {shown(texts)}")  # noqa: TRY004
    given = texts or []
    if len(given) > MOST_SUBMITTED:
        raise ValueError(f"rows must be at most {MOST_SUBMITTED}, got {len(given)}")
    return [checked_row(text) for text in given]


def as_text(row: Result) -> str:
    """Return a row as JSON."""
    return json.dumps(row.model_dump(mode="json"))
