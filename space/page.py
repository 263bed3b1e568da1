"""The page: its tabs, its theme, and the server with its size limit."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import gradio as gr
from api import add_endpoints
from handlers.runs import remove_old_runs
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
# A longer body is refused before it is parsed.
MAX_BYTES = 1_000_000
# Requests in gradio's queue.
QUEUE_SIZE = 256
# Most recent sessions whose field values stay in memory, 0.7 MB each.
SESSIONS = 64


class SizeLimit:
    """ASGI middleware that responds to a request with too long a body with status 413 and one line."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > MAX_BYTES:
            await self._refuse(send)
        else:
            await self._count(scope, receive, send)

    async def _count(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on until its body exceeds the limit: a chunked body declares no length."""
        read, refused, started = 0, False, False

        async def limited_receive() -> Any:
            nonlocal read, refused
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BYTES:
                refused = True
                return {"type": "http.disconnect"}
            return message

        async def guarded_send(message: Any) -> None:
            nonlocal started
            if started or not refused:  # the application's response to a truncated body is dropped
                started = True
                await send(message)

        try:
            await self.app(scope, limited_receive, guarded_send)
        finally:
            if refused and not started:
                await self._refuse(send)

    async def _refuse(self, send: Any) -> None:
        detail = f"expected a request of at most {MAX_BYTES:,} bytes, got a longer one"
        body = json.dumps({"detail": detail, "error": detail}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def build() -> gr.Blocks:
    """Lay out the page; raises ``FileNotFoundError`` if no task is built."""
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
