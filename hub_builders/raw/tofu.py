"""TOFU: 20 questions about each of 200 fictitious authors, as JSON lines under their original names; or the Hub's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from mubench.hub_builders.raw._archive import find_source, read_members
from mubench.hub_builders.raw._hub import read_hub_rows
from mubench.hub_builders.raw._jsonl import Fields, parse_json_lines, select_fields
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.rows import Row, Splits, add_ids
from mubench.hub_builders.tasks.schema import Column
from mubench.hub_builders.utils.text import quote

TASK = TASKS["tofu"]
QUESTIONS = 20  # consecutive ones, about one author

_IDENTITY: dict[str, Column] = {"question": "string", "answer": "string"}
_QUESTION: Fields = {"question": "string", "answer": "string"}
_PERTURBED: Fields = {**_QUESTION, "paraphrased_answer": "string", "perturbed_answer": "strings"}
_OPTIONS = ("option1", "option2", "option3", "option4")
_CHOICE: Fields = {**_QUESTION, **dict.fromkeys(_OPTIONS, "string")}
_WRONG: Fields = {**_QUESTION, "perturbed_answer": "strings"}

# Files that rows are made of. Only the first and the last tenth of the authors have perturbed answers.
FILES: dict[str, Fields] = {
    "full": _QUESTION,
    "retain_perturbed": _PERTURBED,
    "forget10_perturbed": _PERTURBED,
    "real_authors": _CHOICE,
    "real_authors_perturbed": _WRONG,
    "world_facts": _CHOICE,
    "world_facts_perturbed": _WRONG,
}
# Parts of ``full``, checked where they exist: its last rows are forgotten, its first ones retained.
PARTS = ("forget01", "forget05", "forget10", "retain90", "retain95", "retain99")
OOD = ("real_authors", "world_facts")

Tables = dict[str, list[Row]]


def from_files(raw: Path) -> Splits:
    """Read the original files."""
    path = find_source(raw, TASK.source.files)
    tables: Tables = {}
    for name, data in read_members(path):
        file = PurePosixPath(name)
        if file.suffix in (".json", ".jsonl") and (file.stem in FILES or file.stem in PARTS):
            if file.stem in tables:
                raise ValueError(f"expected one file {file.stem} in {path}, got a second: {name}")
            tables[file.stem] = parse_json_lines(data, FILES.get(file.stem, _QUESTION), name)
    if missing := [name for name in FILES if name not in tables]:
        raise FileNotFoundError(
            f"expected {', '.join(f'{name}.json' for name in FILES)} in {path}, got no {missing[0]}"
        )
    _check_parts(tables)
    return _splits(tables)


def from_hub() -> Splits:
    """Read the Hub's rows, which have one config per file."""
    return _splits({
        name: [
            select_fields(row, fields, f"{TASK.source.hub_id} {name} row {index}")
            for index, row in read_hub_rows(TASK.source, "train", config=name)
        ]
        for name, fields in FILES.items()
    })  # fmt: skip


def _check_parts(tables: Tables) -> None:
    full = tables["full"]
    for name in PARTS:
        part = tables.get(name, [])
        end = name.startswith("forget")
        if part != (full[len(full) - len(part) :] if end else full[: len(part)]):
            place = "last" if end else "first"
            raise ValueError(f"expected {name} to be the {place} {len(part)} rows of full in their order, got others")


def _splits(tables: Tables) -> Splits:
    """Return all rows about authors as training rows, and those about real authors and the world as ood rows."""
    ood = [row for name in OOD for row in _choices(name, tables[name], tables[f"{name}_perturbed"])]
    # Ids follow from question and answer alone, since the other columns differ between releases.
    return add_ids({"train": _authors(tables), "ood": ood}, _IDENTITY)


def _authors(tables: Tables) -> list[Row]:
    full = _index_by_question("full", tables["full"])
    if len(full) % QUESTIONS:
        raise ValueError(f"expected {QUESTIONS} questions about every author of tofu, got {len(full)} in all: full")
    known: dict[tuple[str, str], Row] = {}
    for name in ("retain_perturbed", "forget10_perturbed"):
        known |= _index_by_question(name, tables[name])
    if strange := known.keys() - full.keys():
        raise ValueError(f"expected perturbed answers to questions of full, got one to {quote(min(strange)[0])}")
    return [
        _row(known.get(key, row), index, f"author-{index // QUESTIONS:03d}")
        for index, (key, row) in enumerate(full.items())
    ]


def _choices(name: str, choices: Sequence[Row], wrong: Sequence[Row]) -> list[Row]:
    perturbed = _index_by_question(f"{name}_perturbed", wrong)
    rows = []
    for index, (key, row) in enumerate(_index_by_question(name, choices).items()):
        options = [row[option] for option in _OPTIONS]
        if key not in perturbed:
            raise ValueError(f"expected perturbed answers to every question of {name}, got none to {quote(key[0])}")
        if row["answer"] not in options:
            raise ValueError(f"expected the answer among the options, got {quote(row['answer'])}: {name} {index}")
        rows.append(_row(perturbed[key], index, name, options))
    return rows


def _row(known: Mapping[str, object], index: int, group: str, options: Sequence[str] = ()) -> Row:
    """Return one row; unknown columns are empty texts or lists, so that all splits have the same columns."""
    return {
        "source_index": index,
        "group": group,
        "question": known["question"],
        "answer": known["answer"],
        "paraphrased_answer": known.get("paraphrased_answer", ""),
        "perturbed_answer": known.get("perturbed_answer", []),
        "options": list(options),
    }


def _index_by_question(name: str, rows: Sequence[Row]) -> dict[tuple[str, str], Row]:
    """Return rows by question and answer; refuse repeated and empty ones."""
    found: dict[tuple[str, str], Row] = {}
    for index, row in enumerate(rows):
        key = (row["question"], row["answer"])
        if not all(text.strip() for text in key):
            raise ValueError(f"expected a question and an answer, got an empty one: {name} row {index}")
        if found.setdefault(key, row) is not row:
            raise ValueError(f"expected every question once, got {quote(key[0])} twice: {name} row {index}")
    return found
