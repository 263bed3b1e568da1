"""Leaderboard: methods by tasks, the table of a task, two charts, and a form that submits rows."""

from __future__ import annotations

from typing import Any

import gradio as gr
from handlers import board
from handlers.board_tables import COLUMN_WIDTHS, DATA, DATATYPES, data_choices, frame, render_matrix
from handlers.input_checks import check_choice
from handlers.submissions import MAX_ROWS, check_row, check_rows

from mubench.hub_builders.utils.text import quote
from mubench.trainers.evaluation.result import to_json
from mubench.trainers.evaluation.row_limits import MAX_BYTES
from tabs.common import LATEST, QUIET, UNCHECKED, panel, report_errors

SUBMIT_NOTE = (
    "A row is the JSON file that a run writes into `results`. It is checked against the schema and visible to you "
    "only, marked as submitted; its values are not verified."
)
MATRIX_NOTE = (
    "1 = retrained, 0 = untouched or destroyed; ! no valid S. Click a task for its table. "
    "Rows of tier mini show that things run; their ranks are no result."
)
TERMS = {
    "tier": "Real rows, or mini stand-ins.",
    "task": "What a model does, on which rows.",
    "backbone": "The architecture of the model.",
    "ratio": "Percentage of rows to forget.",
    "family": "How rows to forget are chosen.",
    "method": "How a model is made to forget.",
    "origin": "Where a row was measured.",
}
# Gradio names the field in a tip only.
NAME_SEARCH = "() => document.querySelector('#board .search-input')?.setAttribute('aria-label', 'Search the table')"
# The table as CSV, made in the browser: its cells are HTML in part.
EXPORT = r"""
table => {
  const cell = value => {
    const page = new DOMParser().parseFromString(String(value ?? ''), 'text/html');
    const text = page.querySelector('svg')?.getAttribute('aria-label') ?? page.body.textContent;
    const safe = /^[=+@]/.test(text) ? `'${text}` : text;  // a spreadsheet would run it as a formula
    return `"${safe.replaceAll('"', '""')}"`;
  };
  const lines = [table.headers, ...table.data].map(line => line.map(cell).join(','));
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([lines.join('\n')], {type: 'text/csv'}));
  link.download = 'leaderboard.csv';
  link.click();
  URL.revokeObjectURL(link.href);
}
"""
SHOW_TABLE = "() => document.querySelector('#board')?.scrollIntoView({behavior: 'smooth'})"
# A file is read in the browser: the server stores none.
FILE = '<label>Row (JSON) <input type="file" accept=".json,application/json"></label>'
READ_FILE = f"""
element.addEventListener('change', async event => {{
  const [file] = event.target.files;
  props.value = file ? await file.slice(0, {MAX_BYTES + 1}).text() : '';
  trigger('input');
}});
"""


# A click on a task of the matrix opens its table.
PICK_TASK = """
element.addEventListener('click', event => {
  const task = event.target.closest('[data-task]');
  if (task) { trigger('select', {...task.dataset}); }
});
"""


@report_errors
def refresh(own: Any, texts: Any, *values: Any) -> list[Any]:
    """Return the choices of the filters, and the lines that match them as a table and two charts."""
    lines = board.board_lines(own, check_rows(texts))
    filters = dict(zip(board.FILTERS, (list(each or []) for each in values), strict=True))
    matching = board.filter_keeping_own(lines, filters)
    menus = [gr.update(choices=choices) for choices in board.filter_choices(lines).values()]
    drawn = board.filter_lines(matching, filters)  # own lines of other settings are not comparable
    return [*menus, frame(matching, lines), board.render_cost(drawn), board.render_parts(drawn)]


@report_errors
def show_matrix(data: Any) -> Any:
    """Return the matrix of methods by tasks, of real data or of mini tasks."""
    lines = board.board_lines()
    found = data_choices(lines)
    return render_matrix(lines, data) if found else '<p class="mu-note">No result rows yet.</p>'


@report_errors
def pick_data(data: Any) -> list[Any]:
    """Return the filters of the first setting of real data or of mini tasks."""
    lines = [line for line in board.board_lines() if line.row.tier in DATA[check_choice("data", data, DATA)]]
    filters = board.default_filters(lines)
    return [gr.update(value=filters[name]) for name in board.TABLE_SETTING]


@report_errors
def pick_task(event: gr.EventData) -> list[Any]:
    """Return the filters of the setting for a click on a task of the matrix."""
    chosen: Any = event._data
    if not isinstance(chosen, dict):
        raise ValueError(f"expected the setting of a table, got {quote(chosen)}")  # noqa: TRY004
    known = board.filter_choices(board.board_lines())
    return [gr.update(value=[check_choice(name, chosen.get(name), known[name])]) for name in board.TABLE_SETTING]


@report_errors
def add_row(texts: Any, text: Any) -> list[Any]:
    """Check a row, and add it to those of the browser."""
    row = check_row(text)
    return [[*map(to_json, check_rows(texts)), to_json(row)][-MAX_ROWS:], ""]


def build_board_tab(tab: gr.Tab, own_runs: gr.BrowserState) -> None:
    """Lay out the tab."""
    lines = board.board_lines()
    data = gr.Radio(found := data_choices(lines), value=next(iter(found), None), label="S of every method on")
    matrix = gr.HTML(elem_id="matrix", js_on_load=PICK_TASK)
    gr.Markdown(MATRIX_NOTE)
    with gr.Row():
        first = board.default_filters(lines)
        menus = {
            name: gr.Dropdown(
                values, value=first[name], multiselect=True, label=name.title(), info=TERMS[name], min_width=150
            )
            for name, values in board.filter_choices(lines).items()
        }
    table = gr.Dataframe(
        headers=list(board.COLUMNS), datatype=DATATYPES, column_widths=COLUMN_WIDTHS,
        interactive=False, show_search="search", max_height=560, label="Leaderboard", elem_id="board",
        buttons=["fullscreen"], wrap=True,
    )  # fmt: skip
    with gr.Row():
        gr.Button("Download the table (CSV)", size="sm").click(None, table, js=EXPORT, api_visibility="private")
    with gr.Accordion("What the columns mean", open=False):
        gr.Markdown("\n".join(f"- **{name}**: {text}" for name, text in board.COLUMNS.items()))
    with gr.Row():
        cost, parts = panel("Score against cost"), panel("Forgetting against utility")
    submitted, submit = _lay_out_submission()
    inputs, outputs = [own_runs, submitted, *menus.values()], [*menus.values(), table, cost, parts]
    loaded = gr.on([tab.select, *(menu.change for menu in menus.values())], refresh, inputs, outputs, **LATEST)
    loaded.then(None, js=NAME_SEARCH, api_visibility="private")
    gr.on([tab.select, data.change], show_matrix, data, matrix, **LATEST)
    data.input(pick_data, data, [menus[name] for name in board.TABLE_SETTING], **LATEST)
    picked = matrix.select(pick_task, None, [menus[name] for name in board.TABLE_SETTING], **LATEST)
    picked.then(None, js=SHOW_TABLE, api_visibility="private")
    submit.success(refresh, inputs, outputs, **UNCHECKED)


def _lay_out_submission() -> tuple[gr.JSON, Any]:
    """Lay out the form, and return the component that stores the rows and the event that adds one."""
    with gr.Accordion("Submit a row", open=False):
        gr.Markdown(SUBMIT_NOTE)
        file = gr.HTML(html_template=FILE, js_on_load=READ_FILE)
        text = gr.Textbox(label="Or its text", lines=3, max_lines=6)
        file.input(None, file, text, js="text => text", **LATEST)
        button = gr.Button("Submit")
    submitted = gr.JSON([], visible=False)  # in the browser, since the server drops sessions that are idle for long
    return submitted, button.click(add_row, [submitted, text], [submitted, text], **QUIET)
