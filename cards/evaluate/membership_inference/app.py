"""Page of the Space: two lists of numbers in, the attack's figures out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import evaluate

MODULE = Path(__file__).with_name("membership_inference.py")
FORGET, TEST = "[2.1, 0.7, 3.4, 1.9]", "[0.4, 1.1, -0.3, 0.9]"


def compute(forget: str, test: str, kind: str) -> dict[str, float]:
    """Return the figures for two JSON lists of numbers."""
    members, others = (_numbers(text) for text in (forget, test))
    labels = [1] * len(members) + [0] * len(others)
    found: dict[str, float] = evaluate.load(str(MODULE), keep_in_memory=True).compute(
        predictions=members + others, references=labels, kind=kind
    )
    return found


def _numbers(text: str) -> list[float]:
    try:
        found = json.loads(text)
        return [float(value) for value in found]
    except (ValueError, TypeError) as error:
        raise ValueError(f"expected a list of numbers such as {FORGET}, got {text[:40]!r}") from error


def build() -> Any:
    """Return the page."""
    import gradio as gr  # noqa: PLC0415  (an extra)

    return gr.Interface(
        fn=compute,
        inputs=[
            gr.Textbox(FORGET, label="Forget rows (members)"),
            gr.Textbox(TEST, label="Test rows (non-members)"),
            gr.Radio(["log_odds", "loss", "probability"], value="log_odds", label="What the numbers are"),
        ],
        outputs=gr.JSON(label="Result"),
        title="Membership inference",
        description="How well the numbers of a model tell the rows to forget from rows it never saw.",
    )


if __name__ == "__main__":
    build().launch(show_error=True)
