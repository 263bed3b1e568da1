"""The page: its tabs, its theme, and the server."""

from __future__ import annotations

import os
from pathlib import Path

import gradio as gr
from api import add_endpoints
from handlers.choices import built_tasks
from handlers.runs import remove_old_runs
from limits import SizeLimit
from tabs.board_tab import build_board_tab
from tabs.compare_tab import build_compare_tab
from tabs.explore_tab import build_explore_tab
from tabs.try_out_tab import TryOutTab

TITLE = "mubench: machine unlearning, judged against retraining"
STYLE = Path(__file__).with_name("style.css")
# Of the fonts that gradio ships these are complete; the semi-bold of its default theme lacks most letters.
FONT, MONO = (gr.themes.LocalFont(name, weights=(400, 700)) for name in ("Source Sans Pro", "IBM Plex Mono"))
THEME = gr.themes.Default(font=[FONT, "sans-serif"], font_mono=[MONO, "monospace"])
# Concurrent requests, other than runs, which have a queue of their own.
CONCURRENCY = 8
MAX_UPLOAD = "250kb"
# Requests in gradio's queue.
QUEUE_SIZE = 256
# Most recent sessions whose field values stay in memory, 0.7 MB each.
SESSIONS = 64


def build() -> gr.Blocks:
    """Lay out the page; raises ``FileNotFoundError`` if no task is built."""
    if not built_tasks():
        raise FileNotFoundError("expected tasks in ./mu-bench, got none; make them with: make data bases")
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 86400)) as page:
        gr.Markdown(f"# {TITLE}")
        own_runs = gr.BrowserState([], storage_key="mubench-runs", secret="mubench")
        with gr.Tab("Try out") as tab:
            TryOutTab(own_runs).connect(tab)
        with gr.Tab("Compare") as tab:
            build_compare_tab(tab, own_runs)
        with gr.Tab("Leaderboard") as tab:
            build_board_tab(tab, own_runs)
        with gr.Tab("Data explorer") as tab:
            build_explore_tab(tab)
        add_endpoints()
    return page.queue(max_size=QUEUE_SIZE, default_concurrency_limit=CONCURRENCY)


def serve() -> None:
    """Serve the page: on the Hub publicly, elsewhere on this machine only."""
    remove_old_runs()
    build().launch(
        server_name="0.0.0.0" if "SPACE_ID" in os.environ else "127.0.0.1",
        theme=THEME,
        css_paths=[STYLE],
        footer_links=["api"],
        max_file_size=MAX_UPLOAD,
        app_kwargs={"middleware": [(SizeLimit, (), {})]},
        ssr_mode=False,
        run_history=False,  # gradio would store a visitor's calls in the browser, or in a bucket on the Hub
        state_session_capacity=SESSIONS,
    )
