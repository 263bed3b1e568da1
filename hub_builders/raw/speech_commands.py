"""Speech Commands as twelve-way keyword spotting, ``<word>/<speaker>_nohash_<n>.wav``; or the Hub's.

The classes are those of SUPERB: ten keywords, ``_silence_`` for whole recordings of background noise (SUPERB does not
cut them, so there are six in training) and ``_unknown_`` for all other words. ``validation_list.txt`` and
``testing_list.txt`` decide the split, and a separate test set beside the archive replaces the rows of the second list.
Without lists, a tenth of the speakers is held out for validation and a tenth for test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from mubench.hub_builders.raw._archive import find_source, read_members
from mubench.hub_builders.raw._hub import read_hub_rows
from mubench.hub_builders.raw._recordings import check_recording, warn_of_missing_clips
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.rows import Row, Splits, add_ids, store_media
from mubench.hub_builders.utils.hash_order import stratified_ranks
from mubench.hub_builders.utils.spool import Spool
from mubench.hub_builders.utils.text import decode_text

TASK = TASKS["speech_commands"]
RATE = 16_000
KEYWORDS = TASK.labels[:10]
SILENCE = ("_silence_", "_background_noise_")
CLIP = re.compile(r"(?:^|/)([^/]+/[^/]+\.wav)$")
SPEAKER = re.compile(r"(?:^|_)([0-9a-f]{8})_nohash_")
LISTS = {"validation_list.txt": "validation", "testing_list.txt": "test"}
Clips = dict[str, Row]


def from_files(raw: Path) -> Splits:
    """Read the original files."""
    path = find_source(raw, TASK.source.files)
    spool = Spool()
    clips, lists = _read_clips(path, spool)
    parts = _split_by_lists(clips, lists, path) if lists else _split_by_speaker(clips)
    if lists:
        name = path.name.replace("speech_commands", "speech_commands_test_set").removesuffix(".tar.gz")
        own = [raw / one for one in (name, f"{name}.tar.gz") if (raw / one).exists()]
        if own:  # a separate test set beside the archive, packed or not
            parts["test"] = _read_clips(own[0], spool)[0]
        for part in parts.values():
            for index, name in enumerate(sorted(part)):
                part[name]["source_index"] = index
    return add_ids({split: part.values() for split, part in parts.items()}, TASK.columns, TASK.labels)


def from_hub() -> Splits:
    """Read the Hub's rows, which SUPERB orders by word and file name."""
    spool = Spool()
    splits: Splits = {}
    for split in ("train", "validation", "test"):
        splits[split] = rows = []
        for index, found in read_hub_rows(TASK.source, split, TASK.labels, data_dir="ks"):
            name = "/".join(Path(found["file"]).parts[-2:])
            rows.append({**_row(found["audio"]["bytes"], name, name, spool), "source_index": index})
    return add_ids(splits, TASK.columns, TASK.labels)


def _read_clips(path: Path, spool: Spool) -> tuple[Clips, dict[str, str]]:
    """Return the clips of an archive by ``<word>/<file>``, and the split of those in its lists."""
    clips: Clips = {}
    lists: dict[str, str] = {}
    for name, data in read_members(path):
        file = name.rpartition("/")[2]
        if match := CLIP.search(name):
            if match[1] in clips:
                raise ValueError(f"expected every clip once in {path}, got it twice: {match[1]}")
            clips[match[1]] = _row(data, match[1], name, spool)
        elif file in LISTS:
            for line in _parse_list(data, name):
                if line in lists:
                    raise ValueError(f"expected a clip in one list, got it in both: {line} in {path}")
                lists[line] = LISTS[file]
    return clips, lists


def _parse_list(data: bytes, where: str) -> list[str]:
    """Return the clips of an official list, one ``<word>/<file>`` per line."""
    names = decode_text(data, where).split()
    seen: set[str] = set()
    for name in names:
        if not CLIP.fullmatch(name) or name in seen:
            what = "one twice" if name in seen else "another line"
            raise ValueError(f"expected lines <word>/<file>.wav, each once, got {what}: {name[:80]!r} in {where}")
        seen.add(name)
    if not names:
        raise ValueError(f"expected lines <word>/<file>.wav, got an empty list: {where}")
    return names


def _split_by_lists(clips: Clips, lists: Mapping[str, str], path: Path) -> dict[str, Clips]:
    """Split by the official lists; clips in neither are training rows."""
    if set(lists.values()) != set(LISTS.values()):
        raise ValueError(f"expected both {' and '.join(LISTS)} in {path}, got one of them")
    warn_of_missing_clips(lists.keys() - clips.keys(), path)
    parts: dict[str, Clips] = {"train": {}, "validation": {}, "test": {}}
    for name, row in clips.items():
        parts[lists.get(name, "train")][name] = row
    return parts


def _split_by_speaker(clips: Clips) -> dict[str, Clips]:
    """Hold out a tenth of the speakers for validation and a tenth for test, likewise of clips without a speaker."""
    spoken = {row["group"]: SPEAKER.search(name) is not None for name, row in clips.items()}
    if len(spoken) < 10:
        raise ValueError(f"expected at least 10 speakers to hold some out, got {len(spoken)}")
    ranks = stratified_ranks(list(spoken), list(spoken.values()), prefix="split:speech_commands").tolist()
    place = {group: 10 * rank // len(spoken) for group, rank in zip(spoken, ranks, strict=True)}
    parts: dict[str, Clips] = {"train": {}, "validation": {}, "test": {}}
    for name, row in clips.items():
        parts[{0: "validation", 1: "test"}.get(place[row["group"]], "train")][name] = row
    return parts


def _row(data: bytes, name: str, where: str, spool: Spool) -> Row:
    word, _, file = name.partition("/")
    other = "_silence_" if word in SILENCE else "_unknown_"
    label = TASK.labels.index(word if word in KEYWORDS else other)
    speaker = SPEAKER.search(file)
    group = speaker[1] if speaker else file.partition(".")[0]
    audio = store_media(check_recording(data, RATE, where), spool)
    return {"source_index": None, "group": group, "audio": audio, "label": label}
