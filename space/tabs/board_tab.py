"""Leaderboard: filters, the table, two charts, and a form that submits rows."""

from __future__ import annotations

from typing import Any

import gradio as gr
from handlers import board
from handlers.submissions import MAX_ROWS, check_row, check_rows

from mubench.trainers.evaluation.limits import MAX_BYTES
from mubench.trainers.evaluation.result import to_json
from tabs.common import LATEST, QUIET, UNCHECKED, panel, report_errors

SUBMIT_NOTE = (
    "A row is the JSON file that a run writes into `results`. It is checked against the schema and visible to you "
    "only, marked as submitted; its values are not verified."
)

# A file is read in the browser: the server stores none.
FILE = '<label>Row (JSON) <input type="file" accept=".json,application/json"></label>'
READ_FILE = f"""
element.addEventListener('change', async event => {{
  const [file] = event.target.files;
  props.value = file ? await file.slice(0, {MAX_BYTES + 1}).text() : '';
  trigger('input');
}});
"""


@report_errors
def refresh(own: Any, texts: Any, *values: Any) -> list[Any]:
    """Return the choices of the filters, and the lines that match them as a table and two charts."""
    lines = board.board_lines(own, check_rows(texts))
    filters = dict(zip(board.FILTERS, (list(each or []) for each in values), strict=True))
    matching = board.filter_keeping_own(lines, filters)
    menus = [gr.update(choices=choices) for choices in board.filter_choices(lines).values()]
    return [*menus, board.render_board(matching), board.render_cost(matching), board.render_parts(matching)]


@report_errors
def add_row(texts: Any, text: Any) -> list[Any]:
    """Check a row, and add it to those of the browser."""
    row = check_row(text)
    return [[*map(to_json, check_rows(texts)), to_json(row)][-MAX_ROWS:], ""]


def build_board_tab(tab: gr.Tab, own_runs: gr.BrowserState) -> None:
    """Lay out the tab."""
    with gr.Row():
        choices = board.filter_choices(board.board_lines())
        menus = [
            gr.Dropdown(
                values, value=board.default_choice(name, values), multiselect=True, label=name.title(), min_width=150
            )
            for name, values in choices.items()
        ]
    gr.Markdown("Rows of tier mini show that things run; they rank no methods.")
    table = gr.HTML(elem_id="board")
    with gr.Row():
        cost, parts = panel("Score against cost"), panel("Forgetting against utility")
    with gr.Accordion("Columns", open=False):
        gr.Markdown("\n".join(f"- **{name}**: {text}" for name, text in board.COLUMNS.items()))
    with gr.Accordion("Submit a row", open=False):
        gr.Markdown(SUBMIT_NOTE)
        file = gr.HTML(html_template=FILE, js_on_load=READ_FILE)
        text = gr.Textbox(label="Or its text", lines=3, max_lines=6)
        file.input(None, file, text, js="text => text", **LATEST)
        button = gr.Button("Submit")
    submitted = gr.JSON([], visible=False)  # in the browser, since the server drops sessions that are idle for long
    inputs, outputs = [own_runs, submitted, *menus], [*menus, table, cost, parts]
    gr.on([tab.select, *(menu.change for menu in menus)], refresh, inputs, outputs, **LATEST)
    done = button.click(add_row, [submitted, text], [submitted, text], **QUIET)
    done.success(refresh, inputs, outputs, **UNCHECKED)
