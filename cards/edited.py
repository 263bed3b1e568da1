"""Cards on disk: one that somebody edited is not lost when it is written anew."""

from __future__ import annotations

import hashlib
import re
from itertools import count
from pathlib import Path

from mubench.hub_builders.utils.atomic import write_text
from mubench.hub_builders.utils.cli import print_error

# Below every card that we write, so that an edit of it shows.
MARK = re.compile(r"\n<!-- as written: ([0-9a-f]{16}) -->\n\Z")


def replace_card(path: Path, text: str) -> Path:
    """Write a card; one that was edited since it was written is kept beside it, and a line says so."""
    if path.is_file() and is_edited(path.read_text(encoding="utf-8")):
        kept = _free(path)
        path.rename(kept)
        print_error(f"expected the card as it was written in {path}, got an edited one: kept as {kept.name}")
    write_text(path, f"{text}\n<!-- as written: {_digest(text)} -->\n")
    return path


def is_edited(card: str) -> bool:
    """Whether a card is not as it was written."""
    mark = MARK.search(card)
    return mark is None or mark[1] != _digest(card[: mark.start()])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _free(path: Path) -> Path:
    names = (path.with_name(f"{path.stem}.edited{number or ''}{path.suffix}") for number in count())
    return next(one for one in names if not one.exists())
