"""Plain-text tables with aligned columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence


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
