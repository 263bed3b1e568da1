"""What the first screen says: what the page does, in three steps, and what the rows of a task are."""

from __future__ import annotations

from html import escape
from typing import Any

from handlers.choices import built_task_info
from handlers.gallery import row_cards

SAMPLES = 4
SENTENCES = (
    "Unlearning makes a trained model forget some of its training rows without training it anew. Here a method does "
    "so in seconds, and S says how close the result comes to models that were retrained without these rows."
)
STEPS = (
    ("Base model", "trained on all rows, the forget set included"),
    ("Unlearned model", "the method changes the base model"),
    ("Verdict", "S compares it with models retrained without the forget set: 0 is the base model, 1 is retrained"),
)


def render_steps() -> str:
    """Return what the page does, in two sentences and three steps."""
    steps = "".join(
        f"<li><b>{number}. {escape(name)}</b><span>{escape(text)}</span></li>"
        for number, (name, text) in enumerate(STEPS, start=1)
    )
    return f'<p>{escape(SENTENCES)}</p><ol class="mu-steps">{steps}</ol>'


def render_task(task: Any, ratio: Any) -> str:
    """Return what the rows of a task are, with the first rows of the forget set.

    Raises:
        ValueError: If the task is not built, or has no such ratio.
    """
    info = built_task_info(task)
    row, size = info.row, info.forget_size(int(ratio))
    origin = f": {row.mini}" if info.tier == "mini" else ""
    counts = (
        f"{info.counts['train']:,} training rows, {size:,} of them to be forgotten, {info.counts['test']:,} test rows"
    )
    cards = row_cards(info, int(ratio), "forget", range(min(SAMPLES, size)))
    return (
        f'<div class="mu-samples"><p><b>{escape(row.title)}, {info.tier} tier</b>{escape(origin)}. {counts}. '
        f"The first rows of the forget set:</p>{cards}</div>"
    )
