"""Try out: menus, the method's arguments, the progress of the run, and its outcome."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from html import escape
from typing import Any

import gradio as gr
from handlers import choices
from handlers.arguments import Field, argument_fields
from handlers.introduction import base_seconds, render_steps, render_task
from handlers.try_out import Status, cancel, render_progress, start, start_references, status
from jobs.pool import POOL
from jobs.run_limits import MAX_TEXT

from tabs.common import LATEST, QUIET, UNCHECKED, add_run, menu, report_errors, update_menu, visitor
from tabs.outcome_view import OutcomeView

POLL_S = 0.4
# Notes by the number of retrained models; a setting with more lacks nothing.
MISSING = {
    0: "No base or no retrained model here yet, so a run cannot be compared with any.",
    1: "One retrained model here: a run can be compared with it, but S needs two.",
}
TRAIN_NOTE = "Train the missing models here, which takes some minutes and keeps the existing ones, or with:"
TERMS = {
    "task": "What the model does, on which rows.",
    "backbone": "The architecture of the model.",
    "ratio": "Share of training rows to forget.",
    "method": "How the model is made to forget.",
    "seed": "Of the random numbers of the run: another seed is another run.",
}
# Stored with the method, so that values entered for another method are no part of the run.
STORE = "(value, kept) => ({method: %s, values: {...(kept?.method === %s ? kept.values : {}), [%s]: value}})"
# Moves the page to the result, if there is one.
SHOW_VERDICT = "() => document.querySelector('#verdict .mu-verdict')?.scrollIntoView({behavior: 'smooth'})"


async def follow(name: str) -> AsyncIterator[Status]:
    """Yield the status of a job until it has ended."""
    while True:
        now = status(name)
        yield now
        if now.is_over:
            return
        await asyncio.sleep(POLL_S)


def _ratio_choices(menus: dict[str, Any]) -> list[tuple[str, str]]:
    notes = {0: " (no reference yet)", 1: " (no score yet)"}
    return [
        (f"{ratio} %{'' if ratio in menus['shipped'] else notes.get(count, '')}", str(ratio))
        for ratio, count in menus["ratios"].items()
    ]


def lacks_references(menus: dict[str, Any]) -> bool:
    """Whether runs of the chosen setting have no S for want of reference models."""
    ratio = int(menus["chosen"]["ratio"])
    return menus["ratios"][ratio] in MISSING and ratio not in menus["shipped"]


def can_run(menus: dict[str, Any]) -> bool:
    """Whether a run of the chosen setting can be compared with a retrained model at least."""
    return menus["ratios"][int(menus["chosen"]["ratio"])] > 0 or not lacks_references(menus)


def setting_note(menus: dict[str, Any]) -> str:
    """Return which models the chosen setting lacks, and how they are trained; empty if it lacks none."""
    chosen, count = menus["chosen"], menus["ratios"][int(menus["chosen"]["ratio"])]
    if lacks_references(menus):
        command = choices.references_command(chosen["task"], chosen["backbone"], chosen["ratio"])
        return f'<p class="mu-note" role="status">{MISSING[count]} {TRAIN_NOTE} <code>{escape(command)}</code></p>'
    if count or choices.has_base(chosen["task"], chosen["backbone"]):
        return ""
    seconds = base_seconds(*(chosen[name] for name in ("task", "backbone", "ratio")))
    about = f" in about {seconds:.0f} s on one core" if seconds else ""
    return f'<p class="mu-note" role="status">The first run here also trains the base model, once{about}.</p>'


def _argument_input(field: Field) -> Any:
    """Return the input of an argument."""
    shared: dict[str, Any] = {"label": field.name.replace("_", " "), "info": field.help, "interactive": True}
    if field.kind == "switch":
        return gr.Checkbox(bool(field.default), min_width=180, **shared)
    if field.kind == "text":
        return gr.Textbox(field.default or "", max_length=MAX_TEXT, min_width=180, **shared)
    return gr.Number(field.default, precision=0 if field.kind == "whole" else None, min_width=180, **shared)


def build_form(task: gr.Dropdown, backbone: gr.Dropdown, method: gr.Dropdown, changed: Callable[..., Any]) -> gr.JSON:
    """Lay out the form, and return the component that stores the entered values; changes are passed on."""
    stored = gr.JSON({}, visible=False)

    def inputs(*setting: Any) -> None:
        with gr.Row():
            for field in argument_fields(*setting):
                entry = _argument_input(field)
                name = json.dumps(setting[2])
                store = STORE % (name, name, json.dumps(field.name))
                entry.input(None, [entry, stored], stored, js=store, api_visibility="private")
                changed(entry)

    gr.render(inputs=[task, backbone, method], show_progress="hidden")(inputs)
    return stored


def entered_values(stored: Any, method: Any) -> Any:
    """Return the values that were entered for a method."""
    same = isinstance(stored, dict) and stored.get("method") == method
    return stored.get("values") if same else None


class TryOutTab:
    """The tab: menus, form and buttons above, the outcome of one of the browser's runs below."""

    def __init__(self, own_runs: gr.BrowserState) -> None:
        self.own_runs = own_runs
        menus = choices.menu_choices(None, None, None, None)
        chosen = menus["chosen"]
        lacking, note = lacks_references(menus), setting_note(menus)
        gr.HTML(render_steps())
        with gr.Row():
            self.task = menu("Task", menus["tasks"], chosen["task"], TERMS["task"])
            self.backbone = menu("Backbone", menus["backbones"], chosen["backbone"], TERMS["backbone"])
            self.ratio = menu("Deletion ratio", _ratio_choices(menus), chosen["ratio"], TERMS["ratio"])
            self.method = menu("Method", menus["methods"], chosen["method"], TERMS["method"])
            self.seed = gr.Number(0, label="Seed", info=TERMS["seed"], precision=0, minimum=0, min_width=100)
        self.menus = [self.task, self.backbone, self.ratio, self.method]
        self.about = gr.HTML(render_task(chosen["task"], chosen["ratio"]), elem_id="about")
        self.missing = gr.HTML(note, visible=bool(note))
        self.train = gr.Button("Train the reference models", visible=lacking)
        with gr.Accordion("Arguments of the method", open=False):
            self.arguments = build_form(self.task, self.backbone, self.method, self._hide_when_changed)
        with gr.Row():
            self.go = gr.Button("Unlearn and judge", variant="primary", interactive=can_run(menus))
            self.stop = gr.Button("Cancel", interactive=False)
        self.progress, self.current = gr.HTML(elem_id="progress"), gr.Textbox("", visible=False)
        self.outcome = OutcomeView()

    def connect(self, tab: gr.Tab) -> None:
        unlimited = {**UNCHECKED, "concurrency_limit": None}
        current = [self.current, *self.menus]
        controls = [*self.menus, self.missing, self.train, self.go, self.about]
        triggers = [tab.select, self.task.input, self.backbone.input, self.ratio.input]
        gr.on(triggers, self.refresh, current, controls, **LATEST)
        progress = [self.progress, self.current, self.stop]
        inputs = [self.own_runs, *self.menus, self.seed, self.arguments]
        outputs = [*progress, self.train, self.own_runs, *self.outcome.components]
        runs = self.go.click(self.run, inputs, outputs, **unlimited)
        trains = self.train.click(self.train_missing, self.menus, [*progress, self.go], **unlimited)
        for event in (runs, trains):
            event.then(self.refresh, current, controls, **UNCHECKED)
        runs.then(None, js=SHOW_VERDICT, api_visibility="private")
        for each in (*self.menus, self.seed):
            self._hide_when_changed(each)
        self.stop.click(self.end_run, self.current, None, **QUIET)
        self.outcome.connect(tab, self.own_runs)

    def _hide_when_changed(self, entry: Any) -> None:
        """Let a change of the form hide the result, which is not that of the form any more."""
        entry.input(self.outcome.hide, None, self.outcome.column, **LATEST)

    @report_errors
    def refresh(self, current: Any, *values: Any) -> list[Any]:
        """Return menus whose choices fit each other, and enable the buttons that can be used now."""
        idle = str(current) not in POOL.list_unfinished()
        menus = choices.menu_choices(*values)
        chosen, note, lacking = menus["chosen"], setting_note(menus), lacks_references(menus)
        lists = (menus["tasks"], menus["backbones"], _ratio_choices(menus), menus["methods"])
        return [
            *map(update_menu, lists, (chosen[name] for name in ("task", "backbone", "ratio", "method")), values),
            gr.update(value=note, visible=bool(note)),
            gr.update(visible=lacking, interactive=idle),
            gr.update(interactive=idle and can_run(menus)),
            render_task(chosen["task"], chosen["ratio"]),
        ]

    def show_progress(self, now: Status, other: gr.Button) -> dict[Any, Any]:
        """Return the update for a job's status; the button of the other kind of job is disabled until it has ended."""
        buttons = {self.stop: gr.update(interactive=not now.is_over), other: gr.update(interactive=now.is_over)}
        return {self.progress: render_progress(now), self.current: now.run, **buttons}

    @report_errors
    async def run(self, request: gr.Request, own: Any, *values: Any) -> AsyncIterator[Any]:
        """Run a method, and show its progress and its outcome."""
        choice = dict(zip(("task", "backbone", "ratio", "method", "seed", "arguments"), values, strict=True))
        choice["arguments"] = entered_values(choice["arguments"], choice["method"])
        job = await asyncio.to_thread(start, visitor(request), **choice)
        yield self.outcome.hide()
        async for now in follow(job.name):
            update = self.show_progress(now, self.train)
            if now.state == "finished":
                update |= await asyncio.to_thread(self.outcome.show, job.name)
                update[self.own_runs] = add_run(own, job.name)
            yield update

    @report_errors
    async def train_missing(self, request: gr.Request, *values: Any) -> AsyncIterator[Any]:
        """Train the missing reference models of a setting, and show the progress."""
        job = await asyncio.to_thread(start_references, visitor(request), *values[:3])
        async for now in follow(job.name):
            yield self.show_progress(now, self.go)

    @staticmethod
    @report_errors
    def end_run(name: str) -> None:
        """Cancel the current run."""
        if name:
            cancel(name)
