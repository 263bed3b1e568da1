"""SAMSum dialogues with summaries, ``{train,val,test}.json`` or ``.csv``, and XSum as the ood split; or the Hub's.

Line ends are normalised and white space at the ends of texts is stripped: copies of the corpus differ in both. One of
the 14,732 training rows has an empty dialogue, and some copies lack the row; no other text may be empty.

The files of XSum are optional: without them there is no ood split, and the tier is partial.
"""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterable
from pathlib import Path

from mubench.hub_builders.raw import _xsum
from mubench.hub_builders.raw._archive import find_source, read_members
from mubench.hub_builders.raw._hub import read_hub_rows
from mubench.hub_builders.raw._jsonl import Fields, parse_json, select_fields
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.rows import Row, Splits, add_ids
from mubench.hub_builders.utils.text import decode_without_bom, quote

logger = logging.getLogger(__name__)

TASK = TASKS["samsum"]
PACKED_ARCHIVE = "corpus.7z"
MEMBER = re.compile(r"(?:^|/)(train|val|validation|test)\.(csv|json)$")
SPLITS = ("train", "validation", "test")
FIELDS: Fields = {"id": "string", "dialogue": "string", "summary": "string"}
ID_WITHOUT_DIALOGUE = "13828807"


def from_files(raw: Path) -> Splits:
    """Read the original files."""
    path = _find_files(raw)
    splits: Splits = {}
    for name, data in read_members(path):
        if match := MEMBER.search(name):
            split = "validation" if match[1] == "val" else match[1]
            if split in splits:
                raise ValueError(f"expected one file of {split} rows in {path}, got a second: {name}")
            splits[split] = parse_rows(
                parse_csv(data, name) if match[2] == "csv" else parse_json_list(data, name), split, name
            )
    if missing := [split for split in SPLITS if split not in splits]:
        raise FileNotFoundError(f"expected a .json or .csv file of {', '.join(SPLITS)} in {path}, got no {missing[0]}")
    if _xsum.is_there(raw):
        splits["ood"] = _xsum.from_files(raw)
    else:
        logger.warning("samsum: no files of XSum in %s, so no ood split", raw)
    return add_ids(splits, TASK.columns)


def from_hub() -> Splits:
    """Read the Hub's rows, where ids may be numbers and an empty text may be ``None``."""
    splits = {}
    for split in SPLITS:
        records = [
            {**row, "id": str(row["id"]), "dialogue": row["dialogue"] or ""}
            for _, row in read_hub_rows(TASK.source, split)
        ]
        splits[split] = parse_rows(records, split, f"{TASK.source.hub_id} {split}")
    return add_ids({**splits, "ood": _xsum.from_hub()}, TASK.columns)


def parse_csv(data: bytes, where: str) -> list[dict[str, str]]:
    """Return the records of a CSV file.

    Raises:
        ValueError: If it is not CSV, or has other columns.
    """
    text = io.StringIO(decode_without_bom(data, where), newline="")
    try:
        lines = list(csv.reader(text, strict=True))
    except csv.Error as error:
        raise ValueError(f"expected CSV, got other text ({error}): {where}") from error
    if not lines or sorted(lines[0]) != sorted(FIELDS):
        raise ValueError(f"expected the columns {', '.join(FIELDS)}, got others: {where}")
    for number, line in enumerate(lines):
        if len(line) != len(FIELDS):
            raise ValueError(f"expected {len(FIELDS)} fields, got {len(line)}: {where} record {number}")
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def parse_json_list(data: bytes, where: str) -> list[object]:
    """Return the records of a JSON file.

    Raises:
        ValueError: If it is not a JSON list.
    """
    found = parse_json(decode_without_bom(data, where), where)
    if not isinstance(found, list):
        raise ValueError(f"expected a list of objects, got other JSON: {where}")  # noqa: TRY004  (bad data, no bug)
    return found


def parse_rows(records: Iterable[object], split: str, where: str) -> list[Row]:
    """Return the rows of a split; they have a ``source_index`` if their number is that of the original file.

    Raises:
        ValueError: If a record is malformed, or its id is repeated.
    """
    found: dict[str, Row] = {}
    for number, record in enumerate(records, 1):
        place = f"{where} record {number}"
        key, dialogue, summary = (_normalize(text) for text in select_fields(record, FIELDS, place).values())
        if not summary or (not dialogue and key != ID_WITHOUT_DIALOGUE):
            raise ValueError(f"expected a dialogue and a summary, got an empty one: {place}")
        if key in found:
            raise ValueError(f"expected every id once, got {quote(key)} again: {place}")
        found[key] = {"source_index": number - 1, "dialogue": dialogue, "summary": summary}
    whole = len(found) == TASK.counts["full"][split]
    return [row if whole else {**row, "source_index": None} for row in found.values()]


def _normalize(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _find_files(raw: Path) -> Path:
    if (raw / PACKED_ARCHIVE).exists() and not any((raw / name).exists() for name in TASK.source.files):
        raise FileNotFoundError(
            f"expected the unpacked files of {PACKED_ARCHIVE} in {raw / 'corpus'}, got the archive"
        )
    return find_source(raw, TASK.source.files)
