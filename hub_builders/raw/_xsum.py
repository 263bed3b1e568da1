"""XSum news articles and their first sentences, the test split alone: out-of-distribution rows of SAMSum.

The original files are ``<number>.summary``, one an article, and a JSON file that says which are in which split. An
article is one line here: the known copies differ in their line ends.
"""

from __future__ import annotations

import re
from pathlib import Path

from mubench.hub_builders.deletion.forget_lists import quoted
from mubench.hub_builders.raw._archive import find, members
from mubench.hub_builders.raw._hub import hub_rows
from mubench.hub_builders.raw._jsonl import checked, parsed
from mubench.hub_builders.raw._rows import Row, decoded
from mubench.hub_builders.tasks import TASKS, Source

LISTS = ("XSum-TRAINING-DEV-TEST-SPLIT-90-5-5.json",)
SPLIT = "test"
ARTICLE = re.compile(r"(?:^|/)([0-9]+)\.summary$", re.ASCII)
PARTS = ("URL", "TITLE", "FIRST-SENTENCE", "RESTBODY")


def is_there(raw: Path) -> bool:
    """Whether a folder holds the articles."""
    return any((raw / name).exists() for name in _source().files)


def from_files(raw: Path) -> list[Row]:
    """Read the original files.

    Raises:
        FileNotFoundError: If a file or an article is not there.
        ValueError: If one is not as expected.
    """
    path = find(raw, LISTS)
    order = numbers(path.read_bytes(), path.name)
    texts: dict[str, tuple[str, str]] = {}
    for name, data in members(find(raw, _source().files)):
        if (match := ARTICLE.search(name)) and match[1] in order:
            texts[match[1]] = article(decoded(data, name), name)
    if lost := [number for number in order if number not in texts]:
        raise FileNotFoundError(f"expected {len(order)} articles of {path.name}, got none for {len(lost)}: {lost[0]}")
    return [_row(*texts[number], place, f"{number}.summary") for number, place in order.items()]


def from_hub() -> list[Row]:
    """Read the Hub's rows."""
    rows = hub_rows(_source(), SPLIT)
    return [_row(row["document"], row["summary"], place, f"{_source().hub_id} {place}") for place, row in rows]


def numbers(data: bytes, where: str) -> dict[str, int]:
    """Return the place of every article of the split.

    Raises:
        ValueError: If the file is no list of splits, or names an article twice.
    """
    found = checked(parsed(decoded(data, where), where), {SPLIT: "strings"}, where)[SPLIT]
    if len(set(found)) != len(found):
        raise ValueError(f"expected every article once, got {len(found) - len(set(found))} again: {where}")
    return {number: place for place, number in enumerate(found)}


def article(text: str, where: str) -> tuple[str, str]:
    """Return the body and the first sentence of an article's file.

    Raises:
        ValueError: If the file has other parts.
    """
    parts = text.split("[SN]")
    if len(parts) <= 2 * len(PARTS) or tuple(parts[1:8:2]) != PARTS:
        raise ValueError(f"expected the parts {', '.join(PARTS)}, got {quoted(', '.join(parts[1:8:2]))}: {where}")
    return " ".join(parts[8].split()), " ".join(parts[6].split())


def _row(body: str, sentence: str, place: int, where: str) -> Row:
    summary = " ".join(sentence.split())
    if not summary:
        raise ValueError(f"expected a first sentence, got none: {where}")
    return {"source_index": place, "dialogue": " ".join(body.split()), "summary": summary}


def _source() -> Source:
    source = TASKS["samsum"].ood_source
    if source is None:
        raise ValueError("expected a source of the ood split of samsum, got none")
    return source
