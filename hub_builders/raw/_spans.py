"""Mentions in a text: the position of their characters, and the text with marks around them."""

from __future__ import annotations

import re
from collections.abc import Sequence

Spans = tuple[tuple[int, int], ...]  # [start, end) of every fragment, in order and disjoint

OFFSETS = re.compile(r"[0-9]{1,9}-[0-9]{1,9}(?:;[0-9]{1,9}-[0-9]{1,9})*", re.ASCII)
# Shifts tried between stated offsets and the text; one mention of the DDI corpus is a character off.
SHIFTS = (0, 1, -1)


def find_fragments(offsets: str, mention: str, text: str) -> Spans:
    """Return the fragments of a mention: at its offsets, or one character beside them if it is spelled there.

    Args:
        offsets: First and last character, such as ``3-9``, or those of each fragment, such as ``3-9;15-21``.
        mention: Spelling; only white space may differ from the text.
        text: The text.

    Raises:
        ValueError: If the offsets are malformed or outside the text, or the mention is not there.
    """
    spans = _parse_offsets(offsets, len(text))
    if not _without_spaces(mention):
        raise ValueError(f"expected the spelling of the mention at {offsets}, got {mention!r}")
    for shift in SHIFTS:
        moved = tuple((start + shift, end + shift) for start, end in spans)
        inside = moved[0][0] >= 0 and moved[-1][1] <= len(text)
        if inside and _without_spaces("".join(text[start:end] for start, end in moved)) == _without_spaces(mention):
            return moved
    raise ValueError(f"expected {mention!r} at {offsets}, got {' '.join(text[start:end] for start, end in spans)!r}")


def _parse_offsets(offsets: str, size: int) -> Spans:
    if not OFFSETS.fullmatch(offsets):
        raise ValueError(f"expected offsets such as 3-9 or 3-9;15-21, got {offsets!r}")
    pairs = sorted(tuple(map(int, part.split("-"))) for part in offsets.split(";"))
    spans = tuple((first, last + 1) for first, last in pairs)
    ends = [0, *(end for _, end in spans)]
    if not all(end <= start < stop <= size for end, (start, stop) in zip(ends, spans, strict=False)):
        raise ValueError(f"expected disjoint fragments within {size} characters, got {offsets!r}")
    return spans


def _without_spaces(text: str) -> str:
    return "".join(text.split())


def insert_marks(text: str, mentions: Sequence[Spans], names: Sequence[str]) -> str:
    """Return a text with every fragment of every mention between ``[NAME] `` and `` [/NAME]``.

    Of fragments that start together the longer one is opened first; of those that end together the last one opened is
    closed first; of equal ones the first mention's encloses the other.

    Args:
        text: The text.
        mentions: Fragments of each mention; those of different mentions may overlap.
        names: Mark name of each mention.

    Raises:
        ValueError: If the text already contains such marks.
    """
    if held := [name for name in names if f"[{name}]" in text or f"[/{name}]" in text]:
        raise ValueError(f"expected a text without marks, got {held[0]} in {text!r}")
    cuts = []
    for order, (spans, name) in enumerate(zip(mentions, names, strict=True)):
        for start, end in spans:
            # At one position, fragments that end there come before those that start there.
            cuts.append((end, 0, -start, -order, f" [/{name}]"))
            cuts.append((start, 1, -end, order, f"[{name}] "))
    done, parts = 0, []
    for place, *_, mark in sorted(cuts):
        parts += [text[done:place], mark]
        done = place
    return "".join([*parts, text[done:]])
