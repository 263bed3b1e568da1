"""Compare: up to four finished runs beside each other and beside the retrained models."""

from __future__ import annotations

from typing import Any

import gradio as gr
from handlers import compare as shows
from handlers.runs import known

from tabs.common import LATEST, offered, one_line

NONE = '<p class="mu-note">No finished runs yet: make some in Try out, and choose up to four of them here.</p>'


def compare(tab: gr.Tab, mine: gr.BrowserState) -> None:
    """Lay out the tab."""
    note = gr.HTML(NONE)
    runs = gr.CheckboxGroup([], label=f"Your finished runs (up to {shows.MOST})", elem_id="runs")
    with gr.Column(visible=False) as all_:
        with gr.Row():
            with gr.Column(min_width=300):
                gr.Markdown("#### Beside the retrained models")
                cloud = gr.HTML(elem_id="cloud")
            with gr.Column(min_width=300):
                gr.Markdown("#### Forgetting, step by step")
                forget = gr.HTML(elem_id="forgetting")
            with gr.Column(min_width=300):
                gr.Markdown("#### Keeping, step by step")
                retain = gr.HTML(elem_id="keeping")
        numbers = gr.HTML(elem_id="numbers")

    def listed(names: Any, chosen: Any) -> list[Any]:
        there = [(run.title, run.name) for run in known(names)]
        left = [name for name in chosen or [] if name in {each for _, each in there}]
        return [gr.update(visible=not there), offered(there, left, chosen or [])]

    @one_line
    def refresh(names: Any) -> list[Any]:
        if not names:
            return [gr.update(visible=False), "", "", "", ""]
        found = shows.chosen_runs(names)
        sides = [shows.steps(found, side) for side in ("forget", "retain")]
        return [gr.update(visible=True), shows.cloud(found), *sides, shows.numbers_shown(found)]

    gr.on([tab.select], listed, [mine, runs], [note, runs], **LATEST)
    runs.change(refresh, runs, [all_, cloud, forget, retain, numbers], **LATEST)
