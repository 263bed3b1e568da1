"""Tables as plain text with aligned columns, and in markdown."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence


def align_columns(lines: Sequence[Sequence[str]], left: Collection[int] = (0,)) -> list[str]:
    """Return a line of text for every line of cells.

    Args:
        lines: Cells, equally many in each line.
        left: Columns that are left-aligned, such as names; all others, such as numbers, are right-aligned.

    Raises:
        ValueError: If the lines differ in length.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def escape_markdown(text: str) -> str:
    """Return a text of a user's without the characters that Markdown or HTML interpret."""
    return re.sub(r"[&<|$\[\]`*]", lambda found: f"&#{ord(found[0])};", text)


def code_span(text: str) -> str:
    """Return a line as code in Markdown, in more backticks than it holds in a row."""
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    pad = " " if "`" in (text[:1], text[-1:]) else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def markdown_table(head: Sequence[str], lines: Iterable[Sequence[str]], left: Collection[int] = (0,)) -> str:
    """Return a table in markdown.

    Args:
        head: Names of the columns.
        lines: Cells, as many in each line; they are not escaped.
        left: Columns that are left-aligned; all others are right-aligned.

    Raises:
        ValueError: If a line differs from the head in length.
    """
    rule = ["---" if place in left else "---:" for place in range(len(head))]
    rows = [head, rule, *lines]
    if faults := [line for line in rows if len(line) != len(head)]:
        raise ValueError(f"expected {len(head)} cells in a line, got {len(faults[0])}: {' | '.join(faults[0])}")
    return "\n".join("| " + " | ".join(line) + " |" for line in rows)
