"""Numbers as HTML: tables, and bars with labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape


def bars(groups: Mapping[str, Mapping[str, tuple[float, str]]], styles: Mapping[str, str]) -> str:
    """Return groups of bars: by group and bar, its share in [0, 1] and the label beside it; styles are by bar."""
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
    """Return a table with a label; column descriptions are shown on hover and read by screen readers."""
    top = "".join(
        f'<th scope="col" tabindex="0" title="{escape(text, quote=True)}">{escape(name)}</th>' for name, text in head
    )
    rows = ""
    for first, *others in lines:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in others)
        rows += f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>'
    return (
        f'<div class="mu-scroll" tabindex="0" role="region" aria-label="{escape(label, quote=True)}"><table '
        f'class="mu-table"><thead><tr>{top}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
