"""Data explorer: any config of any family."""

from __future__ import annotations

from typing import Any

import gradio as gr
from handlers import explore

from tabs.common import LATEST, menu, panel, report_errors, update_menu

MENUS = {"families": "family", "tasks": "task", "ratios": "ratio"}


@report_errors
def refresh(*current: Any) -> list[Any]:
    """Return the choices of the menus, and everything about the chosen config."""
    menus = explore.menu_choices(*current)
    chosen = menus["chosen"]
    config = explore.find_config(chosen["family"], chosen["task"], chosen["ratio"])
    split = config.training_splits[0]
    return [
        *(update_menu(menus[many], chosen[one], was) for (many, one), was in zip(MENUS.items(), current, strict=True)),
        explore.render_description(config),
        explore.render_counts(config),
        explore.render_balance(config),
        gr.update(choices=list(config.counts), value=split),
        1,
        explore.render_samples(config, split, 1),
        config.code,
    ]


@report_errors
def turn_page(family: Any, task: Any, ratio: Any, split: Any, page: Any) -> str:
    """Return another page of rows, or of another split."""
    return explore.render_samples(explore.find_config(family, task, ratio), split, page)


def build_explore_tab(tab: gr.Tab) -> None:
    """Lay out the tab."""
    choices = explore.menu_choices(None, None, None)
    chosen = choices["chosen"]
    with gr.Row():
        family = menu("Deletion family", choices["families"], chosen["family"])
        task = menu("Task", choices["tasks"], chosen["task"])
        ratio = menu("Deletion ratio (%; 0: nothing deleted)", choices["ratios"], chosen["ratio"])
    description = gr.HTML(elem_id="config")
    with gr.Row():
        counts, balance = panel("Rows of every split"), panel("Classes of training rows", elem_id="balance")
    gr.Markdown("#### Rows")
    with gr.Row():
        split = gr.Radio(["forget", "retain"], value="forget", label="Split")
        page = gr.Number(1, label="Page", precision=0, minimum=1, min_width=100)
    rows = gr.HTML(elem_id="samples")
    code = gr.Code(language="python", label="Load it", interactive=False)
    menus = [family, task, ratio]
    outputs = [*menus, description, counts, balance, split, page, rows, code]
    gr.on([tab.select, *(each.input for each in menus)], refresh, menus, outputs, **LATEST)
    gr.on([split.input, page.input], turn_page, [*menus, split, page], rows, **LATEST)
