"""A finished run: words, bars, curves, histogram with its slider, rows, numbers, and what to take home."""

from __future__ import annotations

import math
from typing import Any

import gradio as gr
from handlers import outcome as shows
from handlers.checks import number
from handlers.runs import finished, known, model_file, row_file
from handlers.try_out import code_of, command_of, verdict

from tabs.common import LATEST, one_line


class Outcome:
    """The lower half of Try out."""

    def __init__(self) -> None:
        self.earlier = gr.Dropdown([], value=None, label="Your finished runs", visible=False)
        self.name = gr.Textbox("", visible=False)
        with gr.Column(visible=False) as self.all:
            self.words = gr.Markdown(elem_id="verdict")
            with gr.Row():
                with gr.Column(min_width=300):
                    gr.Markdown("#### Score on rows of each side")
                    self.bars = gr.HTML(elem_id="bars")
                with gr.Column(min_width=300):
                    gr.Markdown("#### While it trained")
                    self.curve = gr.HTML()
            gr.Markdown(
                "#### Who was a member?\nAn attack that calls every row with a loss left of the line a member. On a "
                "retrained model it finds as many among test rows as among forget rows."
            )
            with gr.Row():
                self.model = gr.Radio(list(shows.MODELS), value="this run", label="Losses of")
                self.slider = gr.Slider(
                    -3, 1, value=-1, step=0.01, label="Threshold, as a power of ten", elem_id="threshold"
                )
            self.histogram = gr.HTML(elem_id="histogram")
            gr.Markdown("#### Rows to forget\nWhat the models say of them: base, then unlearned, then retrained.")
            self.order = gr.Radio(list(shows.ORDERS), value=shows.ORDERS[0], label="Order")
            self.rows = gr.HTML(elem_id="gallery")
            with gr.Accordion("All numbers", open=False):
                self.numbers = gr.HTML()
            self.cost = gr.HTML()
            self.command = gr.Code(language="shell", label="The same run on the command line", interactive=False)
            self.code = gr.Code(language="python", label="The same run in Python", interactive=False)
            with gr.Row():
                self.row = gr.DownloadButton("Download the row (JSON)")
                self.zip = gr.DownloadButton("Download the model folder (zip)")
        self.parts = [
            *(self.all, self.name, self.words, self.bars, self.curve, self.model, self.slider, self.histogram),
            *(self.order, self.rows, self.numbers, self.cost, self.command, self.code, self.row, self.zip),
        ]

    def shown(self, name: str) -> dict[Any, Any]:
        """Return what every part shows of a run."""
        run = finished(name)
        at, (low, high) = shows.usual_threshold(run), map(math.log10, shows.span(run))
        models = list(run.shown["losses"])
        return {
            self.all: gr.update(visible=True),
            self.name: name,
            self.words: f"### {verdict(run)}",
            self.bars: shows.score_bars(run),
            self.curve: shows.training_curve(run.points),
            self.model: gr.update(choices=models, value=models[0]),
            self.slider: gr.update(minimum=round(low, 2), maximum=round(high, 2), value=round(math.log10(at), 2)),
            self.histogram: shows.attack_shown(name, models[0], at),
            self.order: shows.ORDERS[0],
            self.rows: shows.rows_shown(name),
            self.numbers: shows.metrics_shown(run),
            self.cost: shows.cost_shown(run),
            self.command: command_of(run.request),
            self.code: code_of(run.request),
            self.row: gr.update(value=row_file(name) if run.row else None, visible=run.row is not None),
            self.zip: gr.update(value=model_file(name)),
        }

    def connect(self, tab: gr.Tab, mine: gr.BrowserState) -> None:
        """Say what the parts do."""

        def list_earlier(names: Any) -> Any:
            runs = [(run.title, run.name) for run in known(names)]
            return gr.update(choices=runs, visible=bool(runs))

        gr.on([tab.select, mine.change], list_earlier, mine, self.earlier, **LATEST)
        self.earlier.input(one_line(self.shown), self.earlier, self.parts, **LATEST)
        attack = [self.name, self.model, self.slider]
        gr.on([self.model.input, self.slider.change], self._attack, attack, self.histogram, **LATEST)
        self.order.input(one_line(shows.rows_shown), [self.name, self.order], self.rows, **LATEST)

    @staticmethod
    @one_line
    def _attack(name: str, model: Any, at: Any) -> str:
        return shows.attack_shown(name, model, 10 ** number("threshold", at, -9, 9)) if name else ""
