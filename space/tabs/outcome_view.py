"""A finished run: verdict, scores, training curve, loss attack, forget set, numbers and downloads."""

from __future__ import annotations

import math
from typing import Any

import gradio as gr
from handlers import outcome
from handlers.input_checks import check_number
from handlers.runs import existing_runs, finished_run, model_archive, row_file
from handlers.try_out import run_code, run_command, verdict
from handlers.verdict import render_verdict

from tabs.common import LATEST, heading, panel, report_errors

ATTACK_NOTE = (
    "One of the seven attacks of which the membership part of S takes the strongest. It predicts that every row with "
    "a loss left of the dashed line is a training row. Its advantage is the share of forget rows with that prediction "
    "minus the share of test rows. Within the grey band, drawn for the chosen model, the difference at one threshold "
    "is within chance (95 %)."
)
MODEL_NOTE = "The model whose losses are drawn below."
THRESHOLD_NOTE = "Rows with a lower loss are predicted to be training rows; -2 is a loss of 0.01."
ORDER_NOTE = (
    "Changed: rows whose loss differs most between the base and the unlearned model, of all rows or, for generated "
    "images, of the first 24. Deleted: in the order of the forget set."
)


class OutcomeView:
    """The lower half of Try out."""

    def __init__(self) -> None:
        self.own_runs = gr.Dropdown(
            [], value=None, label="Your finished runs", info="Choose one to see it again.", visible=False
        )
        self.name = gr.Textbox("", visible=False)
        with gr.Column(visible=False) as self.column:
            self.verdict = gr.HTML(elem_id="verdict")
            with gr.Row():
                self.scores, self.curve = panel("Score on each split", elem_id="bars"), panel("Loss during training")
            self._lay_out_attack()
            heading("Forget set", "Predictions of the base, unlearned and retrained models.")
            self.order = gr.Radio(list(outcome.ORDERS), value=outcome.ORDERS[0], label="Order", info=ORDER_NOTE)
            self.rows = gr.HTML(elem_id="gallery")
            self._lay_out_details()
        self.components = [component for component in vars(self).values() if component is not self.own_runs]

    def _lay_out_attack(self) -> None:
        heading("Loss attack", ATTACK_NOTE)
        with gr.Row():
            self.model = gr.Radio(list(outcome.STYLES), value="this run", label="Losses of", info=MODEL_NOTE)
            self.threshold = gr.Slider(
                -3, 1, value=-1, step=0.01, label="Threshold, as a power of ten", info=THRESHOLD_NOTE,
                elem_id="threshold",
            )  # fmt: skip
        self.histogram = gr.HTML(elem_id="histogram")

    def _lay_out_details(self) -> None:
        with gr.Accordion("All metrics", open=False):
            self.metrics = gr.HTML()
        self.cost = gr.HTML()
        self.command = gr.Code(language="shell", label="The same run on the command line", lines=1, interactive=False)
        self.code = gr.Code(language="python", label="The same run in Python", interactive=False)
        with gr.Row():
            self.row = gr.DownloadButton("Download the result row (JSON)")
            self.archive = gr.DownloadButton("Download the model folder (zip)")

    def show(self, name: str) -> dict[Any, Any]:
        """Return the update of every component that shows a run."""
        run = finished_run(name)
        threshold, (low, high) = outcome.default_threshold(run), map(math.log10, outcome.loss_range(run))
        models = list(run.summary["losses"])
        return {
            self.column: gr.update(visible=True),
            self.name: name,
            self.verdict: render_verdict(run, verdict(run)),
            self.scores: outcome.render_scores(run),
            self.curve: outcome.render_curve(run.points),
            self.model: gr.update(choices=models, value=models[0]),
            self.threshold: gr.update(
                minimum=round(low, 2), maximum=round(high, 2), value=round(math.log10(threshold), 2)
            ),
            self.histogram: outcome.render_attack(name, models[0], threshold),
            self.order: gr.update(choices=outcome.orders(run), value=outcome.ORDERS[0]),
            self.rows: outcome.render_rows(name),
            self.metrics: outcome.render_metrics(run),
            self.cost: outcome.render_cost(run),
            self.command: run_command(run.request),
            self.code: run_code(run.request),
            self.row: gr.update(value=row_file(name) if run.row else None, visible=run.row is not None),
            self.archive: gr.update(value=model_archive(name)),
        }

    def connect(self, tab: gr.Tab, own_runs: gr.BrowserState) -> None:
        gr.on([tab.select, own_runs.change], self._list_runs, [own_runs, self.name], self.own_runs, **LATEST)
        self.own_runs.input(report_errors(self.show), self.own_runs, self.components, **LATEST)
        attack = [self.name, self.model, self.threshold]
        gr.on([self.model.input, self.threshold.change], self._attack, attack, self.histogram, **LATEST)
        self.order.input(report_errors(outcome.render_rows), [self.name, self.order], self.rows, **LATEST)

    def hide(self) -> dict[Any, Any]:
        """Return the update that hides a result which is not that of the form any more."""
        return {self.column: gr.update(visible=False)}

    @staticmethod
    def _list_runs(names: Any, shown: Any) -> Any:
        runs = [(run.title, run.name) for run in existing_runs(names)]
        value = next((name for _, name in runs if name == shown), None)
        return gr.update(choices=runs, value=value, visible=bool(runs))

    @staticmethod
    @report_errors
    def _attack(name: str, model: Any, power: Any) -> str:
        return outcome.render_attack(name, model, 10 ** check_number("threshold", power, -9, 9)) if name else ""
