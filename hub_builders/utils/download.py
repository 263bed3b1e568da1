"""One file over HTTP, whole or not at all; the caller checks its hash."""

from __future__ import annotations

import http.client
import urllib.request

TIMEOUT_S = 60


def download(url: str, max_bytes: int, instead: str) -> bytes:
    """Return the content of a URL.

    Args:
        url: Address of the file.
        max_bytes: Number of bytes after which reading stops.
        instead: What the user can do if the download fails, for the message.

    Raises:
        FileNotFoundError: If the download fails; the message says why, and what to do instead.
    """
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            data: bytes = response.read(max_bytes)
            return data
    except (OSError, http.client.HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        name = url.rpartition("/")[2]
        raise FileNotFoundError(
            f"expected {name} from {url}, got no complete response ({reason}); {instead}"
        ) from error
