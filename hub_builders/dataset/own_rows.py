"""Rows of a custom task: read by the loaders of `datasets`, or by the user's Python file, and checked."""

from __future__ import annotations

import io
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import datasets
import numpy as np
from datasets import Audio, ClassLabel, Dataset, DatasetDict, Image, Video, load_dataset
from datasets.exceptions import DatasetsError
from datasets.features.features import register_feature
from datasets.packaged_modules.audiofolder.audiofolder import AudioFolder

from mubench.hub_builders.dataset.documents import DOCUMENT, cut_text, read_documents
from mubench.hub_builders.dataset.own_reader import run_reader
from mubench.hub_builders.dataset.task_file import DOCUMENTS, OwnTask, Reader
from mubench.hub_builders.raw._recordings import check_recording, check_video
from mubench.hub_builders.tasks import Task
from mubench.hub_builders.tasks.rows import Row, Splits, add_ids, store_media
from mubench.hub_builders.utils.hub_client import file_cache
from mubench.hub_builders.utils.images import rgb_bytes
from mubench.hub_builders.utils.optional import require
from mubench.hub_builders.utils.spool import Spool
from mubench.hub_builders.utils.text import quote

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test", "ood")
RATE = 16_000  # of all speech backbones
SECONDS = 1  # that they read of a recording
SPLIT_OF_ROW = "split"


class Found(NamedTuple):
    """A row as the source has it.

    Attributes:
        split: Split of the task.
        position: Position in the split of the source.
        cells: Values by column of the source; media undecoded.
        classes: Class names of the source's label column, if it names them.
        document: Name of the document that the row is; empty where the source names none.
    """

    split: str
    position: int
    cells: Mapping[str, Any]
    classes: tuple[str, ...] = ()
    document: str = ""

    @property
    def where(self) -> str:
        return self.document or f"{self.split} row {self.position}"


def read_own_rows(own: OwnTask) -> tuple[Task, Splits]:
    """Read the rows of a task file, and return its task, with the class names that were found, and the rows by split.

    Raises:
        ValueError: If a row or a column is not what the file promises; the line names the row.
        FileNotFoundError: If the source cannot be read.
    """
    cells = _Cells(own)
    splits: Splits = {}
    for found in _read(own.reader) if own.reader else _load(own):
        splits.setdefault(found.split, []).extend(cells.rows(found))
    if "train" not in splits:
        raise ValueError(f"expected training rows in {own.file.source!r}, got none")
    cells.report()
    task = own.task(cells.name_classes(splits))
    return task, add_ids(splits, task.columns, task.labels)


@dataclass
class _Cells:
    """Turns rows of a source into rows of the task; labels are names until all rows are read."""

    own: OwnTask
    spool: Spool = field(default_factory=Spool)
    classes: tuple[str, ...] = ()
    long_recordings: int = 0
    cut: Counter[str] = field(default_factory=Counter)

    def rows(self, found: Found) -> list[Row]:
        """Return the rows of a row of the source: several where it is a document, in order over a split."""
        row = self.row(found)
        if not self.own.file.prefix_free:
            return [row]
        texts, first = cut_text(row["text"], self.own.file.row_words), self.cut[found.split]
        self.cut[found.split] += len(texts)
        return [{**row, "source_index": first + place, "text": text} for place, text in enumerate(texts)]

    def row(self, found: Found) -> Row:
        file, cells = self.own.file, found.cells
        wanted = [*file.columns.values(), *([file.group] if file.group else [])]
        if missing := [name for name in wanted if name not in cells]:
            raise ValueError(
                f"expected the column {missing[0]!r} in {file.source!r}, got {', '.join(cells) or 'none'}"
            )
        row: Row = {"source_index": found.position}
        if file.group:
            row["group"] = _text(cells[file.group], file.group, found.where)
        elif file.prefix_free:
            row["group"] = found.where
        for name, kind in file.kind_columns.items():
            value, column = cells[file.columns[name]], file.columns[name]
            if value is None:
                raise ValueError(f"expected a value in column {column!r} of {found.where}, got none")
            if kind == "label":
                row[name] = self._class_name(value, found)
            elif kind == "string":
                row[name] = _text(value, column, found.where)
            else:
                row[name] = store_media(self._media(kind, value, found), self.spool)
        return row

    def _class_name(self, value: Any, found: Found) -> str:
        """Return the name of a class: that of the source, or of a whole number where the file names the classes."""
        self.classes = self.classes or found.classes
        if found.classes:
            if not 0 <= value < len(found.classes):
                raise ValueError(
                    f"expected a label of {found.where}, got number {value}, which the source does not name"
                )
            name = found.classes[value]
        else:
            name = _text(value, self.own.file.columns["label"], found.where)
        labels = self.own.file.labels
        if not labels or name in labels:
            return name
        if not found.classes and name.isdecimal() and int(name) < len(labels):
            return labels[int(name)]
        raise ValueError(f"expected a label out of {', '.join(labels)} in {found.where}, got {quote(name)}")

    def _media(self, kind: str, value: Any, found: Found) -> bytes:
        """Return the checked bytes of a media cell: bytes, a path, or both as `datasets` has them."""
        where, fetched = found.where, isinstance(value, dict)
        path = value.get("path") if isinstance(value, dict) else value if isinstance(value, str | Path) else None
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            if path is None:
                raise ValueError(f"expected bytes or a path of {kind} in {where}, got {quote(value)}")
            file = self._cached(path, found.split) if fetched else self.own.folder_of(found.split) / path
            if not file.is_file():
                raise FileNotFoundError(f"expected a file of {kind} in {where}, got none at {file}")
            data, where = file.read_bytes(), f"{where}, {path}"
        if kind == "image":
            return rgb_bytes(data, None, where)
        return check_video(data, where) if kind == "video" else self._recording(data, where)

    def _cached(self, path: str | Path, split: str) -> Path:
        """Return a path that the loader gives; that of a data set on the Hub must be of a file that was fetched."""
        file = Path(path)
        caches = (datasets.config.HF_DATASETS_CACHE, datasets.config.DOWNLOADED_DATASETS_PATH, file_cache())
        if self.own.is_hub and not any(file.resolve().is_relative_to(Path(one).resolve()) for one in caches):
            self.own.folder_of(split)
        return file

    def _recording(self, data: bytes, where: str) -> bytes:
        """Return the bytes of a recording, as they are or, from another rate or several channels, as a WAV file."""
        soundfile = require("soundfile")
        try:
            samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise ValueError(f"expected a recording, got {len(data)} bytes that do not open: {where}") from error
        self.long_recordings += len(samples) > SECONDS * rate
        if (rate, samples.shape[1]) != (RATE, 1):
            buffer = io.BytesIO()
            soundfile.write(buffer, _resample(samples.mean(axis=1), rate), RATE, format="WAV", subtype="PCM_16")
            data = buffer.getvalue()
        return check_recording(data, RATE, where)

    def report(self) -> None:
        """Log how many recordings are longer than what models read."""
        if self.long_recordings:
            logger.warning(
                "%s: %d recordings are longer than %d s; speech models read the first second of each",
                self.own.file.key, self.long_recordings, SECONDS,
            )  # fmt: skip

    def name_classes(self, splits: Splits) -> tuple[str, ...]:
        """Return the class names, and replace those in the rows by their numbers."""
        if "label" not in self.own.file.kind_columns:
            return ()
        seen = {str(row["label"]) for row in splits["train"]}
        found = sorted(seen, key=int) if all(name.isdecimal() for name in seen) else sorted(seen)
        names = tuple(self.own.file.labels) or self.classes or tuple(found)
        if len(names) < 2:
            raise ValueError(f"expected rows of 2 labels or more in {self.own.file.source!r}, got {', '.join(names)}")
        numbers = {name: number for number, name in enumerate(names)}
        for split, rows in splits.items():
            for row in rows:
                if row["label"] not in numbers:
                    raise ValueError(f"expected labels of training rows in {split}, got {quote(row['label'])}")
                row["label"] = numbers[row["label"]]
        return names


def _text(value: Any, column: str, where: str) -> str:
    """Return a cell as a text that is not empty."""
    if not isinstance(value, str | int | float) or not (text := str(value).strip()) or value != value:  # noqa: PLR0124
        raise ValueError(f"expected a text in column {column!r} of {where}, got {quote(value)}")
    return text


def _resample(samples: np.ndarray[Any, Any], rate: int) -> np.ndarray[Any, Any]:
    from scipy.signal import resample_poly  # noqa: PLC0415  (half a second)

    shared = int(np.gcd(rate, RATE))
    return np.clip(resample_poly(samples, RATE // shared, rate // shared), -1, 1)


def _load(own: OwnTask) -> Iterator[Found]:
    """Yield the rows of a file, a folder or a data set on the Hub, by the loaders of `datasets`, or documents."""
    if own.loader == DOCUMENTS:
        yield from _documents(own)
        return
    if own.is_hub and Path(own.loader).is_dir():
        raise ValueError(
            f"expected {own.loader!r} on the Hub, got a folder of that name in {Path.cwd()}, which `datasets` would "
            f"read in its place: build elsewhere, or name the folder from {own.path}"
        )
    with _recordings_cache(own) as cache:
        loaded = _load_splits(own, cache)
        for split, theirs in _choose_splits(own, list(loaded)).items():
            yield from _rows(split, loaded[theirs], own.file.columns.get("label", ""))


def _documents(own: OwnTask) -> Iterator[Found]:
    """Yield the text files of every split, whose names are groups, so that none may stand in two splits."""
    splits: dict[str, str] = {}
    for split, theirs in _choose_splits(own, list(own.files)).items():
        for index, cells in enumerate(read_documents(own.files[theirs])):
            name = cells[DOCUMENT]
            if (first := splits.setdefault(name, split)) != split:
                raise ValueError(
                    f"expected documents of different names in {first} and {split}, got {name!r} in both; rename one"
                )
            yield Found(split, index, cells, document=name)


def _load_splits(own: OwnTask, cache: str | None) -> DatasetDict:
    try:
        if cache is None:
            return load_dataset(own.loader, **own.loading)
        with _recordings_by_path():
            return load_dataset(own.loader, **own.loading, cache_dir=cache)
    except (OSError, ValueError, RuntimeError, ImportError, DatasetsError) as error:
        reason = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
        raise FileNotFoundError(f"expected rows in {own.file.source!r} of {own.path}, got: {reason[0]}") from error


def _recordings_cache(own: OwnTask) -> AbstractContextManager[str | None]:
    """Return a cache for `_Recording` columns, which other programs that load the same source cannot read."""
    if own.file.kind != "audio_classification" or not (own.is_hub or own.loader == "audiofolder"):
        return nullcontext()
    place = Path(datasets.config.HF_DATASETS_CACHE)
    place.mkdir(parents=True, exist_ok=True)
    return TemporaryDirectory(prefix="mubench-", dir=place)


@dataclass
class _Recording(Audio):  # type: ignore[misc]
    """A recording in a file, which `Audio` refuses to name without torchcodec, and with it torch."""

    _type: str = field(default="_Recording", init=False, repr=False)

    def encode_example(self, value: str) -> dict[str, Any]:
        """Return the path of a file."""
        return {"bytes": None, "path": str(value)}


with warnings.catch_warnings(action="ignore"):  # `datasets` calls its registry experimental
    register_feature(_Recording, "_Recording")


@contextmanager
def _recordings_by_path() -> Iterator[None]:
    """Let the loader of folders of recordings make `_Recording` columns."""
    usual = AudioFolder.BASE_FEATURE
    AudioFolder.BASE_FEATURE = _Recording
    try:
        yield
    finally:
        AudioFolder.BASE_FEATURE = usual


def _choose_splits(own: OwnTask, found: list[str]) -> dict[str, str]:
    """Return the split of the source by split of the task."""
    chosen: dict[str, str] = dict(own.file.splits) or {name: name for name in SPLITS if name in found}  # type: ignore[arg-type]
    if missing := [name for name in chosen.values() if name not in found]:
        raise ValueError(f"expected the split {missing[0]!r} in {own.file.source!r}, got {', '.join(found)}")
    if repeated := [name for name, count in Counter(chosen.values()).items() if count > 1]:
        raise ValueError(f"expected each split of {own.file.source!r} once in {own.path}, got {repeated[0]!r} twice")
    if "train" not in chosen:
        raise ValueError(
            f"expected a split called train in {own.file.source!r}, or `splits: {{train: ...}}` in {own.path}, got "
            f"{', '.join(found)}"
        )
    return chosen


def _rows(split: str, rows: Dataset, label: str) -> Iterator[Found]:
    for column, feature in rows.features.items():
        if kind := next((one for one in (Image, Audio, Video) if isinstance(feature, one)), None):
            rows = rows.cast_column(column, kind(decode=False))
    feature = rows.features.get(label)
    classes = tuple(feature.names) if isinstance(feature, ClassLabel) else ()
    for index, row in enumerate(rows):
        yield Found(split, index, row, classes)


def _read(reader: Reader) -> Iterator[Found]:
    """Yield the rows of a user's function: values by column, with their ``split`` unless it is train."""
    where = f"{reader.path.name}:{reader.function}"
    counts: Counter[str] = Counter()
    for row in run_reader(reader):
        if not isinstance(row, Mapping):
            raise ValueError(f"expected rows by column from {where}, got {quote(row)}")  # noqa: TRY004
        split = str(row.get(SPLIT_OF_ROW, "train"))
        if split not in SPLITS:
            raise ValueError(f"expected a split out of {', '.join(SPLITS)} from {where}, got {split!r}")
        yield Found(split, counts[split], row)
        counts[split] += 1
