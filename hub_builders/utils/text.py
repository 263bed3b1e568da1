"""Text files decoded strictly, and text quoted in messages."""

from __future__ import annotations

QUOTED_LENGTH = 40


def quote(value: object) -> str:
    """Return a value for a message, a text in quotes: on one line, cut after 40 characters."""
    text = value if isinstance(value, str) else repr(value)
    short = text if len(text) <= QUOTED_LENGTH else f"{text[:QUOTED_LENGTH]}..."
    return repr(short) if isinstance(value, str) else short


def decode_text(data: bytes, where: str, fallback: str | None = None) -> str:
    """Decode the bytes of a UTF-8 text file.

    Args:
        data: The bytes.
        where: Name of the file in messages.
        fallback: Single-byte encoding for bytes that are not UTF-8.

    Raises:
        ValueError: If the bytes are not UTF-8 and there is no fallback.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if fallback is not None:
            return data.decode(fallback)
        raise ValueError(f"expected UTF-8 text, got other bytes: {where}") from error


def decode_without_bom(data: bytes, where: str) -> str:
    """Decode a UTF-8 text file and drop its byte order mark; errors as of `decode_text`."""
    return decode_text(data, where).removeprefix("\ufeff")
