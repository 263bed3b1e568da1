"""Compare: up to four finished runs beside each other and the retrained models."""

from __future__ import annotations

from typing import Any

import gradio as gr
from handlers import compare
from handlers.runs import existing_runs

from tabs.common import LATEST, panel, report_errors, update_menu

NO_RUNS = '<p class="mu-note">No finished runs yet: start some in Try out, then select up to four of them here.</p>'


def list_runs(names: Any, selected: Any) -> list[Any]:
    """Return whether to show the note, and the visitor's runs, of which those selected stay so if they exist."""
    runs = [(run.title, run.name) for run in existing_runs(names)]
    remaining = [name for name in selected or [] if name in {each for _, each in runs}]
    return [gr.update(visible=not runs), update_menu(runs, remaining, selected or [])]


@report_errors
def refresh(names: Any) -> list[Any]:
    """Return the charts and the table of the selected runs."""
    if not names:
        return [gr.update(visible=False), "", "", "", "", ""]
    runs = compare.chosen_runs(names)
    losses = [compare.render_losses(runs, split) for split in ("forget", "retain")]
    shown = [compare.render_ruler(runs), compare.render_scores(runs), *losses, compare.render_numbers(runs)]
    return [gr.update(visible=True), *shown]


def build_compare_tab(tab: gr.Tab, own_runs: gr.BrowserState) -> None:
    """Lay out the tab."""
    note = gr.HTML(NO_RUNS)
    runs = gr.CheckboxGroup([], label=f"Your finished runs (up to {len(compare.STYLES)})", elem_id="runs")
    with gr.Column(visible=False) as comparison:
        ruler = panel("S with its interval", elem_id="ruler")
        with gr.Row():
            scores = panel("Scores beside the retrained models", elem_id="cloud")
            forget = panel("Loss on the forget set", elem_id="forgetting")
            retain = panel("Loss on the retain set", elem_id="keeping")
        numbers = gr.HTML(elem_id="numbers")
    gr.on([tab.select], list_runs, [own_runs, runs], [note, runs], **LATEST)
    runs.change(refresh, runs, [comparison, ruler, scores, forget, retain, numbers], **LATEST)
