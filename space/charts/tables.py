"""Numbers as HTML: tables, and bars with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape


def bars(groups: Mapping[str, Mapping[str, tuple[float, str]]], styles: Mapping[str, str]) -> str:
    """Return shares as groups of bars.

    Args:
        groups: By group and bar, its share in [0, 1] and the label beside it.
        styles: CSS class by bar.
    """
    lines = []
    for group, each in groups.items():
        lines.append(f'<div class="mu-bars"><b>{escape(group)}</b>')
        for name, (value, label) in each.items():
            width = 100 * min(max(value, 0), 1)
            lines.append(
                f'<div class="mu-bar"><span>{escape(name)}</span><div class="mu-track">'
                f'<i class="{styles[name]}" style="width:{width:.1f}%"></i></div><em>{escape(label)}</em></div>'
            )
        lines.append("</div>")
    return "".join(lines)


def table(head: Sequence[tuple[str, str]], lines: Sequence[Sequence[str]], *, label: str) -> str:
    """Return a table whose column descriptions are shown on hover and read by screen readers.

    Args:
        head: Name and description of every column.
        lines: Text of every cell.
        label: Description of the table.
    """
    top = "".join(
        f'<th scope="col" tabindex="0" title="{escape(text, quote=True)}">{escape(name)}</th>' for name, text in head
    )
    rows = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{escape(c)}</th>' if i == 0 else f"<td>{escape(c)}</td>" for i, c in enumerate(line)
        )
        + "</tr>"
        for line in lines
    )
    return (
        f'<div class="mu-scroll" tabindex="0" role="region" aria-label="{escape(label, quote=True)}"><table '
        f'class="mu-table"><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
