"""What the tabs share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from handlers.runs import REMEMBERED
from jobs.errors import told


def _told(error: Exception) -> gr.Error:
    return error if isinstance(error, gr.Error) else gr.Error(told(error), print_exception=False)


def one_line(function: Callable[..., Any]) -> Callable[..., Any]:
    """Show a person's mistake as one line; any other error is ours, and goes to the log."""
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def stream(*args: Any, **kwargs: Any) -> Any:
            try:
                async for value in function(*args, **kwargs):
                    yield value
            except Exception as error:
                raise _told(error) from error

        return stream

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            raise _told(error) from error

    return call


def menu(label: str, choices: Sequence[Any], value: Any, **more: Any) -> gr.Dropdown:
    """Return a list to choose from."""
    return gr.Dropdown(list(choices), value=value, label=label, min_width=150, **more)


def offered(choices: Sequence[Any], value: Any, picked: Any) -> Any:
    """Return new lines for a menu, and a new choice only if the picked one gives way: another may be picked by now."""
    return gr.update(choices=list(choices)) if value == picked else gr.update(choices=list(choices), value=value)


def remembered(names: Any, name: str) -> list[str]:
    """Return the runs that a browser remembers, with one more, the newest first."""
    older = [each for each in names or [] if isinstance(each, str) and each != name]
    return [name, *older][:REMEMBERED]


# Handlers check what they are given, since menus change after gradio has learnt their first choices.
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
UNCHECKED: dict[str, Any] = {**QUIET, "preprocess": False}
# For what is chosen: a choice that is made while an older one is being answered is answered next, and not dropped.
LATEST: dict[str, Any] = {**UNCHECKED, "trigger_mode": "always_last"}
