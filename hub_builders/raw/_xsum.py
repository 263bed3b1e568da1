"""XSum news articles and their first sentences, test split only: the out-of-distribution rows of SAMSum.

The original files are one ``<number>.summary`` per article, and a JSON file with the articles of each split. Articles
are joined to one line, since the known copies differ in their line ends.
"""

from __future__ import annotations

import re
from pathlib import Path

from mubench.hub_builders.raw._archive import find_source, read_members
from mubench.hub_builders.raw._hub import read_hub_rows
from mubench.hub_builders.raw._jsonl import parse_json, select_fields
from mubench.hub_builders.tasks import TASKS, Source
from mubench.hub_builders.tasks.rows import Row
from mubench.hub_builders.utils.text import decode_text, quote

LISTS = ("XSum-TRAINING-DEV-TEST-SPLIT-90-5-5.json",)
SPLIT = "test"
ARTICLE = re.compile(r"(?:^|/)([0-9]+)\.summary$", re.ASCII)
PARTS = ("URL", "TITLE", "FIRST-SENTENCE", "RESTBODY")


def is_there(raw: Path) -> bool:
    """Return whether a folder holds the articles."""
    return any((raw / name).exists() for name in _source().files)


def from_files(raw: Path) -> list[Row]:
    """Read the original files.

    Raises:
        FileNotFoundError: If a file or an article is missing.
        ValueError: If one is malformed.
    """
    path = find_source(raw, LISTS)
    order = parse_split(path.read_bytes(), path.name)
    texts: dict[str, tuple[str, str]] = {}
    for name, data in read_members(find_source(raw, _source().files)):
        if (match := ARTICLE.search(name)) and match[1] in order:
            texts[match[1]] = parse_article(decode_text(data, name), name)
    if lost := [number for number in order if number not in texts]:
        raise FileNotFoundError(f"expected {len(order)} articles of {path.name}, got none for {len(lost)}: {lost[0]}")
    return [_row(*texts[number], index, f"{number}.summary") for number, index in order.items()]


def from_hub() -> list[Row]:
    """Read the Hub's rows."""
    rows = read_hub_rows(_source(), SPLIT)
    return [_row(row["document"], row["summary"], index, f"{_source().hub_id} {index}") for index, row in rows]


def parse_split(data: bytes, where: str) -> dict[str, int]:
    """Return the index of every article of the test split.

    Raises:
        ValueError: If the file is no list of splits, or lists an article twice.
    """
    found = select_fields(parse_json(decode_text(data, where), where), {SPLIT: "strings"}, where)[SPLIT]
    if len(set(found)) != len(found):
        raise ValueError(f"expected every article once, got {len(found) - len(set(found))} again: {where}")
    return {number: index for index, number in enumerate(found)}


def parse_article(text: str, where: str) -> tuple[str, str]:
    """Return the body and the first sentence of an article's file.

    Raises:
        ValueError: If the file has other sections.
    """
    parts = text.split("[SN]")
    if len(parts) <= 2 * len(PARTS) or tuple(parts[1:8:2]) != PARTS:
        raise ValueError(f"expected the sections {', '.join(PARTS)}, got {quote(', '.join(parts[1:8:2]))}: {where}")
    return " ".join(parts[8].split()), " ".join(parts[6].split())


def _row(body: str, sentence: str, index: int, where: str) -> Row:
    summary = " ".join(sentence.split())
    if not summary:
        raise ValueError(f"expected a first sentence, got none: {where}")
    return {"source_index": index, "dialogue": " ".join(body.split()), "summary": summary}


def _source() -> Source:
    source = TASKS["samsum"].ood_source
    if source is None:
        raise ValueError("expected a source of the ood split of samsum, got none")
    return source
