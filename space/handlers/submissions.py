"""Result rows that visitors submit: checked, kept in the visitor's browser, and visible to nobody else."""

from __future__ import annotations

from typing import Any

from handlers.board import SUBMITTED, Line, render_cost, render_parts
from handlers.board_tables import frame
from mubench.cards.leaderboard.entries import make_entry
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.utils.text import quote
from mubench.trainers.evaluation.result import Result, parse_result

MAX_ROWS = 10


def check_row(text: Any) -> Result:
    """Return a submitted row.

    Raises:
        ValueError: If it is too long, is not a row, names what the suite does not have, or cannot be rendered.
    """
    if not isinstance(text, str):
        raise ValueError(f"a row must be the text of a JSON file, got {quote(text)}")  # noqa: TRY004
    row = parse_result(text)
    if row.task not in TASKS or row.backbone not in TASKS[row.task].recipes:
        got = f"{quote(row.task)} and {quote(row.backbone)}"
        raise ValueError(f"expected a task of the suite and one of its backbones, got {got}")
    lines = [Line(make_entry(row.method, [row]), SUBMITTED)]
    for render in (frame, render_cost, render_parts):
        render(lines)  # fails here, and not each time that the leaderboard is rendered
    return row


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
