"""What a visitor is told of an error: their mistake in one line, ours without a word, and never where things lie."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from mubench.trainers.engine.errors import NonFiniteError, TooLittleMemoryError

MISTAKES = (ValueError, FileNotFoundError, NonFiniteError, TooLittleMemoryError)
OURS = "something went wrong here, not with you"
SOMEWHERE = "a file here"
# A file in what is served.
_SERVED = re.compile(r"(?<![\w./-])(?:\.work|models|mu-bench[\w-]*|results|runs)/[\w.,+@=~/-]*[\w~/]")


def told(error: BaseException) -> str:
    """Return what is said of an error; what is not a visitor's mistake goes to the log."""
    by_system = isinstance(error, OSError) and error.errno is not None
    if not isinstance(error, MISTAKES) or by_system:
        logging.getLogger(__name__).error("a job or a handler failed", exc_info=error)
        return OURS
    text = " ".join(str(error).split())
    for root in (Path.cwd(), Path(__file__).parents[2], Path.home()):
        text = re.sub(rf"{re.escape(str(root))}(?:/[\w.,+@=~/-]*[\w~/])?", SOMEWHERE, text)
    return _SERVED.sub(SOMEWHERE, text)
