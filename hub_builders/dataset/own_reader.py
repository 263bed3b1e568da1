"""Rows that a user's Python file yields; an exception in its code becomes a one-line error with file and line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mubench.hub_builders.dataset.task_file import Reader
from mubench.hub_builders.dataset.user_code import describe_error, run_code
from mubench.hub_builders.utils.text import one_line, quote

_END = object()


def run_reader(reader: Reader) -> Iterator[Any]:
    """Yield what the user's function yields.

    This runs the user's code, which is why only ``--task_file`` names such a file.

    Raises:
        ValueError: If there is no such function, or its code raises.
    """
    where = f"{reader.path.name}:{reader.function}"
    with _explain_fault(f"rows by column from {where}", reader.path):
        function = getattr(run_code(reader.path, reader.code), reader.function, None)
    if not callable(function):
        raise ValueError(f"expected a function {reader.function} in {reader.path}, got none")  # noqa: TRY004
    with _explain_fault(f"rows by column from {where}", reader.path):
        found = function()
    if not isinstance(found, Iterable):
        raise ValueError(f"expected rows by column from {where}, got {quote(found)}")  # noqa: TRY004
    with _explain_fault(f"rows by column from {where}", reader.path):
        rows = iter(found)
    while True:
        with _explain_fault(f"rows by column from {where}", reader.path):
            row = next(rows, _END)
        if row is _END:
            return
        yield row


@contextmanager
def _explain_fault(wanted: str, path: Path) -> Iterator[None]:
    """Turn what a user's code raises into one line, with the line of the file that raised it."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raise ValueError(f"expected {wanted}, got {one_line(describe_error(error, path))}") from error
