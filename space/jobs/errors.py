"""Error messages for visitors: user mistakes in one line, other errors in the log only, never a path of the server."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from mubench.trainers.engine.errors import NonFiniteError, TooLittleMemoryError

USER_ERRORS = (ValueError, FileNotFoundError, NonFiniteError, TooLittleMemoryError)
INTERNAL_ERROR = "internal error: the server has logged it"
HIDDEN_PATH = "a file on the server"
# Relative paths inside the served folder.
_SERVED = re.compile(r"(?<![\w./-])(?:\.work|models|mu-bench[\w-]*|results|runs)/[\w.,+@=~/-]*[\w~/]")


def error_message(error: BaseException) -> str:
    """Return an error as one line without paths; an error that is no user mistake is logged and not described."""
    by_system = isinstance(error, OSError) and error.errno is not None
    if not isinstance(error, USER_ERRORS) or by_system:
        logging.getLogger(__name__).error("a job or a handler failed", exc_info=error)
        return INTERNAL_ERROR
    text = " ".join(str(error).split())
    for root in (Path.cwd(), Path(__file__).parents[2], Path.home()):
        text = re.sub(rf"{re.escape(str(root))}(?:/[\w.,+@=~/-]*[\w~/])?", HIDDEN_PATH, text)
    return _SERVED.sub(HIDDEN_PATH, text)
