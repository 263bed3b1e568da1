"""Biographies from a table: a CSV file with one person per line, and a template with the columns in braces.

The table is UTF-8 text with a header; one column is called ``name``. The template is a text such as
``{name} was born in {city} and became a {job}.``: each ``{column}`` is replaced by the cell of that column, and
``{{`` and ``}}`` are plain braces.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from string import Formatter

from mubench.hub_builders.tasks.rows import Row
from mubench.hub_builders.utils.text import decode_without_bom, quote

NAME = "name"


def write_biographies(table: bytes, template: bytes, where: str, template_where: str) -> list[Row]:
    """Return name and profile of every person.

    Args:
        table: Bytes of the CSV file.
        template: Bytes of the template.
        where: Name of the table.
        template_where: Name of the template.

    Raises:
        ValueError: If the table is malformed, or the template names a column that is missing or has an empty cell.
    """
    (_, columns), *people = _parse_table(decode_without_bom(table, where), where)
    parts = _parse_template(decode_without_bom(template, template_where).strip(), columns, template_where)
    return [
        _write_biography(dict(zip(columns, cells, strict=True)), parts, f"{where} line {line}")
        for line, cells in people
    ]


def _parse_table(text: str, where: str) -> list[tuple[int, list[str]]]:
    """Return line number and cells of the header and every person."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells]
    except csv.Error as error:
        raise ValueError(f"expected a CSV table, got {error}: {where} line {reader.line_num}") from error
    columns = lines[0][1] if lines else []
    if columns.count(NAME) != 1 or len(set(columns)) != len(columns):
        found = quote(", ".join(columns)) if columns else "none"
        raise ValueError(f"expected distinct columns of which one is called {NAME}, got {found}: {where}")
    for line, cells in lines:
        if len(cells) != len(columns):
            raise ValueError(f"expected {len(columns)} cells, got {len(cells)}: {where} line {line}")
    if len(lines) == 1:
        raise ValueError(f"expected at least one person, got none: {where}")
    return lines


def _parse_template(template: str, columns: Sequence[str], where: str) -> list[tuple[str, str | None]]:
    """Return the template as pairs of plain text and the column that follows it, if any."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"expected a template with {{column}} for each fact, got {error}: {where}") from error
    for _, column, form, conversion in parts:
        if column is not None and (column not in columns or form or conversion):
            placeholder = f"{column}{f'!{conversion}' if conversion else ''}{f':{form}' if form else ''}"
            raise ValueError(f"expected columns of the table in braces, got {quote(placeholder)}: {where}")
    if all(column is None for _, column, *_ in parts):
        raise ValueError(f"expected a template with {{column}} for each fact, got none: {where}")
    return [(text, column) for text, column, *_ in parts]


def _write_biography(person: dict[str, str], parts: Sequence[tuple[str, str | None]], where: str) -> Row:
    for column in (NAME, *(column for _, column in parts if column is not None)):
        if not person[column]:
            raise ValueError(f"expected a {column}, got an empty one: {where}")
    profile = "".join(text + (person[column] if column is not None else "") for text, column in parts)
    return {"name": person[NAME], "profile": profile}
