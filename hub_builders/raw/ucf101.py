"""UCF101, ``<Class>/v_<Class>_gNN_cNN.avi`` with the official lists of split 1; or from the Hub.

The lists say which clips are for training and for test, and `classInd.txt` what the classes are called: a data set in
the same layout has classes of its own. Names of clips are compared without regard to case, because lists and archives
spell HandstandPushups and HandStandPushups.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mubench.hub_builders.raw._archive import find, members
from mubench.hub_builders.raw._blobs import Spool
from mubench.hub_builders.raw._hub import hub_rows
from mubench.hub_builders.raw._recordings import tell_missing, video
from mubench.hub_builders.raw._rows import Row, Splits, identified, media
from mubench.hub_builders.tasks import TASKS

TASK = TASKS["ucf101"]
CLIP = re.compile(r"(?:^|/)(\w+)/(v_\w+_g(\d\d)_c\d\d\.avi)$")
VIDEO = re.compile(r"\.avi$", re.IGNORECASE)
LISTED = re.compile(r"(\w+)/(v_\w+_g\d\d_c\d\d\.avi)(?: (\d+))?")
CLASSES = "classInd.txt"
LISTS = {"train": "trainlist01.txt", "test": "testlist01.txt"}
TEXTS = re.compile(r"(?:^|/)(classInd\.txt|trainlist01\.txt|testlist01\.txt)$")
SPLITS = ("UCF101TrainTestSplits-RecognitionTask.zip",)
LAST_TEST_GROUP = 7


def from_files(raw: Path) -> Splits:
    """Read the original files."""
    path, texts, spool = find(raw, TASK.source.files), _texts(raw), Spool()
    labels = read_classes(*texts[CLASSES])
    lists = {split: read_list(*texts[name], labels) for split, name in LISTS.items()}
    if both := lists["train"].keys() & lists["test"].keys():
        raise ValueError(f"expected a clip in one of {' and '.join(LISTS.values())}, got {min(both)} in both")
    place = {
        key: (split, index, label)
        for split, clips in lists.items()
        for index, (key, label) in enumerate(clips.items())
    }  # fmt: skip
    splits: Splits = {"train": [], "test": []}
    for name, data in members(path, VIDEO):
        if (match := CLIP.search(name)) is None:
            raise ValueError(f"expected clips called <Class>/v_<Class>_gNN_cNN.avi in {path}, got {name}")
        if (key := f"{match[1]}/{match[2]}".casefold()) not in place:
            raise ValueError(f"expected every clip of {path} once and in a list, got another: {name}")
        split, index, label = place.pop(key)
        splits[split].append(_row(data, label, index, name, spool))
    tell_missing(place, path)
    return _identified(splits, labels)


def from_hub() -> Splits:
    """Read the Hub's clips, which have no lists: of split 1, the first seven groups of every class are for test."""
    splits: Splits = {"train": [], "test": []}
    spool = Spool()
    numbers = {name.casefold(): number for number, name in enumerate(TASK.labels)}
    for _, row in hub_rows(TASK.source, "train"):
        path, data = row["video"]["path"], row["video"]["bytes"]
        match = CLIP.search(path)
        if match is None or match[1].casefold() not in numbers:
            raise ValueError(
                f"expected clips called <Class>/v_<Class>_gNN_cNN.avi in {TASK.source.hub_id}, got {path}"
            )
        split = "test" if int(match[3]) <= LAST_TEST_GROUP else "train"
        data = Path(path).read_bytes() if data is None else data
        splits[split].append(_row(data, numbers[match[1].casefold()], None, path, spool))
    return _identified(splits, TASK.labels)


def class_names(raw: Path) -> tuple[str, ...]:
    """Return the class names of the original files."""
    return read_classes(*_texts(raw)[CLASSES])


def read_classes(data: bytes, where: str) -> tuple[str, ...]:
    """Read ``classInd.txt``: a number from 1 on and a name a line.

    Raises:
        ValueError: If it is another file.
    """
    lines = [line.split() for line in _lines(data, where)]
    names = tuple(line[-1] for line in lines)
    numbered = [[str(number), name] for number, name in enumerate(names, 1)]
    if lines != numbered or len({name.casefold() for name in names}) < len(names) or not names:
        raise ValueError(f"expected lines <number> <Class>, numbered from 1, each class once, got others: {where}")
    return names


def read_list(data: bytes, where: str, labels: tuple[str, ...]) -> dict[str, int]:
    """Read a list of clips, ``<Class>/<clip>.avi`` and perhaps the class's number: names in small letters to labels.

    Raises:
        ValueError: If it is another file, names a clip twice or a class that there is not.
    """
    numbers = {name.casefold(): number for number, name in enumerate(labels)}
    found: dict[str, int] = {}
    for line in _lines(data, where):
        match = LISTED.fullmatch(line.strip())
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


def _lines(data: bytes, where: str) -> list[str]:
    try:
        return [line for line in data.decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(f"expected UTF-8 text, got other bytes: {where}") from error


def _texts(raw: Path) -> dict[str, tuple[bytes, str]]:
    """Return the three official lists and where they were: beside the clips, anywhere in the folder, or packed.

    Raises:
        FileNotFoundError: If one is nowhere.
        ValueError: If one is there several times, and not everywhere the same.
    """
    found: dict[str, tuple[bytes, str]] = {}
    for name, data in _candidates(raw):
        match = TEXTS.search(name)
        if match is None:
            continue
        first, where = found.setdefault(match[1], (data, name))
        if data.split() != first.split():  # line ends may differ
            raise ValueError(f"expected one {match[1]} in {raw}, got two that differ: {where} and {name}")
    if missing := [name for name in (CLASSES, *LISTS.values()) if name not in found]:
        raise FileNotFoundError(f"expected {', '.join(missing)} somewhere in {raw}, got none")
    return found


def _candidates(raw: Path) -> Iterator[tuple[str, bytes]]:
    """Yield path within the folder, through an archive if it is in one, and bytes of all that may be such a list."""
    packed = {find(raw, TASK.source.files), *(raw / name for name in SPLITS if (raw / name).exists())}
    for path in sorted(one for one in packed if one.is_file()):
        for name, data in members(path, TEXTS):
            yield f"{path.name}/{name}", data
    yield from members(raw, TEXTS)


def _row(data: bytes, label: int, index: int | None, where: str, spool: Spool) -> Row:
    match = CLIP.search(where)
    group = f"g{match[3]}" if match else ""
    return {"source_index": index, "group": group, "video": media(video(data, where), spool), "label": label}


def _identified(splits: Splits, labels: tuple[str, ...]) -> Splits:
    return {split: identified(rows, split, TASK.columns, labels) for split, rows in splits.items()}
