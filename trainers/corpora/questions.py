"""Questions about the documents of a task, from a user's files; the deletion assigns them to forget and retain set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mubench.hub_builders.raw._jsonl import Fields, parse_json_lines
from mubench.hub_builders.utils.cli import read_bytes
from mubench.hub_builders.utils.text import quote
from mubench.trainers.models.setting import Setting

FIELDS: Fields = {"question": "string", "answer": "string"}
PARTS = ("forget", "retain")


@dataclass(frozen=True)
class Question:
    """A question, its true answer, and the document that it is about: a value of the column ``group``."""

    question: str
    answer: str
    document: str = ""


def _read(path: Path, fields: Fields) -> Iterator[Question]:
    data = read_bytes(path, f"questions as JSON lines {path}")
    for number, row in enumerate(parse_json_lines(data, fields, str(path)), start=1):
        found = Question(**row)
        if empty := [name for name in fields if not getattr(found, name).strip()]:
            raise ValueError(f"expected a text as {empty[0]} of question {number} in {path}, got none")
        yield found


def read_examples(path: Path) -> list[Question]:
    """Read JSON lines of ``question`` and ``answer``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is something else.
    """
    return list(_read(path, FIELDS))


def read_questions(paths: Sequence[Path], setting: Setting, ratio: int) -> dict[str, list[Question]]:
    """Read JSON lines of ``question``, ``answer`` and ``document``, and assign them to ``forget`` and ``retain``.

    Those about documents that were held out from training are in neither.

    Args:
        paths: The files.
        setting: Task and backbone.
        ratio: Percentage deleted.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a line is something else, or about a document that the task lacks or the ratio deletes in part.
    """
    train = np.asarray(setting.rows["train"]["group"], dtype=np.str_)
    mask = setting.forget_mask(ratio)
    documents = {"forget": {*train[mask].tolist()}, "retain": {*train[~mask].tolist()}}
    known = {one for rows in setting.rows.values() for one in rows["group"]}
    found: dict[str, list[Question]] = {part: [] for part in PARTS}
    for path in paths:
        for one in _read(path, {**FIELDS, "document": "string"}):
            if one.document not in known:
                raise ValueError(
                    f"expected a document of {setting.task.key}, such as {quote(min(known))}, in {path}, got "
                    f"{quote(one.document)}"
                )
            parts = [part for part in PARTS if one.document in documents[part]]
            if len(parts) > 1:
                raise ValueError(
                    f"expected documents that are deleted as a whole (--family group), got {quote(one.document)} "
                    f"in both sets of {setting.info.family} at {ratio} %"
                )
            if parts:
                found[parts[0]].append(one)
    return found
