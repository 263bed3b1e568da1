"""Task files: custom tasks in YAML; an invalid file gives a one-line error."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from mubench.hub_builders.dataset.documents import CHUNK_WORDS, DOCUMENT, TEXT_FILE
from mubench.hub_builders.dataset.task_info import HUB_ID
from mubench.hub_builders.tasks import Kind, Task
from mubench.hub_builders.tasks.definition import (
    PREFIX_FREE,
    Definition,
    Line,
    check_key,
    kind_columns,
    read_recipes,
    resolve_task,
)
from mubench.hub_builders.utils.cli import did_you_mean, parse_yaml, read_bytes
from mubench.hub_builders.utils.text import quote

Split = Literal["train", "validation", "test", "ood"]
READER = re.compile(r"(?P<file>.+\.py):(?P<function>[A-Za-z_]\w*)")
# Loaders of `datasets` by the end of a file's name, and by kind for folders.
FILES = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}
FOLDERS: dict[Kind, str] = {
    "image_classification": "imagefolder",
    "image_pair_classification": "imagefolder",
    "audio_classification": "audiofolder",
    "video_classification": "videofolder",
    "text_to_image": "imagefolder",
}
# Not a loader of `datasets`: text files, each a document.
DOCUMENTS = "documents"


def _as_names(found: Any) -> Any:
    """Return class names, which YAML may read as whole numbers."""
    if not isinstance(found, list):
        return found
    if other := [one for one in found if isinstance(one, bool) or not isinstance(one, int | str)]:
        raise ValueError(
            f"expected class names in quotes where YAML reads them as something else, got {quote(other[0])}"
        )
    return [str(one) for one in found]


def _check_labels(labels: list[str]) -> list[str]:
    if repeated := sorted({one for one in labels if labels.count(one) > 1}):
        raise ValueError(f"expected each class name once, got {repeated[0]!r} again")
    return labels


class TaskFile(BaseModel):
    """A custom task.

    Attributes:
        key: Task key.
        kind: Kind of task.
        columns: Columns of the source by column of the kind; of text generation perhaps ``text`` alone.
        source: Hub id, file or folder of rows, ``reader.py:function``, or a file or folder by split.
        chunk_words: Words of a row at most where texts have no prompts; ``None`` for `CHUNK_WORDS`.
        title: Display name; ``None`` is the key.
        labels: Class names in their order; empty: those of the source.
        group: Column of the source whose rows of equal value may be deleted as a whole; of texts without prompts,
            by default each document is a group.
        splits: Splits of the source by split of the task; empty: those of our names.
        config: Config of a data set on the Hub.
        revision: Commit or branch there.
        licence: Licence of the rows.
        redistributable: Whether ``push`` may publish the rows; else it publishes their ids.
        recipes: Fields of the training recipe by backbone, the first of which is the default.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    key: Annotated[str, AfterValidator(check_key)]
    kind: Kind
    columns: dict[str, str]
    source: str | dict[Split, str]
    chunk_words: Annotated[int, Field(ge=2, le=100_000)] | None = None
    title: Line | None = None
    labels: Annotated[list[Line], BeforeValidator(_as_names), AfterValidator(_check_labels)] = []
    group: Line | None = None
    splits: dict[Split, str] = {}
    config: str | None = None
    revision: Line | None = None
    licence: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=64)] = "unknown"
    redistributable: bool = False
    recipes: dict[str, dict[str, Any]] = {}

    @property
    def prefix_free(self) -> bool:
        """Whether rows are texts without prompts."""
        return self.kind == "text_generation" and self.columns.keys() == PREFIX_FREE.keys()

    @property
    def kind_columns(self) -> Mapping[str, Any]:
        """The columns of the task by type."""
        return kind_columns(self.kind, prefix_free=self.prefix_free)

    @property
    def row_words(self) -> int:
        """Words of a row at most where texts have no prompts."""
        return self.chunk_words or CHUNK_WORDS


class Reader(NamedTuple):
    """A function that yields rows, in a Python file that is read once.

    Attributes:
        path: The file.
        function: Name of the function.
        code: Bytes of the file.
    """

    path: Path
    function: str
    code: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.code).hexdigest()


class OwnTask:
    """A task file that was read and whose source is there.

    Attributes:
        path: The YAML file.
        file: Its content.
        sha256: SHA-256 of the bytes that the content is of.
        reader: What yields the rows; ``None`` without such a function.
        loader: Loader of `datasets` for the rows, such as ``csv``; `DOCUMENTS`; a Hub id; empty with a reader.
        files: File or folder by split of the source; empty with a reader or a Hub id.
    """

    def __init__(self, path: Path, file: TaskFile, sha256: str) -> None:
        self.path, self.file, self.sha256 = path, file, sha256
        self.reader: Reader | None = None
        self.loader, self.files = "", dict[str, Path]()
        if isinstance(file.source, dict):
            self._take_files({str(split): name for split, name in file.source.items()})
        elif match := READER.fullmatch(file.source):
            place = self._place(match["file"])
            self.reader = Reader(place, match["function"], read_bytes(place, f"a Python file {place}"))
        elif self._place(file.source, missing_ok=True).exists():
            self._take_files({"train": file.source})
        elif HUB_ID.fullmatch(file.source):
            self.loader = file.source
        else:
            self._place(file.source)
        if (file.config or file.revision) and not self.is_hub:
            raise ValueError(f"expected a Hub id as source with config or revision, got {file.source!r} in {path}")
        if isinstance(file.source, dict) and file.splits:
            raise ValueError(f"expected splits or a source by split, got both in {path}")

    @property
    def is_hub(self) -> bool:
        """Whether the rows are on the Hub."""
        return bool(self.loader) and not self.files

    def folder_of(self, split: str) -> Path:
        """Return the folder that paths in the rows of a split are relative to: that of the file with the rows.

        Raises:
            ValueError: If the rows are on the Hub, which must not name files of this machine.
        """
        if self.is_hub:
            raise ValueError(f"expected media in the rows of {self.file.source!r}, got the path of a file")
        if self.reader:
            return self.reader.path.parent
        place = self.files[split] if isinstance(self.file.source, dict) else self.files["train"]
        return place if place.is_dir() else place.parent

    @property
    def loading(self) -> dict[str, Any]:
        """Arguments of ``load_dataset`` beside the loader."""
        if self.is_hub:
            return {"name": self.file.config, "revision": self.file.revision}
        if self.loader in FOLDERS.values():
            if isinstance(self.file.source, str):
                return {"data_dir": str(self.files["train"])}
            return {"data_files": {split: f"{path}/**" for split, path in self.files.items()}}
        options: dict[str, Any] = {"data_files": {split: str(path) for split, path in self.files.items()}}
        if self.loader == "csv":  # texts such as NA, 007 and true are texts
            read = [*self.file.columns.values(), *([self.file.group] if self.file.group else [])]
            options |= {"converters": dict.fromkeys(read, str), "keep_default_na": False}
            if next(iter(self.files.values())).suffix.lower() == ".tsv":
                options["sep"] = "\t"
        return options

    def _place(self, name: str, *, missing_ok: bool = False) -> Path:
        """Return a path that the file names; relative ones are relative to it."""
        found = self.path.parent / Path(name).expanduser()
        if not missing_ok and not found.exists():
            raise FileNotFoundError(
                f"expected a file, a folder, NAMESPACE/NAME on the Hub or reader.py:function as source in "
                f"{self.path}, got {name!r}, and nothing at {found}"
            )
        return found

    def _take_files(self, names: dict[str, str]) -> None:
        self.files = {split: self._place(name) for split, name in names.items()}
        self.loader = next(iter({self._loader_of(path) for path in self.files.values()}))
        ends = sorted({path.suffix.lower() if path.is_file() else "folder" for path in self.files.values()})
        if len(ends) > 1:
            raise ValueError(f"expected one kind of file as source in {self.path}, got {' and '.join(ends)}")

    def _loader_of(self, path: Path) -> str:
        kind = self.file.kind
        if self.file.prefix_free and (path.is_dir() or path.suffix.lower() == TEXT_FILE):
            return DOCUMENTS
        if path.is_dir():
            if kind not in FOLDERS:
                raise ValueError(
                    f"expected a file ({', '.join(FILES)}) as source of {kind} in {self.path}, got folder {path}"
                )
            return FOLDERS[kind]
        if path.suffix.lower() not in FILES:
            ends = [*FILES, TEXT_FILE] if self.file.prefix_free else FILES
            raise ValueError(f"expected a file ending in {', '.join(ends)} as source in {self.path}, got {path.name}")
        return FILES[path.suffix.lower()]

    def definition(self, labels: tuple[str, ...] = ()) -> Definition:
        """Return what builds, runs and rows carry of it.

        Args:
            labels: Class names that were found in the rows, where the file names none.

        Raises:
            ValueError: If a class name or the source is too long or not a line.
        """
        try:
            return self._define(labels)
        except ValidationError as error:
            raise ValueError(f"{_explain(error, {})} in {self.path}") from error

    def _define(self, labels: tuple[str, ...]) -> Definition:
        file = self.file
        where = file.source if self.is_hub or self.reader else next(iter(self.files.values())).name
        return Definition(
            file=self.sha256,
            reader=self.reader.sha256 if self.reader else None,
            title=file.title or file.key,
            kind=file.kind,
            prefix_free=file.prefix_free,
            labels=file.labels or list(labels),
            group=file.group or (DOCUMENT if file.prefix_free else None),
            source=self.reader.path.name if self.reader else str(where),
            is_hub=self.is_hub,
            revision=file.revision,
            licence=file.licence,
            redistributable=file.redistributable,
            recipes=file.recipes,
        )

    def task(self, labels: tuple[str, ...] = ()) -> Task:
        """Return the task, with the class names that were found where the file names none."""
        return resolve_task(self.file.key, self.definition(labels))


def read_task_file(path: Path) -> OwnTask:
    """Read a task file.

    Raises:
        FileNotFoundError: If it, or the source of the rows that it names, is missing.
        ValueError: If it is not a task file; the line names the first field that is wrong.
    """
    data = read_bytes(path, f"a task file {path}")
    found = parse_yaml(data, path)
    if not isinstance(found, dict):
        raise ValueError(f"expected the fields of a task in {path}, got {quote(found)}")  # noqa: TRY004
    try:
        file = TaskFile.model_validate(found)
        _check_columns(file)
        read_recipes(file.kind, file.recipes, prefix_free=file.prefix_free)
    except ValidationError as error:
        raise ValueError(f"{_explain(error, found)} in {path}") from error
    except ValueError as error:
        raise ValueError(f"{error} in {path}") from error
    return OwnTask(path, file, hashlib.sha256(data).hexdigest())


def _check_columns(file: TaskFile) -> None:
    wanted = file.kind_columns
    if set(file.columns) != set(wanted):
        alone = ", or {text: ...} without prompts" if file.kind == "text_generation" else ""
        names = ", ".join(f"{name}: ..." for name in wanted)
        raise ValueError(
            f"expected columns: {{{names}}} of {file.kind}{alone}, got {', '.join(file.columns) or 'none'}"
        )
    if file.chunk_words is not None and not file.prefix_free:
        raise ValueError(
            f"expected chunk_words with columns: {{text: ...}} of text_generation alone, got "
            f"{', '.join(file.columns)} of {file.kind}"
        )
    if file.labels and "label" not in wanted:
        raise ValueError(f"expected no labels with kind {file.kind}, got {', '.join(file.labels)}")
    if len(file.labels) == 1:
        raise ValueError(f"expected 2 labels or more, got {file.labels[0]!r} alone")


def _explain(error: ValidationError, found: dict[Any, Any]) -> str:
    """Return what is expected of the first wrong field, and what is there."""
    errors = error.errors(include_url=False)
    # A mistyped field says more than one that is missing, and a source by split is no text.
    mistyped = [one for one in errors if one["type"] == "extra_forbidden"]
    by_split = [one for one in errors if isinstance(found.get("source"), str) or one["loc"] != ("source", "str")]
    first = (mistyped or by_split)[0]
    where = ".".join(str(one) for one in first["loc"] if one not in ("str", "[key]") and "[" not in str(one))
    if first["type"] == "extra_forbidden":
        known = TaskFile.model_fields
        return f"expected the fields {', '.join(known)}, got {where!r}{did_you_mean(where, known)}"
    if first["type"] == "missing":
        return f"expected the field {where}, got {', '.join(map(str, found)) or 'none'}"
    wanted = re.sub("^(Value error, |(Input|String) should )", "", first["msg"])
    if first["type"] == "value_error":
        return f"{wanted} ({where})"
    if "[key]" in first["loc"]:
        where = f"the names in {first['loc'][0]}"
    return f"expected {where} to {wanted[0].lower()}{wanted[1:]}, got {quote(first['input'])}"
