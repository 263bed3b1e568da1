"""Try out: a choice of setting, method and arguments, the run as it goes, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from html import escape
from typing import Any

import gradio as gr
from charts.progress import progress_shown
from handlers import choices
from handlers.try_out import Choice, Status, cancel, is_going, start, start_references, status

from tabs.common import LATEST, QUIET, UNCHECKED, menu, offered, one_line, remembered
from tabs.form import form, given
from tabs.outcome_view import Outcome

ASK_EVERY_S = 0.4
LACKS = {
    0: "No base or no retrained model here yet, so there is nothing to set a run beside.",
    1: "One retrained model here: a run is set beside it, but S needs two.",
}
TAKES = "Train what is missing here, which takes some minutes and keeps what is there, or with:"


async def follow(name: str) -> AsyncIterator[Status]:
    """Yield how far a job is until it is over."""
    while True:
        now = status(name)
        yield now
        if now.over:
            return
        await asyncio.sleep(ASK_EVERY_S)


def _ratio_choices(ratios: dict[int, int]) -> list[tuple[str, str]]:
    notes = {0: " (no reference yet)", 1: " (no score yet)"}
    return [(f"{ratio} %{notes.get(count, '')}", str(ratio)) for ratio, count in ratios.items()]


def _lacks(count: int, chosen: dict[str, str]) -> str:
    """Say in one line what a setting lacks and how it is made; nothing where it lacks nothing."""
    if count not in LACKS:
        return ""
    command = choices.making(chosen["task"], chosen["backbone"], chosen["ratio"])
    return f'<p class="mu-note" role="status">{LACKS[count]} {TAKES} <code>{escape(command)}</code></p>'


class TryOut:
    """The tab: menus, form and buttons above, a run's outcome below.

    Args:
        mine: The runs that the browser remembers.
    """

    def __init__(self, mine: gr.BrowserState) -> None:
        self.mine = mine
        first = choices.narrowed(None, None, None, None)
        chosen, count = first["chosen"], first["ratios"][int(first["chosen"]["ratio"])]
        with gr.Row():
            self.task = menu("Task", first["tasks"], chosen["task"])
            self.backbone = menu("Backbone", first["backbones"], chosen["backbone"])
            self.ratio = menu("Deleted rows", _ratio_choices(first["ratios"]), chosen["ratio"])
            self.method = menu("Method", first["methods"], chosen["method"])
            self.seed = gr.Number(0, label="Seed", precision=0, minimum=0, min_width=100)
        self.menus = [self.task, self.backbone, self.ratio, self.method]
        self.lacks = gr.HTML(_lacks(count, chosen), visible=count in LACKS)
        self.train = gr.Button("Train the reference models", visible=count in LACKS)
        with gr.Accordion("Arguments of the method", open=False):
            self.kept = form(self.task, self.backbone, self.method)
        with gr.Row():
            self.go = gr.Button("Unlearn and judge", variant="primary", interactive=count > 0)
            self.stop = gr.Button("Cancel", interactive=False)
        self.told, self.current = gr.HTML(elem_id="told"), gr.Textbox("", visible=False)
        self.outcome = Outcome()

    def connect(self, tab: gr.Tab) -> None:
        """Say what the parts do."""
        follows = {**UNCHECKED, "concurrency_limit": None}
        after = [*self.menus, self.lacks, self.train, self.go]
        triggers = [tab.select, self.task.input, self.backbone.input, self.ratio.input]
        seen = [self.current, *self.menus]
        gr.on(triggers, self.refresh, seen, after, **LATEST)
        live = [self.told, self.current, self.stop]
        inputs = [self.mine, *self.menus, self.seed, self.kept]
        ran = self.go.click(self.run, inputs, [*live, self.train, self.mine, *self.outcome.parts], **follows)
        trained = self.train.click(self.references, self.menus, [*live, self.go], **follows)
        for ended in (ran, trained):
            ended.then(self.refresh, seen, after, **UNCHECKED)
        self.stop.click(self.end, self.current, None, **QUIET)
        self.outcome.connect(tab, self.mine)

    @one_line
    def refresh(self, current: Any, *picked: Any) -> list[Any]:
        """Keep the menus to what goes together, and the buttons to what can be done now."""
        idle = not is_going(current)
        lists = choices.narrowed(*picked)
        now, count = lists["chosen"], lists["ratios"][int(lists["chosen"]["ratio"])]
        lines = (lists["tasks"], lists["backbones"], _ratio_choices(lists["ratios"]), lists["methods"])
        return [
            *map(offered, lines, (now[name] for name in ("task", "backbone", "ratio", "method")), picked),
            gr.update(value=_lacks(count, now), visible=count in LACKS),
            gr.update(visible=count in LACKS, interactive=idle),
            gr.update(interactive=idle and count > 0),
        ]

    def progress(self, now: Status, other: gr.Button) -> dict[Any, Any]:
        """Return how far a job is; what would take its place on the page waits until it is over."""
        going = {self.stop: gr.update(interactive=not now.over), other: gr.update(interactive=now.over)}
        return {self.told: progress_shown(now), self.current: now.run, **going}

    @one_line
    async def run(self, request: gr.Request, names: Any, *picked: Any) -> AsyncIterator[Any]:
        """Run a method, and show it as it goes and when it is over."""
        task, backbone, ratio, method, seed, kept = picked
        choice = Choice(task, backbone, ratio, method, seed, given(kept, method))
        job = await asyncio.to_thread(start, str(request.session_hash), choice)
        yield {self.outcome.all: gr.update(visible=False)}  # what is shown is never another run's
        async for now in follow(job.name):
            shown = self.progress(now, self.train)
            if now.state == "finished":
                shown |= await asyncio.to_thread(self.outcome.shown, job.name)
                shown[self.mine] = remembered(names, job.name)
            yield shown

    @one_line
    async def references(self, request: gr.Request, *picked: Any) -> AsyncIterator[Any]:
        """Train what a setting lacks."""
        job = await asyncio.to_thread(start_references, str(request.session_hash), Choice(*picked[:3]))
        async for now in follow(job.name):
            yield self.progress(now, self.go)

    @staticmethod
    @one_line
    def end(name: str) -> None:
        """End the run that is going on."""
        if name:
            cancel(name)
