"""One file from the web, whole or not at all; who asks for it compares its hash."""

from __future__ import annotations

import http.client
import urllib.request

SECONDS = 60


def download(address: str, most_bytes: int, instead: str) -> bytes:
    """Return the bytes at an address, at most so many.

    Args:
        address: Where they are.
        most_bytes: How many are read.
        instead: What to do where they cannot be had.

    Raises:
        FileNotFoundError: If they cannot be had; the message says why, and what to do instead.
    """
    try:
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:
            data: bytes = answer.read(most_bytes)
            return data
    except (OSError, http.client.HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        name = address.rpartition("/")[2]
        raise FileNotFoundError(
            f"expected {name} from {address}, got no whole answer ({reason}); {instead}"
        ) from error
