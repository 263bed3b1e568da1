"""A method's arguments as inputs, made anew when the method changes; what is typed is kept in the browser."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr
from handlers.arguments import Field, fields

# Told under the method it is about, so that what was typed for another is no part of the run.
KEEP = "(value, kept) => ({method: %s, values: {...(kept?.method === %s ? kept.values : {}), [%s]: value}})"


def _input(field: Field) -> Any:
    """Return the input of an argument."""
    shared: dict[str, Any] = {"label": field.name.replace("_", " "), "info": field.help, "interactive": True}
    if field.kind == "switch":
        return gr.Checkbox(bool(field.default), min_width=180, **shared)
    if field.kind == "text":
        return gr.Textbox(field.default or "", max_length=80, min_width=180, **shared)
    return gr.Number(field.default, precision=0 if field.kind == "whole" else None, min_width=180, **shared)


def form(task: gr.Dropdown, backbone: gr.Dropdown, method: gr.Dropdown) -> gr.JSON:
    """Lay out the form and return what it keeps."""
    kept = gr.JSON({}, visible=False)

    def inputs(*picked: Any) -> None:
        with gr.Row():
            for field in fields(*picked):
                each = _input(field)
                words = json.dumps(picked[2])
                keep = KEEP % (words, words, json.dumps(field.name))
                each.input(None, [each, kept], kept, js=keep, api_visibility="private")

    gr.render(inputs=[task, backbone, method], show_progress="hidden")(inputs)
    return kept


def given(kept: Any, method: Any) -> Any:
    """Return the arguments that were typed for a method."""
    same = isinstance(kept, dict) and kept.get("method") == method
    return kept.get("values") if same else None
