"""SAMSum dialogues with summaries, ``{train,val,test}.json`` or ``.csv``, and XSum as the ood split; or the Hub's.

Line ends become plain ones, and white space at the ends of a text goes: copies of the corpus differ in both. One of
the 14,732 training rows has no dialogue, and some copies lack it; it is a row like the others. No other text is empty.

XSum has files of its own, which need not be there: then there is no ood split, and the tier is not full.
"""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterable
from pathlib import Path

from mubench.hub_builders.deletion.forget_lists import quoted
from mubench.hub_builders.raw import _xsum as xsum
from mubench.hub_builders.raw._archive import find, members
from mubench.hub_builders.raw._hub import hub_rows
from mubench.hub_builders.raw._jsonl import Fields, checked, parsed
from mubench.hub_builders.raw._rows import Row, Splits, identified, unmarked
from mubench.hub_builders.tasks import TASKS

logger = logging.getLogger(__name__)

TASK = TASKS["samsum"]
PACKED = "corpus.7z"
MEMBER = re.compile(r"(?:^|/)(train|val|validation|test)\.(csv|json)$")
SPLITS = ("train", "validation", "test")
FIELDS: Fields = {"id": "string", "dialogue": "string", "summary": "string"}
SILENT = "13828807"


def from_files(raw: Path) -> Splits:
    """Read the original files."""
    path = _find(raw)
    splits: Splits = {}
    for name, data in members(path):
        if match := MEMBER.search(name):
            split = "validation" if match[1] == "val" else match[1]
            if split in splits:
                raise ValueError(f"expected one file of {split} rows in {path}, got a second: {name}")
            splits[split] = rows(from_csv(data, name) if match[2] == "csv" else from_json(data, name), split, name)
    if missing := [split for split in SPLITS if split not in splits]:
        raise FileNotFoundError(f"expected a .json or .csv file of {', '.join(SPLITS)} in {path}, got no {missing[0]}")
    if xsum.is_there(raw):
        splits["ood"] = xsum.from_files(raw)
    else:
        logger.warning("samsum: no files of XSum in %s, so no ood split", raw)
    return _identified(splits)


def from_hub() -> Splits:
    """Read the Hub's rows, where ids may be numbers and an empty text is none."""
    splits = {}
    for split in SPLITS:
        records = [
            {**row, "id": str(row["id"]), "dialogue": row["dialogue"] or ""} for _, row in hub_rows(TASK.source, split)
        ]
        splits[split] = rows(records, split, f"{TASK.source.hub_id} {split}")
    return _identified({**splits, "ood": xsum.from_hub()})


def from_csv(data: bytes, where: str) -> list[dict[str, str]]:
    """Return the records of a CSV file.

    Raises:
        ValueError: If it is not one, or has other columns.
    """
    text = io.StringIO(unmarked(data, where), newline="")
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


def from_json(data: bytes, where: str) -> list[object]:
    """Return the records of a JSON file.

    Raises:
        ValueError: If it is not a list.
    """
    found = parsed(unmarked(data, where), where)
    if not isinstance(found, list):
        raise ValueError(f"expected a list of objects, got other JSON: {where}")  # noqa: TRY004  (bad data, no bug)
    return found


def rows(records: Iterable[object], split: str, where: str) -> list[Row]:
    """Return the rows of a split; their places are the original ones if there are as many as there were.

    Raises:
        ValueError: If a record is not as expected, or its id comes twice.
    """
    found: dict[str, Row] = {}
    for number, record in enumerate(records, 1):
        place = f"{where} record {number}"
        key, dialogue, summary = (_plain(text) for text in checked(record, FIELDS, place).values())
        if not summary or (not dialogue and key != SILENT):
            raise ValueError(f"expected a dialogue and a summary, got an empty one: {place}")
        if key in found:
            raise ValueError(f"expected every id once, got {quoted(key)} again: {place}")
        found[key] = {"source_index": number - 1, "dialogue": dialogue, "summary": summary}
    whole = len(found) == TASK.counts["full"][split]
    return [row if whole else {**row, "source_index": None} for row in found.values()]


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def _find(raw: Path) -> Path:
    if (raw / PACKED).exists() and not any((raw / name).exists() for name in TASK.source.files):
        raise FileNotFoundError(f"expected the files of {PACKED} in a folder {raw / 'corpus'}, got them packed")
    return find(raw, TASK.source.files)


def _identified(splits: Splits) -> Splits:
    return {split: identified(part, split, TASK.columns, TASK.labels) for split, part in splits.items()}
