"""A user's Python files: their code as a module, and their errors in one line."""

from __future__ import annotations

import hashlib
import sys
import traceback
from pathlib import Path
from types import ModuleType


def run_code(path: Path, code: bytes) -> ModuleType:
    """Run the code of a file as a module; no cache of compiled code, which may be that of another version.

    Args:
        path: The file, for messages.
        code: Its bytes.

    Raises:
        BaseException: What the code raises.
    """
    module = ModuleType(f"mubench_user_code_{hashlib.sha256(code).hexdigest()[:16]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses and pickle look for what it defines
    try:
        exec(compile(code, str(path), "exec"), module.__dict__)
    except BaseException:
        del sys.modules[module.__name__]
        raise
    return module


def describe_error(error: BaseException, path: Path | None = None) -> str:
    """Return an exception in words, with the line of the file that raised it."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} (line {error.lineno})"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{type(error).__name__}: {error}" + (f" (line {lines[-1]})" if lines else "")
