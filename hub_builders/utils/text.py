"""Text files decoded strictly, and text quoted in messages."""

from __future__ import annotations

QUOTED_LENGTH = 40
LINE_LENGTH = 2_000


def quote(value: object) -> str:
    """Return a value for a message, a text in quotes: on one line, cut after 40 characters."""
    text = value if isinstance(value, str) else repr(value)
    short = text if len(text) <= QUOTED_LENGTH else f"{text[:QUOTED_LENGTH]}..."
    return repr(short) if isinstance(value, str) else short


def one_line(message: str) -> str:
    """Return a message as a terminal may print it: one line, control characters escaped, its middle cut."""
    signs = " ".join(message.split())
    line = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in signs)
    half = LINE_LENGTH // 2
    return line if len(line) <= LINE_LENGTH else f"{line[:half]} ... {line[-half:]}"


def count_noun(count: int, noun: str) -> str:
    """Return ``"1 job"`` or ``"2 jobs"``, for nouns whose plural ends in a mere s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


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
