"""The page: its tabs, its looks, and how it is served."""

from __future__ import annotations

import os
from pathlib import Path

import gradio as gr
from api import endpoints
from handlers.choices import built
from handlers.runs import tidy
from limits import SizeLimit
from tabs.board_tab import board
from tabs.compare_tab import compare
from tabs.explore_tab import explore
from tabs.try_out_tab import TryOut

TITLE = "mubench: machine unlearning, judged against retraining"
STYLE = Path(__file__).with_name("style.css")
# Of the fonts that gradio ships these are whole; the semi-bold of its default theme lacks most letters.
FONT, MONO = (gr.themes.LocalFont(name, weights=(400, 700)) for name in ("Source Sans Pro", "IBM Plex Mono"))
THEME = gr.themes.Default(font=[FONT, "sans-serif"], font_mono=[MONO, "monospace"])
# How many may read at once; runs have a queue of their own.
READERS = 8
LARGEST_FILE = "250kb"
# How many may wait for an answer.
WAITING = 256
# Of how many visitors, the last to act, the fields of their page are kept in memory, 0.7 MB each.
SESSIONS = 64


def build() -> gr.Blocks:
    """Lay out the page; raise ``FileNotFoundError`` if there are no data to show."""
    if not built():
        raise FileNotFoundError("expected tasks in ./mu-bench, got none; make them with: make data bases")
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.Markdown(f"# {TITLE}")
        mine = gr.BrowserState([], storage_key="mubench-runs", secret="mubench")
        with gr.Tab("Try out") as tab:
            TryOut(mine).connect(tab)
        with gr.Tab("Compare") as tab:
            compare(tab, mine)
        with gr.Tab("Leaderboard") as tab:
            board(tab, mine)
        with gr.Tab("Data explorer") as tab:
            explore(tab)
        endpoints()
    return page.queue(max_size=WAITING, default_concurrency_limit=READERS)


def serve() -> None:
    """Serve the page, on the Hub to everybody and elsewhere to this machine."""
    tidy()
    build().launch(
        server_name="0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1",
        theme=THEME,
        css_paths=[STYLE],
        footer_links=["api"],
        max_file_size=LARGEST_FILE,
        app_kwargs={"middleware": [(SizeLimit, (), {})]},
        ssr_mode=False,
        run_history=False,  # gradio would keep in the browser, or in a bucket on the Hub, what a visitor did
        state_session_capacity=SESSIONS,
    )
