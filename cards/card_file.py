"""Card files; a card that somebody edited is kept when a new one is written."""

from __future__ import annotations

import hashlib
import re
from itertools import count
from pathlib import Path

from mubench.hub_builders.utils.atomic import write_text
from mubench.hub_builders.utils.cli import print_error

# The last line of every card, by which an edit is detected.
MARK = re.compile(r"\n<!-- as written: ([0-9a-f]{16}) -->\n\Z")


def replace_card(path: Path, text: str) -> Path:
    """Write a card; an edited one is renamed, which is reported in one line."""
    if path.is_file() and is_edited(path.read_text(encoding="utf-8")):
        kept = _unused_name(path)
        path.rename(kept)
        print_error(f"expected the card as it was written in {path}, got an edited one: kept as {kept.name}")
    write_text(path, f"{text}\n<!-- as written: {_digest(text)} -->\n")
    return path


def is_edited(card: str) -> bool:
    """Whether a card differs from what was written."""
    mark = MARK.search(card)
    return mark is None or mark[1] != _digest(card[: mark.start()])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _unused_name(path: Path) -> Path:
    names = (path.with_name(f"{path.stem}.edited{number or ''}{path.suffix}") for number in count())
    return next(name for name in names if not name.exists())
