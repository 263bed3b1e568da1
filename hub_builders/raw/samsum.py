"""SAMSum dialogues with summaries, ``{train,val,test}.json`` or ``.csv``, and XSum as the ood split; or the Hub's.

Line ends are normalised and white space at the ends of texts is stripped: copies of the corpus differ in both. One of
the 14,732 training rows has an empty dialogue, and some copies lack the row; no other text may be empty.

Of XSum, news articles and their first sentences, the test split is read: one ``<number>.summary`` per article, and a
JSON file with the articles of each split. Articles are joined to one line, since copies differ in their line ends. The
files are optional: without them there is no ood split, and the tier is partial.
"""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from mubench.hub_builders.raw._archive import find_source, read_members
from mubench.hub_builders.raw._hub import read_hub_rows
from mubench.hub_builders.raw._jsonl import Fields, parse_json, select_fields
from mubench.hub_builders.tasks import TASKS, Source
from mubench.hub_builders.tasks.rows import Row, Splits, add_ids
from mubench.hub_builders.utils.text import decode_text, quote

logger = logging.getLogger(__name__)

TASK = TASKS["samsum"]
PACKED_ARCHIVE = "corpus.7z"
MEMBER = re.compile(r"(?:^|/)(train|val|validation|test)\.(csv|json)$")
SPLITS = ("train", "validation", "test")
FIELDS: Fields = {"id": "string", "dialogue": "string", "summary": "string"}
ID_WITHOUT_DIALOGUE = "13828807"

XSUM = cast("Source", TASK.ood_source)
XSUM_LISTS = ("XSum-TRAINING-DEV-TEST-SPLIT-90-5-5.json",)
XSUM_SPLIT = "test"
ARTICLE = re.compile(r"(?:^|/)([0-9]+)\.summary$", re.ASCII)
ARTICLE_PARTS = ("URL", "TITLE", "FIRST-SENTENCE", "RESTBODY")


def from_files(raw: Path) -> Splits:
    """Read the original files."""
    path = _find_files(raw)
    splits: Splits = {}
    for name, data in read_members(path):
        if match := MEMBER.search(name):
            split = "validation" if match[1] == "val" else match[1]
            if split in splits:
                raise ValueError(f"expected one file of {split} rows in {path}, got a second: {name}")
            splits[split] = _parse_rows(
                _parse_csv(data, name) if match[2] == "csv" else _parse_json_list(data, name), split, name
            )
    if missing := [split for split in SPLITS if split not in splits]:
        raise FileNotFoundError(f"expected a .json or .csv file of {', '.join(SPLITS)} in {path}, got no {missing[0]}")
    if any((raw / name).exists() for name in XSUM.files):
        splits["ood"] = _read_xsum(raw)
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
        splits[split] = _parse_rows(records, split, f"{TASK.source.hub_id} {split}")
    splits["ood"] = [
        _xsum_row(row["document"], row["summary"], index, f"{XSUM.hub_id} {index}")
        for index, row in read_hub_rows(XSUM, XSUM_SPLIT)
    ]
    return add_ids(splits, TASK.columns)


def _parse_csv(data: bytes, where: str) -> list[dict[str, str]]:
    text = io.StringIO(decode_text(data, where, encoding="utf-8-sig"), newline="")
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


def _parse_json_list(data: bytes, where: str) -> list[object]:
    found = parse_json(decode_text(data, where, encoding="utf-8-sig"), where)
    if not isinstance(found, list):
        raise ValueError(f"expected a list of objects, got other JSON: {where}")  # noqa: TRY004  (bad data, no bug)
    return found


def _parse_rows(records: Iterable[object], split: str, where: str) -> list[Row]:
    """Return the rows of a split; they have a ``source_index`` if their number is that of the original file."""
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


def _read_xsum(raw: Path) -> list[Row]:
    path = find_source(raw, XSUM_LISTS)
    order = _parse_xsum_split(path.read_bytes(), path.name)
    texts: dict[str, tuple[str, str]] = {}
    for name, data in read_members(find_source(raw, XSUM.files)):
        if (match := ARTICLE.search(name)) and match[1] in order:
            texts[match[1]] = _parse_article(decode_text(data, name), name)
    if lost := [number for number in order if number not in texts]:
        raise FileNotFoundError(f"expected {len(order)} articles of {path.name}, got none for {len(lost)}: {lost[0]}")
    return [_xsum_row(*texts[number], index, f"{number}.summary") for number, index in order.items()]


def _parse_xsum_split(data: bytes, where: str) -> dict[str, int]:
    """Return the index of every article of the test split."""
    found = select_fields(parse_json(decode_text(data, where), where), {XSUM_SPLIT: "strings"}, where)[XSUM_SPLIT]
    if len(set(found)) != len(found):
        raise ValueError(f"expected every article once, got {len(found) - len(set(found))} again: {where}")
    return {number: index for index, number in enumerate(found)}


def _parse_article(text: str, where: str) -> tuple[str, str]:
    """Return the body and the first sentence of an article's file."""
    parts = text.split("[SN]")
    if len(parts) <= 2 * len(ARTICLE_PARTS) or tuple(parts[1:8:2]) != ARTICLE_PARTS:
        raise ValueError(
            f"expected the sections {', '.join(ARTICLE_PARTS)}, got {quote(', '.join(parts[1:8:2]))}: {where}"
        )
    return " ".join(parts[8].split()), " ".join(parts[6].split())


def _xsum_row(body: str, sentence: str, index: int, where: str) -> Row:
    summary = " ".join(sentence.split())
    if not summary:
        raise ValueError(f"expected a first sentence, got none: {where}")
    return {"source_index": index, "dialogue": " ".join(body.split()), "summary": summary}
