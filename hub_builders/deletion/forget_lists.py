"""List files: the published forget lists, verified by their SHA-256, and custom lists of example ids."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from mubench.hub_builders.deletion.published_lists import FOLDER, REPOSITORY, PaperList
from mubench.hub_builders.tasks.names import RATIOS
from mubench.hub_builders.utils.download import download
from mubench.hub_builders.utils.text import decode_text, quote

SERVER = "https://raw.githubusercontent.com"
# The longest list has 50 kB.
MAX_BYTES = 2**20
_INDEX = re.compile(r"[0-9]{1,9}")


class ForgetList(NamedTuple):
    """Rows in deletion order, as indices in the original order, and how many of them each ratio deletes."""

    rows: list[int]
    forget: dict[int, int]


def read_published(paper: PaperList, folder: Path | None) -> ForgetList:
    """Read the forget sets of a published list.

    Args:
        paper: The list.
        folder: Folder of the list files; ``None`` downloads them.

    Raises:
        FileNotFoundError: If a file is missing or cannot be downloaded.
        ValueError: If a file is not the published one, or malformed.
    """
    if paper.last:
        return _last_rows(paper)
    files = [(name, _read_verified(name, paper, folder)) for name in paper.files]
    if len(files) == 1:
        rows = _parse_indices(files[0][1], paper.rows, files[0][0])
        return ForgetList(rows, {ratio: ratio * len(rows) // 10 for ratio in RATIOS})
    return _merge_masks([_parse_mask(data, paper.rows, name) for name, data in files])


def _parse_indices(data: bytes, rows: int, where: str) -> list[int]:
    found: dict[int, int] = {}
    for number, line in enumerate(_split_lines(data, where), 1):
        if not _INDEX.fullmatch(line) or int(line) >= rows:
            raise ValueError(f"expected a row number from 0 to {rows - 1}, got {quote(line)}: {where} line {number}")
        if (first := found.setdefault(int(line), number)) != number:
            raise ValueError(f"expected every row once, got {line} in lines {first} and {number}: {where}")
    return list(found)


def _parse_mask(data: bytes, rows: int, where: str) -> list[int]:
    """Parse a mask, one line with 0 or 1 for each of ``rows`` rows, and return the indices of the ones."""
    lines = _split_lines(data, where)
    for number, line in enumerate(lines, 1):
        if line not in ("0", "1"):
            raise ValueError(f"expected 0 or 1, got {quote(line)}: {where} line {number}")
    if len(lines) != rows:
        raise ValueError(f"expected {rows} lines, got {len(lines)}: {where}")
    return [row for row, line in enumerate(lines) if line == "1"]


def _merge_masks(masks: list[list[int]]) -> ForgetList:
    """Merge the masks of 1 %, 2 %, ...: the rows that each adds to the one before, in the original order."""
    order: dict[int, None] = {}
    forget = {}
    for ratio, rows in enumerate(masks, 1):
        if lost := order.keys() - set(rows):
            raise ValueError(f"expected the rows of {ratio - 1} % among those of {ratio} %, got {len(lost)} missing")
        order |= dict.fromkeys(rows)
        forget[ratio] = len(order)
    return ForgetList(list(order), forget)


def read_example_ids(path: Path) -> dict[str, int]:
    """Read a user's forget list, one ``example_id`` per line, and return the line number of each id.

    Raises:
        FileNotFoundError: If the file cannot be read.
        ValueError: If it is not UTF-8 text, is empty, or has a blank line or a repeated id.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FileNotFoundError(f"expected a file of example ids, one per line, got none: {path}") from error
    found: dict[str, int] = {}
    for number, line in enumerate(_split_lines(data, str(path), "utf-8-sig"), 1):
        name = line.strip()
        if not name:
            raise ValueError(f"expected an example_id in every line, got a blank one: {path} line {number}")
        if (first := found.setdefault(name, number)) != number:
            raise ValueError(f"expected every id once, got {quote(name)} in lines {first} and {number}: {path}")
    return found


def _download_list(name: str, commit: str) -> bytes:
    url = f"{SERVER}/{REPOSITORY}/{commit}/{FOLDER}/{name}"
    return download(url, MAX_BYTES, "give the folder of the lists as --paper_splits DIR")


def _last_rows(paper: PaperList) -> ForgetList:
    rows: list[int] = []
    for size in paper.last.values():
        rows += range(paper.rows - size, paper.rows - len(rows))
    return ForgetList(rows, dict(paper.last))


def _read_verified(name: str, paper: PaperList, folder: Path | None) -> bytes:
    data = _download_list(name, paper.commit) if folder is None else _read_file(name, folder)
    if (found := hashlib.sha256(data).hexdigest()) != paper.files[name]:
        raise ValueError(f"expected {name} with SHA-256 {paper.files[name]}, got {found}")
    return data


def _read_file(name: str, folder: Path) -> bytes:
    """Read a list file; the ratio in the name of a mask may be written with or without ``.0``."""
    whole = name.removesuffix(".txt").removesuffix(".0")
    names = dict.fromkeys([name, f"{whole}.txt", f"{whole}.0.txt"])
    for path in map(folder.joinpath, names):
        try:
            if path.is_file():
                return path.read_bytes()
        except OSError as error:
            raise FileNotFoundError(f"expected a readable list file, got {type(error).__name__}: {path}") from error
    raise FileNotFoundError(f"expected {name} in {folder}, got none")


def _split_lines(data: bytes, where: str, encoding: str = "ascii") -> list[str]:
    """Return the lines of a text, whose last line end is optional."""
    text = decode_text(data, where, encoding=encoding)
    if not text:
        raise ValueError(f"expected at least one line, got an empty file: {where}")
    return text.removesuffix("\n").split("\n")
