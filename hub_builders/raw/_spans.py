"""Mentions in a text: where their characters are, and the text with marks around them."""

from __future__ import annotations

import re
from collections.abc import Sequence

Spans = tuple[tuple[int, int], ...]  # [start, end) of every fragment, in order and apart

OFFSETS = re.compile(r"[0-9]{1,9}-[0-9]{1,9}(?:;[0-9]{1,9}-[0-9]{1,9})*", re.ASCII)
# How far a mention may lie from the offsets that are stated for it; the DDI corpus has one that is a character off.
SHIFTS = (0, 1, -1)


def located(offsets: str, mention: str, text: str) -> Spans:
    """Return the fragments of a mention: where its offsets say, or a character beside if it is spelled there.

    Args:
        offsets: Its first and last characters, such as ``3-9``, or of each fragment, such as ``3-9;15-21``.
        mention: Its spelling; only white space may differ from the text.
        text: The text.

    Raises:
        ValueError: If these are no offsets within the text, or the mention is not there.
    """
    spans = _parsed(offsets, len(text))
    if not _letters(mention):
        raise ValueError(f"expected the spelling of what is at {offsets}, got {mention!r}")
    for shift in SHIFTS:
        moved = tuple((start + shift, end + shift) for start, end in spans)
        inside = moved[0][0] >= 0 and moved[-1][1] <= len(text)
        if inside and _letters("".join(text[start:end] for start, end in moved)) == _letters(mention):
            return moved
    raise ValueError(f"expected {mention!r} at {offsets}, got {' '.join(text[start:end] for start, end in spans)!r}")


def _parsed(offsets: str, size: int) -> Spans:
    if not OFFSETS.fullmatch(offsets):
        raise ValueError(f"expected offsets such as 3-9 or 3-9;15-21, got {offsets!r}")
    pairs = sorted(tuple(map(int, part.split("-"))) for part in offsets.split(";"))
    spans = tuple((first, last + 1) for first, last in pairs)
    ends = [0, *(end for _, end in spans)]
    if not all(end <= start < stop <= size for end, (start, stop) in zip(ends, spans, strict=False)):
        raise ValueError(f"expected fragments that lie apart within {size} characters, got {offsets!r}")
    return spans


def _letters(text: str) -> str:
    return "".join(text.split())


def marked(text: str, mentions: Sequence[Spans], names: Sequence[str]) -> str:
    """Return a text with every fragment of every mention between ``[NAME] `` and `` [/NAME]``.

    Where fragments begin together the longer one is opened first, where they end together the one opened last is
    closed first, and of equal ones that of the first mention is around the other. Without the marks it is the text.

    Args:
        text: The text.
        mentions: Fragments of each mention; those of different mentions may overlap in any way.
        names: Name of each mention's marks.

    Raises:
        ValueError: If the text has such marks already.
    """
    if held := [name for name in names if f"[{name}]" in text or f"[/{name}]" in text]:
        raise ValueError(f"expected a text without marks, got {held[0]} in {text!r}")
    cuts = []
    for order, (spans, name) in enumerate(zip(mentions, names, strict=True)):
        for start, end in spans:
            # At one place: what ends there comes first, then what begins there.
            cuts.append((end, 0, -start, -order, f" [/{name}]"))
            cuts.append((start, 1, -end, order, f"[{name}] "))
    done, parts = 0, []
    for place, *_, mark in sorted(cuts):
        parts += [text[done:place], mark]
        done = place
    return "".join([*parts, text[done:]])
