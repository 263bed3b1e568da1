"""What a visitor is told of an error: their mistake in one line, ours without a word, and never where things lie."""

from __future__ import annotations

import logging
import re

from mubench.hub_builders.memory import TooLittleMemoryError
from mubench.hub_builders.terms import NonFiniteError

MISTAKES = (ValueError, FileNotFoundError, NonFiniteError, TooLittleMemoryError)
OURS = "something went wrong here, not with you"
# A file of the folder that is served, or of any other.
_PLACE = re.compile(r"(?<![\w./-])(?:(?:models|results|runs)/|/|~/)[\w./~-]+")


def told(error: BaseException) -> str:
    """Return what is said of an error; what is not a visitor's mistake goes to the log."""
    by_system = isinstance(error, OSError) and error.errno is not None
    if not isinstance(error, MISTAKES) or by_system:
        logging.getLogger(__name__).error("something failed", exc_info=error)
        return OURS
    return _PLACE.sub("a file here", " ".join(str(error).split()))
