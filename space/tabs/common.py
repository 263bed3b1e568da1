"""Helpers that several tabs share."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr
from handlers.runs import BROWSER_RUNS
from jobs.errors import error_message

# Handlers check their own input, since menus change after gradio has recorded their first choices.
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
UNCHECKED: dict[str, Any] = {**QUIET, "preprocess": False}
# A choice made during the response to an older one is handled next, and not dropped.
LATEST: dict[str, Any] = {**UNCHECKED, "trigger_mode": "always_last"}


@contextlib.contextmanager
def _convert_errors() -> Iterator[None]:
    try:
        yield
    except gr.Error:
        raise
    except Exception as error:
        raise gr.Error(error_message(error), print_exception=False) from error


def report_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Show a user's mistake as one line; any other error goes to the log."""
    if not inspect.isasyncgenfunction(function):
        return _convert_errors()(function)

    @functools.wraps(function)
    async def stream(*args: Any, **kwargs: Any) -> Any:
        with _convert_errors():
            async for value in function(*args, **kwargs):
                yield value

    return stream


def visitor(request: gr.Request) -> str:
    """Return the address of a visitor, which `request_guard` takes from the connection or a trusted proxy."""
    return str(request.client.host)


def heading(title: str, text: str = "") -> None:
    """Lay out a heading, and a sentence below it."""
    gr.Markdown(f"## {title}\n{text}", elem_classes="mu-heading")


def panel(title: str, **more: Any) -> gr.HTML:
    """Lay out a column with a heading, and return the component below it."""
    with gr.Column(min_width=300):
        heading(title)
        return gr.HTML(**more)


def menu(label: str, choices: Sequence[Any], value: Any, info: str) -> gr.Dropdown:
    """Return a dropdown menu with a sentence about what is chosen."""
    return gr.Dropdown(list(choices), value=value, label=label, info=info, min_width=150)


def update_menu(choices: Sequence[Any], value: Any, current: Any) -> Any:
    """Return new choices for a menu, and a new value only if it differs: the visitor may have changed it since."""
    return gr.update(choices=list(choices), **({} if value == current else {"value": value}))


def add_run(names: Any, name: str) -> list[str]:
    """Return the runs in a browser's list with one more, the newest first."""
    older = [each for each in names or [] if isinstance(each, str) and each != name]
    return [name, *older][:BROWSER_RUNS]
