"""Celeb Profile: JSON lines of name and profile, or a table of people and a template; the paper's are unpublished.

The source is one ``.jsonl`` file, or ``people.csv`` with ``template.txt`` beside it. The table is UTF-8 text with a
header, one person per line; one column is called ``name``. The template is a text such as
``{name} was born in {city} and became a {job}.``: each ``{column}`` is replaced by the cell of that column, and
``{{`` and ``}}`` are plain braces.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from string import Formatter

from mubench.hub_builders.raw._archive import find_source, read_members
from mubench.hub_builders.raw._hub import read_hub_rows
from mubench.hub_builders.raw._jsonl import Fields, parse_json_lines, select_fields
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.rows import Row, Splits, add_ids
from mubench.hub_builders.utils.text import decode_text, quote

TASK = TASKS["celeb_profile"]
PROMPT = "Write a biography of {}."
TABLE, TEMPLATE = "people.csv", "template.txt"
NAME = "name"
_FIELDS: Fields = {"name": "string", "profile": "string"}


def from_files(raw: Path) -> Splits:
    """Read profiles, or write them from a table of people."""
    path = find_source(raw, TASK.source.files)
    files = _files(path)
    found = sorted(name for name in files if name.endswith(".jsonl") or PurePosixPath(name).name == TABLE)
    if len(found) != 1:
        got = ", ".join(found) or "none"
        raise ValueError(f"expected one .jsonl file or one {TABLE} with its {TEMPLATE}, got {quote(got)}: {path}")
    if found[0].endswith(".jsonl"):
        return _splits(parse_json_lines(files[found[0]], _FIELDS, found[0]))
    template = str(PurePosixPath(found[0]).with_name(TEMPLATE))
    if template not in files:
        raise FileNotFoundError(f"expected {template} beside {found[0]}, got none: {path}")
    return _splits(_write_biographies(files[found[0]], files[template], found[0], template))


def from_hub() -> Splits:
    """Read the Hub's rows."""
    rows = read_hub_rows(TASK.source, "train")
    return _splits(select_fields(row, _FIELDS, f"{TASK.source.hub_id} row {index}") for index, row in rows)


def _files(path: Path) -> dict[str, bytes]:
    """Return the bytes of a file and the template beside it, or of all files of an archive or folder."""
    if path.suffix not in (".jsonl", ".csv"):
        return dict(read_members(path))
    beside = {path, path.with_name(TEMPLATE)} if path.suffix == ".csv" else {path}
    return {one.name: one.read_bytes() for one in beside if one.is_file()}


def _splits(profiles: Iterable[Row]) -> Splits:
    """Return all rows as training rows; `dataset.sources` holds some out."""
    rows: dict[tuple[str, str], Row] = {}
    for index, profile in enumerate(profiles):
        name, text = " ".join(profile["name"].split()), profile["profile"].strip()
        if not (name and text):
            raise ValueError(f"expected a name and a profile, got an empty one: no. {index + 1}")
        if (name, text) in rows:
            raise ValueError(f"expected every profile once, got that of {quote(name)} again: no. {index + 1}")
        rows[name, text] = {"source_index": index, "group": name, "prompt": PROMPT.format(name), "text": text}
    return add_ids({"train": rows.values()}, TASK.columns)


def _write_biographies(table: bytes, template: bytes, where: str, template_where: str) -> list[Row]:
    (_, columns), *people = _parse_table(decode_text(table, where, encoding="utf-8-sig"), where)
    parts = _parse_template(
        decode_text(template, template_where, encoding="utf-8-sig").strip(), columns, template_where
    )
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
