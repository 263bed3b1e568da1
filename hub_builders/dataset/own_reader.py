"""Rows that a user's Python file yields. Any fault of its code is one line that names the place."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from mubench.hub_builders.dataset.task_file import Reader
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
        function = getattr(_run_code(reader), reader.function, None)
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


def _run_code(reader: Reader) -> ModuleType:
    """Run the code as a module; no cache of compiled code, which may be that of another version."""
    module = ModuleType(f"mubench_reader_{reader.sha256[:16]}")
    module.__file__ = str(reader.path)
    sys.modules[module.__name__] = module  # where dataclasses and pickle look for what it defines
    exec(compile(reader.code, str(reader.path), "exec"), module.__dict__)
    return module


@contextmanager
def _explain_fault(wanted: str, path: Path) -> Iterator[None]:
    """Turn what a user's code raises into one line, with the line of the file that raised it."""
    try:
        yield
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        got = f"{type(error).__name__}: {text}{f' (line {line})' if line else ''}"
        raise ValueError(f"expected {wanted}, got {one_line(got)}") from error
