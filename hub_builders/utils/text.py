"""Text files decoded strictly, and text quoted in messages."""

from __future__ import annotations

QUOTED_LENGTH = 40


def quote(text: str) -> str:
    """Return a text in quotes for a message: on one line, cut after 40 characters."""
    return repr(text if len(text) <= QUOTED_LENGTH else f"{text[:QUOTED_LENGTH]}...")


def decode_text(data: bytes, where: str, *, encoding: str = "utf-8", fallback: str | None = None) -> str:
    """Decode the bytes of a text file.

    Args:
        data: The bytes.
        where: Name of the file in messages.
        encoding: Its encoding; ``utf-8-sig`` is UTF-8 perhaps with a byte order mark.
        fallback: Single-byte encoding for other bytes.

    Raises:
        ValueError: If the encoding is another and there is no fallback.
    """
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if fallback is not None:
            return data.decode(fallback)
        name = encoding.removesuffix("-sig").upper()
        raise ValueError(f"expected {name} text, got other bytes: {where}") from error
