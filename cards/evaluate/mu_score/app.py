"""Page of the Space: the inputs of ``compute`` as JSON in, S and its parts out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import evaluate

MODULE = Path(__file__).with_name("mu_score.py")
EXAMPLE = Path(__file__).with_name("example.json")


def compute(text: str) -> dict[str, float]:
    """Return S and its parts for the JSON text of the inputs."""
    try:
        inputs = json.loads(text)
    except ValueError as error:
        raise ValueError(f"expected JSON, got {text[:40]!r}") from error
    if not isinstance(inputs, dict):
        raise ValueError(f"expected an object with the inputs by name, got {text[:40]!r}")  # noqa: TRY004
    found: dict[str, float] = evaluate.load(str(MODULE), keep_in_memory=True).compute(**inputs)
    return found


def build() -> Any:
    """Return the page."""
    import gradio as gr  # noqa: PLC0415  (an extra)

    return gr.Interface(
        fn=compute,
        inputs=gr.Code(EXAMPLE.read_text(encoding="utf-8"), language="json", label="Inputs"),
        outputs=gr.JSON(label="Result"),
        title="MU-Bench score",
        description="S of an unlearned model: 1 is retrained without the forget set, 0 untouched or destroyed.",
    )


if __name__ == "__main__":
    build().launch(show_error=True)
