"""Leaderboard: filters, the table, two plots, and a place for rows from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from charts.board_charts import cost_chart, parts_chart
from handlers import board as shows
from handlers.submitted import MOST_SUBMITTED, as_text, checked_row, sent_in

from tabs.common import LATEST, QUIET, UNCHECKED, one_line

INVITED = (
    "A row is the JSON file that a run writes into `results`. It is checked against the schema and shown to you "
    "alone, marked as submitted; nobody has checked that it is true."
)


@one_line
def refresh(names: Any, texts: Any, *chosen: Any) -> list[Any]:
    """Return what the filters leave, and what there is to filter by."""
    every = shows.lines(names, sent_in(texts))
    left = shows.with_own(every, dict(zip(shows.FILTERS, (list(values or []) for values in chosen), strict=True)))
    lists = [gr.update(choices=values) for values in shows.filters(every).values()]
    return [*lists, shows.board_shown(left), cost_chart(left), parts_chart(left)]


@one_line
def send_in(texts: Any, path: Any, text: Any) -> list[Any]:
    """Check a row, and add it to those of the session."""
    given = Path(path).read_text(encoding="utf-8", errors="replace") if path else text
    row = checked_row(given)
    return [[*(texts or []), as_text(row)][-MOST_SUBMITTED:], None, ""]


def board(tab: gr.Tab, mine: gr.BrowserState) -> None:
    """Lay out the tab."""
    with gr.Row():
        first = shows.filters(shows.lines())
        menus = [
            gr.Dropdown(
                values, value=shows.at_first(name, values), multiselect=True, label=name.title(), min_width=150
            )
            for name, values in first.items()
        ]
    table = gr.HTML(elem_id="board")
    with gr.Row():
        with gr.Column(min_width=300):
            gr.Markdown("#### Score against cost")
            cost = gr.HTML()
        with gr.Column(min_width=300):
            gr.Markdown("#### Forgotten against kept")
            parts = gr.HTML()
    with gr.Accordion("What the columns mean", open=False):
        gr.Markdown("\n".join(f"- **{name}**: {words}" for name, words in shows.MEANING.items()))
    with gr.Accordion("Show a row of your own", open=False):
        gr.Markdown(INVITED)
        file = gr.File(label="Row (JSON)", file_types=[".json"], height=120)
        pasted = gr.Textbox(label="Or its text", lines=3, max_lines=6)
        send = gr.Button("Show it beside the others")
    submitted = gr.JSON([], visible=False)  # in the browser: the server forgets whom it has not heard of for long
    inputs, outputs = [mine, submitted, *menus], [*menus, table, cost, parts]
    gr.on([tab.select, *(menu.change for menu in menus)], refresh, inputs, outputs, **LATEST)
    sent = send.click(send_in, [submitted, file, pasted], [submitted, file, pasted], **QUIET)
    sent.success(refresh, inputs, outputs, **UNCHECKED)
