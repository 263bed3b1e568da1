"""Data explorer: any config of any family."""

from __future__ import annotations

from typing import Any

import gradio as gr
from handlers import explore

from tabs.common import LATEST, heading, menu, panel, report_errors, update_menu

MENUS = {"families": "family", "tasks": "task", "ratios": "ratio"}
TERMS = {
    "family": "By which rule the rows to forget are chosen; canonical: at random.",
    "task": "What a model does, on which rows.",
    "ratio": "Percentage of the training rows to forget; 0: none.",
    "split": "Forget and retain are the training rows.",
    "page": "Twelve rows each.",
}
ROWS_NOTE = (
    "In stored order. Many mini rows are hidden by noise on purpose: only a model that was trained on them knows "
    "them, which is what is to be forgotten."
)
# Dims the rows while others load.
DIM = "() => document.querySelector('#samples')?.classList.add('mu-loading')"
SHOW = "() => document.querySelector('#samples')?.classList.remove('mu-loading')"


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
        gr.update(choices=list(config.counts), value=split),
        1,
        explore.render_samples(config, split, 1),
        config.code,
        explore.render_counts(config),
        explore.render_balance(config),
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
        family = menu("Deletion family", choices["families"], chosen["family"], TERMS["family"])
        task = menu("Task", choices["tasks"], chosen["task"], TERMS["task"])
        ratio = menu("Deletion ratio", choices["ratios"], chosen["ratio"], TERMS["ratio"])
    description = gr.HTML(elem_id="config")
    heading("Rows", ROWS_NOTE)
    with gr.Row():
        split = gr.Radio(["forget", "retain"], value="forget", label="Split", info=TERMS["split"])
        page = gr.Number(1, label="Page", info=TERMS["page"], precision=0, minimum=1, min_width=100)
    rows = gr.HTML(elem_id="samples")
    code = gr.Code(language="python", label="Load it", interactive=False)
    with gr.Accordion("Rows and classes of every split", open=False), gr.Row():
        counts, balance = panel("Rows of every split"), panel("Classes of training rows", elem_id="balance")
    menus = [family, task, ratio]
    outputs = [*menus, description, split, page, rows, code, counts, balance]
    chosen_anew, turned = [each.input for each in menus], [split.input, page.input]
    gr.on([*chosen_anew, *turned], None, js=DIM, trigger_mode="always_last", api_visibility="private")
    for loaded in (
        gr.on([tab.select, *chosen_anew], refresh, menus, outputs, **LATEST),
        gr.on(turned, turn_page, [*menus, split, page], rows, **LATEST),
    ):
        loaded.then(None, js=SHOW, api_visibility="private")
