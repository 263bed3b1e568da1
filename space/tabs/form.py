"""A method's arguments as inputs, rebuilt when the method changes; entered values are kept in the browser."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr
from handlers.arguments import MAX_TEXT, Field, argument_fields

# Stored with the method, so that values entered for another method are no part of the run.
STORE = "(value, kept) => ({method: %s, values: {...(kept?.method === %s ? kept.values : {}), [%s]: value}})"


def _input(field: Field) -> Any:
    """Return the input of an argument."""
    shared: dict[str, Any] = {"label": field.name.replace("_", " "), "info": field.help, "interactive": True}
    if field.kind == "switch":
        return gr.Checkbox(bool(field.default), min_width=180, **shared)
    if field.kind == "text":
        return gr.Textbox(field.default or "", max_length=MAX_TEXT, min_width=180, **shared)
    return gr.Number(field.default, precision=0 if field.kind == "whole" else None, min_width=180, **shared)


def build_form(task: gr.Dropdown, backbone: gr.Dropdown, method: gr.Dropdown) -> gr.JSON:
    """Lay out the form, and return the component that stores the entered values."""
    stored = gr.JSON({}, visible=False)

    def inputs(*setting: Any) -> None:
        with gr.Row():
            for field in argument_fields(*setting):
                entry = _input(field)
                name = json.dumps(setting[2])
                store = STORE % (name, name, json.dumps(field.name))
                entry.input(None, [entry, stored], stored, js=store, api_visibility="private")

    gr.render(inputs=[task, backbone, method], show_progress="hidden")(inputs)
    return stored


def entered_values(stored: Any, method: Any) -> Any:
    """Return the values that were entered for a method."""
    same = isinstance(stored, dict) and stored.get("method") == method
    return stored.get("values") if same else None
