"""The page: its tabs, its theme, and the server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gradio as gr
from api import add_endpoints
from handlers.runs import remove_old_runs
from jobs.pool import POOL
from request_guard import (
    Guard,
    Messages,
    SizeLimit,
    hosts_from_environment,
    log_failure,
    proxies_from_environment,
    without_empty_session,
)
from tabs.board_tab import build_board_tab
from tabs.compare_tab import build_compare_tab
from tabs.explore_tab import build_explore_tab
from tabs.try_out_tab import TryOutTab

TITLE = "mubench: machine unlearning, judged against retraining"
STYLE = Path(__file__).with_name("style.css")
# Of the fonts that gradio ships these are complete; the semi-bold of its default theme lacks most letters.
FONT, MONO = (gr.themes.LocalFont(name, weights=(400, 700)) for name in ("Source Sans Pro", "IBM Plex Mono"))
# gradio's own colours of small print and of the main button are too pale to be read (WCAG AA: contrast of 4.5).
THEME = gr.themes.Default(font=[FONT, "sans-serif"], font_mono=[MONO, "monospace"]).set(
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_400",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_hover_dark="*primary_800",
)
BAD_CALL = "expected a function of this page and its values, got others"
# Concurrent calls of a function, other than runs, which have a queue of their own: each slows all other responses.
CONCURRENCY = 2
# Requests in gradio's queue.
QUEUE_SIZE = 256
# Most recent sessions whose field values stay in memory, 0.7 MB each.
SESSIONS = 64
# How often downloads are removed from gradio's cache, and their age then, in seconds.
DELETE_CACHE = (600, 3600)
PUBLIC, LOCAL = "0.0.0.0", "127.0.0.1"


class Page(gr.Blocks):
    """A page that refuses calls that it does not offer, or with values of another number or type, in one line."""

    async def process_api(self, *args: Any, **kwargs: Any) -> Any:
        """Run a function; handlers describe their own errors, so that any other one is gradio's, about its values."""
        try:
            return await super().process_api(*args, **kwargs)
        except gr.Error as error:
            error.print_exception = False
            raise
        except Exception as error:
            log_failure("a call", error)
            raise gr.Error(BAD_CALL, print_exception=False) from error

    def validate_inputs(self, block_fn: Any, inputs: list[Any]) -> None:
        """Raise if an endpoint gets more or fewer values than it has, or a handler of the page fewer."""
        needed, got = len(block_fn.inputs), len(inputs)
        if got < needed or (got > needed and block_fn.api_visibility == "public"):
            raise gr.Error(f"expected {needed} values for {block_fn.name}, got {got}", print_exception=False)


def build() -> gr.Blocks:
    """Lay out the page; raises ``FileNotFoundError`` if no task is built."""
    with Page(title=TITLE, analytics_enabled=False, delete_cache=DELETE_CACHE) as page:
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
    page.queue(max_size=QUEUE_SIZE, default_concurrency_limit=CONCURRENCY, api_open=False)
    page._queue.pending_messages_per_session = Messages()
    page._queue.push = without_empty_session(page._queue.push)
    return page


def serve() -> None:
    """Serve the page: on the Hub publicly, elsewhere on this machine only, or what proxies pass on to it.

    Raises:
        ValueError: If ``MUBENCH_PROXIES`` is no number, or ``MUBENCH_HOSTS`` holds no names of hosts.
    """
    is_public = "SPACE_ID" in os.environ
    proxies = proxies_from_environment(1 if is_public else 0)
    guarding = {"is_local": not is_public, "proxies": proxies, "hosts": hosts_from_environment()}
    POOL.one_each = proxies > 0 or is_public
    remove_old_runs()
    page = build()
    page.launch(
        server_name=PUBLIC if is_public else LOCAL,
        theme=THEME,
        css_paths=[STYLE],
        footer_links=["api"],
        app_kwargs={"middleware": [(Guard, (), guarding), (SizeLimit, (), {})]},
        ssr_mode=False,
        run_history=False,  # gradio would store a visitor's calls in the browser, or in a bucket on the Hub
        state_session_capacity=SESSIONS,
        prevent_thread_lock=True,
    )
    POOL.start()  # now that the server listens: on a busy machine, its start would wait for the workers' imports
    page.block_thread()
