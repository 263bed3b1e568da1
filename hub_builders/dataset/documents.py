"""Documents of custom tasks: text files, and texts that are cut into rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from mubench.hub_builders.utils.text import decode_text

TEXT_FILE = ".txt"
# Columns of a text file as a row of a source.
TEXT, DOCUMENT = "text", "document"
# Words of a row at most: of English, some 180 tokens of a published model, whose recipes read 256.
CHUNK_WORDS = 128


def read_documents(place: Path) -> Iterator[dict[str, str]]:
    """Yield text and name of a text file, or of every one in a folder and those below it, by name.

    Raises:
        ValueError: If there is none, or one is not UTF-8.
    """
    found = [place] if place.is_file() else sorted(place.rglob("*"))
    files = [path for path in found if path.suffix.lower() == TEXT_FILE and path.is_file()]
    if not files:
        raise ValueError(f"expected files ending in {TEXT_FILE} in {place}, got none")
    for file in files:
        name = file.name if file == place else file.relative_to(place).as_posix()
        yield {TEXT: decode_text(file.read_bytes(), str(file), encoding="utf-8-sig"), DOCUMENT: name}


def cut_text(text: str, most: int) -> list[str]:
    """Return a text in as few parts of at most ``most`` words as possible, whose lengths differ by a word at most.

    A word is what stands between white space, which is kept within a part and left out between parts.
    """
    words = [match.span() for match in re.finditer(r"\S+", text)]
    parts = -(-len(words) // most)
    edges = pairwise(len(words) * part // parts for part in range(parts + 1)) if parts else ()
    return [text[words[first][0] : words[end - 1][1]] for first, end in edges]
