"""Celeb Profile: JSON lines of name and profile, or a table of people and a template; the paper's are unpublished.

The source is one ``.jsonl`` file, or ``people.csv`` with ``template.txt`` beside it (see `_people`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from mubench.hub_builders.raw._archive import find_source, read_members
from mubench.hub_builders.raw._hub import read_hub_rows
from mubench.hub_builders.raw._jsonl import Fields, parse_json_lines, select_fields
from mubench.hub_builders.raw._people import write_biographies
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.rows import Row, Splits, add_ids
from mubench.hub_builders.utils.text import quote

TASK = TASKS["celeb_profile"]
PROMPT = "Write a biography of {}."
TABLE, TEMPLATE = "people.csv", "template.txt"
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
    return _splits(write_biographies(files[found[0]], files[template], found[0], template))


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
