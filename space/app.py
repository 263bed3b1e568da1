"""The Space's layout: ``python space/app.py``, where mu-bench, models and results lie, serves it on 127.0.0.1."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
import handlers
import worker

from mubench.cards.formats import HEAD, LEGEND
from mubench.hub_builders.cli import guarded

TITLE = "mubench: machine unlearning, judged against retraining"
# Of the fonts that gradio ships these are whole; the semi-bold of its default theme lacks most letters.
FONT, MONO = (gr.themes.LocalFont(name, weights=(400, 700)) for name in ("Source Sans Pro", "IBM Plex Mono"))
THEME = gr.themes.Default(font=[FONT, "sans-serif"], font_mono=[MONO, "monospace"])
PROGRESS = gr.Progress()
Find = Callable[[], Collection[handlers.Choice]]


@contextmanager
def one_line() -> Iterator[None]:
    """Show a person's mistake as one line."""
    try:
        yield
    except (ValueError, FileNotFoundError, ArithmeticError, RuntimeError) as error:
        raise gr.Error(" ".join(str(error).split()), print_exception=False) from error


def _menus(options: Collection[handlers.Choice], *labels: str) -> list[gr.Dropdown]:
    with gr.Row():
        lists, choice = handlers.narrow(list(options), next(iter(options)))
        return [gr.Dropdown(c, value=v, label=w) for c, v, w in zip(lists, choice, labels, strict=True)]


def _follow(tab: gr.Tab, menus: list[Any], find: Find, show: Callable[..., Iterable[Any]], **event: Any) -> None:
    """Keep menus to what exists and show what is chosen, when the tab opens and when a choice is made."""

    @one_line()
    def refresh(*chosen: str) -> list[Any]:
        lists, choice = handlers.narrow(list(find()), chosen)
        return [*(gr.update(choices=c, value=v) for c, v in zip(lists, choice, strict=True)), *show(*choice)]

    triggers = [tab.select, *(menu.input for menu in menus)]
    event["outputs"] = [*menus, *event.get("outputs", [])]
    gr.on(triggers, refresh, menus, preprocess=False, **event)  # checked here: gradio knows the first lists only


def _leaderboard(tab: gr.Tab) -> None:
    menus = _menus(handlers.boards(), "Task", "Backbone", "Deleted")
    words = gr.Markdown()
    table = gr.Dataframe(headers=list(HEAD), label="Ranked by the lower end of S's interval", interactive=False)
    gr.Markdown("\n".join(LEGEND))
    picture = gr.Image(label="S against cost", format="png", interactive=False, buttons=["download", "fullscreen"])
    outputs = [words, table, picture]
    _follow(tab, menus, handlers.boards, handlers.board, outputs=outputs, api_name="leaderboard")


def _try_out(tab: gr.Tab) -> None:
    menus = _menus(handlers.settings(), "Task", "Backbone", "Ratio (% deleted)", "Method")
    seed = gr.Number(0, label="Seed", precision=0, minimum=0)
    button = gr.Button("Unlearn and judge", variant="primary")
    words = gr.Markdown(min_height=90)
    with gr.Column(visible=False) as outcome:
        table = gr.Dataframe(headers=list(handlers.OUTCOME_HEAD), label="Beside base and retrained", interactive=False)
        command = gr.Code(language="shell", label="The same run on the command line", lines=1, interactive=False)

    @one_line()
    def run(  # noqa: PLR0917  (the API's names; gradio hands over its progress by position)
        task: str, backbone: str, ratio: str, method: str, seed: float, progress: gr.Progress = PROGRESS
    ) -> Iterable[Any]:
        def tell(done: int, words: str) -> None:
            progress((done, handlers.STEPS), desc=words)

        return handlers.try_out(str(task), str(backbone), str(ratio), str(method), seed, tell=tell)

    _follow(tab, menus, handlers.settings, lambda *_: [], api_visibility="private", show_progress="hidden")
    options: dict[str, Any] = {"api_name": "try_out", "preprocess": False, "show_progress_on": words}
    done = button.click(run, [*menus, seed], [words, table, command], concurrency_limit=1, **options)
    done.success(lambda: gr.Column(visible=True), None, outcome, api_visibility="private")


def _data(tab: gr.Tab) -> None:
    menus = _menus(handlers.configs(), "Task", "Ratio (% deleted)")
    words = gr.Markdown()
    counts = gr.Dataframe(headers=["split", "rows"], label="Rows per split", interactive=False)
    pictures = gr.Gallery(label="Some forget rows", columns=6, buttons=[], interactive=False)
    texts = gr.Dataframe(
        headers=["label", "text"], interactive=False, label="Some forget rows", wrap=True, column_widths=["10%", "90%"]
    )
    code = gr.Code(language="python", label="Load it", lines=3, interactive=False)

    def show(task: str, ratio: str) -> list[Any]:
        rows = handlers.config_rows(task, ratio)
        samples = [gr.update(value=some, visible=bool(some)) for some in (rows.pictures, rows.texts)]
        return [rows.words, rows.counts, *samples, rows.code]

    _follow(tab, menus, handlers.configs, show, outputs=[words, counts, pictures, texts, code], api_name="data")


def build() -> gr.Blocks:
    """Lay out a tab for everything that is there; raise ``FileNotFoundError`` if nothing is."""
    tabs = {"Leaderboard": (handlers.boards, _leaderboard), "Try out": (handlers.settings, _try_out)}
    filled = {name: fill for name, (find, fill) in {**tabs, "Data": (handlers.configs, _data)}.items() if find()}
    if not filled:
        raise FileNotFoundError("expected mu-bench, models or results here, got none; make them with: make demo")
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.Markdown(f"# {TITLE}")
        for name, fill in filled.items():
            with gr.Tab(name) as tab:
                fill(tab)
    return page


def main() -> None:
    """Serve the Space."""
    page = build()
    worker.start()
    page.launch(server_name="127.0.0.1", theme=THEME, footer_links=["api"])


if __name__ == "__main__":
    sys.exit(guarded(main))
