"""Result rows that visitors submit: checked, kept in the visitor's browser, and visible to nobody else."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from handlers.board import SUBMITTED, Line, render_board, render_cost, render_parts
from handlers.checks import MAX_NUMBER, check_choice, check_number
from mubench.cards.entries import make_entry
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.utils.text import quote
from mubench.trainers.evaluation.result import Result
from mubench.trainers.metrics import METRICS

MAX_CHARACTERS = 60_000
MAX_ROWS = 10


def check_row(text: Any) -> Result:
    """Return a submitted row.

    Raises:
        ValueError: If it is too long, is not a row, names what the suite does not have, or cannot be rendered.
    """
    row = _parse(text)
    if row.task not in TASKS or row.backbone not in TASKS[row.task].recipes:
        got = f"{quote(row.task)} and {quote(row.backbone)}"
        raise ValueError(f"expected a task of the suite and one of its backbones, got {got}")
    for name, value in (("method", row.method), ("run_id", row.run_id), ("family", row.family)):
        if not value.replace("_", "").replace("-", "").replace(".", "").isalnum() or len(value) > 120:
            raise ValueError(f"{name} must be a plain name, got {quote(value)}")
    _check_numbers(row)
    lines = [Line(make_entry(row.method, [row]), SUBMITTED)]
    for render in (render_board, render_cost, render_parts):
        render(lines)  # fails here, and not each time that the leaderboard is rendered
    return row


def _parse(text: Any) -> Result:
    if not isinstance(text, str):
        raise ValueError(f"a row must be the text of a JSON file, got {quote(text)}")  # noqa: TRY004
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"a row must have at most {MAX_CHARACTERS:,} characters, got {len(text):,}")
    try:
        return Result.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))[:80] or "row"
        raise ValueError(f"expected a result row, got {field}: {first['msg'][:200]}") from error
    except RecursionError as error:
        raise ValueError("expected a result row, got JSON nested too deeply") from error


def _check_numbers(row: Result) -> None:
    """Refuse numbers that no run can have, or that no chart can render."""
    for name in ("seconds_share", "passes_share"):
        if share := row.cost.get(name, 0):
            check_number(name, share, 1 / MAX_NUMBER, MAX_NUMBER)
    for name, value in row.metrics.items():
        low, high = METRICS[check_choice("metric", name, METRICS)].range
        check_number(name, value.value, max(low, -MAX_NUMBER), min(high, MAX_NUMBER))
    if row.interval:
        check_number("interval", row.interval.low, 0, row.interval.high)
        check_number("interval", row.interval.high, row.interval.low, 1)


def check_rows(texts: Any) -> list[Result]:
    """Return the submitted rows of a request.

    Raises:
        ValueError: If they are not a list, too many, or one of them is not a row.
    """
    if not isinstance(texts, list | None):
        raise ValueError(f"rows must be a list of texts, got {quote(texts)}")  # noqa: TRY004
    texts = texts or []
    if len(texts) > MAX_ROWS:
        raise ValueError(f"rows must be at most {MAX_ROWS}, got {len(texts)}")
    return [check_row(text) for text in texts]
