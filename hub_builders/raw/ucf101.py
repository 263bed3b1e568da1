"""UCF101, ``<Class>/v_<Class>_gNN_cNN.avi`` with the official lists of split 1; or the Hub's.

The lists name the training and the test clips, and `classInd.txt` the classes, so a data set in the same layout may
have other classes. Names of clips are compared without regard to case, because lists and archives spell both
HandstandPushups and HandStandPushups.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mubench.hub_builders.raw._archive import find_source, read_members
from mubench.hub_builders.raw._hub import read_hub_rows
from mubench.hub_builders.raw._recordings import check_video, warn_of_missing_clips
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.rows import Row, Splits, add_ids, store_media
from mubench.hub_builders.utils.spool import Spool
from mubench.hub_builders.utils.text import decode_text

TASK = TASKS["ucf101"]
CLIP = re.compile(r"(?:^|/)(\w+)/(v_\w+_g(\d\d)_c\d\d\.avi)$")
VIDEO = re.compile(r"\.avi$", re.IGNORECASE)
LIST_LINE = re.compile(r"(\w+)/(v_\w+_g\d\d_c\d\d\.avi)(?: (\d+))?")
CLASSES = "classInd.txt"
LISTS = {"train": "trainlist01.txt", "test": "testlist01.txt"}
LIST_FILE = re.compile(r"(?:^|/)(classInd\.txt|trainlist01\.txt|testlist01\.txt)$")
LIST_ARCHIVES = ("UCF101TrainTestSplits-RecognitionTask.zip",)
LAST_TEST_GROUP = 7


def from_files(raw: Path) -> Splits:
    """Read the original files."""
    path, texts, spool = find_source(raw, TASK.source.files), _read_lists(raw), Spool()
    labels = _parse_classes(*texts[CLASSES])
    lists = {split: _parse_list(*texts[name], labels) for split, name in LISTS.items()}
    if both := lists["train"].keys() & lists["test"].keys():
        raise ValueError(f"expected a clip in one of {' and '.join(LISTS.values())}, got {min(both)} in both")
    remaining = {
        key: (split, index, label)
        for split, clips in lists.items()
        for index, (key, label) in enumerate(clips.items())
    }  # fmt: skip
    splits: Splits = {"train": [], "test": []}
    for name, data in read_members(path, VIDEO):
        if (match := CLIP.search(name)) is None:
            raise ValueError(f"expected clips called <Class>/v_<Class>_gNN_cNN.avi in {path}, got {name}")
        if (key := f"{match[1]}/{match[2]}".casefold()) not in remaining:
            raise ValueError(f"expected every clip of {path} once and in a list, got another: {name}")
        split, index, label = remaining.pop(key)
        splits[split].append(_row(data, label, index, name, spool))
    warn_of_missing_clips(remaining, path)
    return add_ids(splits, TASK.columns, labels)


def from_hub() -> Splits:
    """Read the Hub's clips, which have no lists: the test rows of split 1 are the first seven groups of a class."""
    splits: Splits = {"train": [], "test": []}
    spool = Spool()
    numbers = {name.casefold(): number for number, name in enumerate(TASK.labels)}
    for _, row in read_hub_rows(TASK.source, "train"):
        path, data = row["video"]["path"], row["video"]["bytes"]
        match = CLIP.search(path)
        if match is None or match[1].casefold() not in numbers:
            raise ValueError(
                f"expected clips called <Class>/v_<Class>_gNN_cNN.avi in {TASK.source.hub_id}, got {path}"
            )
        split = "test" if int(match[3]) <= LAST_TEST_GROUP else "train"
        data = Path(path).read_bytes() if data is None else data
        splits[split].append(_row(data, numbers[match[1].casefold()], None, path, spool))
    return add_ids(splits, TASK.columns, TASK.labels)


def class_names(raw: Path) -> tuple[str, ...]:
    """Return the class names of the original files."""
    return _parse_classes(*_read_lists(raw)[CLASSES])


def _parse_classes(data: bytes, where: str) -> tuple[str, ...]:
    """Parse ``classInd.txt``, whose lines are a number from 1 on and a name."""
    lines = [line.split() for line in _split_lines(data, where)]
    names = tuple(line[-1] for line in lines)
    numbered = [[str(number), name] for number, name in enumerate(names, 1)]
    if lines != numbered or len({name.casefold() for name in names}) < len(names) or not names:
        raise ValueError(f"expected lines <number> <Class>, numbered from 1, each class once, got others: {where}")
    return names


def _parse_list(data: bytes, where: str, labels: tuple[str, ...]) -> dict[str, int]:
    """Parse a list of clips, ``<Class>/<clip>.avi`` perhaps with the class's number, to labels by lower-case name."""
    numbers = {name.casefold(): number for number, name in enumerate(labels)}
    found: dict[str, int] = {}
    for line in _split_lines(data, where):
        match = LIST_LINE.fullmatch(line.strip())
        label = numbers.get(match[1].casefold()) if match else None
        if match is None or label is None or match[3] not in (None, str(label + 1)):
            raise ValueError(
                f"expected lines <Class>/v_<Class>_gNN_cNN.avi <number of the class>, got {line[:80]!r}: {where}"
            )
        key = f"{match[1]}/{match[2]}".casefold()
        if key in found:
            raise ValueError(f"expected every clip once, got {line[:80]!r} twice: {where}")
        found[key] = label
    return found


def _split_lines(data: bytes, where: str) -> list[str]:
    return [line for line in decode_text(data, where).splitlines() if line.strip()]


def _read_lists(raw: Path) -> dict[str, tuple[bytes, str]]:
    """Return bytes and name of the three official lists: beside the clips, in any folder, or in an archive."""
    found: dict[str, tuple[bytes, str]] = {}
    for name, data in _candidate_lists(raw):
        file = name.rpartition("/")[2]
        first, where = found.setdefault(file, (data, name))
        if data.split() != first.split():  # copies may differ in their line ends
            raise ValueError(f"expected one {file} in {raw}, got two that differ: {where} and {name}")
    if missing := [name for name in (CLASSES, *LISTS.values()) if name not in found]:
        raise FileNotFoundError(f"expected {', '.join(missing)} somewhere in {raw}, got none")
    return found


def _candidate_lists(raw: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name (with that of its archive) and bytes of all files that may be such a list."""
    packed = {find_source(raw, TASK.source.files), *(raw / name for name in LIST_ARCHIVES if (raw / name).exists())}
    for path in sorted(one for one in packed if one.is_file()):
        for name, data in read_members(path, LIST_FILE):
            yield f"{path.name}/{name}", data
    yield from read_members(raw, LIST_FILE)


def _row(data: bytes, label: int, index: int | None, where: str, spool: Spool) -> Row:
    match, video = CLIP.search(where), store_media(check_video(data, where), spool)
    return {"source_index": index, "group": f"g{match[3]}" if match else "", "video": video, "label": label}
