"""Data explorer: any config of any family."""

from __future__ import annotations

from typing import Any

import gradio as gr
from handlers import explore as shows

from tabs.common import LATEST, menu, offered, one_line

MENUS = {"families": "family", "tasks": "task", "ratios": "ratio"}


def explore(tab: gr.Tab) -> None:
    """Lay out the tab."""
    first = shows.narrowed(None, None, None)
    chosen = first["chosen"]
    with gr.Row():
        family = menu("Deletion family", first["families"], chosen["family"])
        task = menu("Task", first["tasks"], chosen["task"])
        ratio = menu("Deleted rows (%; 0 is all rows)", first["ratios"], chosen["ratio"])
    words = gr.HTML(elem_id="config")
    with gr.Row():
        with gr.Column(min_width=300):
            gr.Markdown("#### Rows of every split")
            counts = gr.HTML()
        with gr.Column(min_width=300):
            gr.Markdown("#### Classes of training rows")
            balance = gr.HTML(elem_id="balance")
    gr.Markdown("#### Rows")
    with gr.Row():
        split = gr.Radio(["forget", "retain"], value="forget", label="Split")
        page = gr.Number(1, label="Page", precision=0, minimum=1, min_width=100)
    rows = gr.HTML(elem_id="samples")
    code = gr.Code(language="python", label="Load it", interactive=False)

    @one_line
    def refresh(*picked: Any) -> list[Any]:
        lists = shows.narrowed(*picked)
        now = lists["chosen"]
        found = shows.config(now["family"], now["task"], now["ratio"])
        return [
            *(offered(lists[many], now[one], was) for (many, one), was in zip(MENUS.items(), picked, strict=True)),
            shows.words(found),
            shows.counts_shown(found),
            shows.balance_shown(found),
            gr.update(choices=list(found.counts), value=found.sides[0]),
            1,
            shows.samples_shown(found, found.sides[0], 1),
            found.code,
        ]

    @one_line
    def turn(*picked: Any) -> str:
        return shows.samples_shown(shows.config(*picked[:3]), *picked[3:])

    menus = [family, task, ratio]
    outputs = [*menus, words, counts, balance, split, page, rows, code]
    gr.on([tab.select, *(each.input for each in menus)], refresh, menus, outputs, **LATEST)
    gr.on([split.input, page.input], turn, [*menus, split, page], rows, **LATEST)
