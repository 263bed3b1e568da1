"""DDI-2013 drug-drug interactions: a row for every pair of drugs that a sentence of the XML corpus names.

The rule, for every ``<pair>`` of ``Train`` and of ``Test for DDI Extraction task`` (the drug-name test has no
interactions and is not read):

* The text is the sentence with the first drug between ``[E1] `` and `` [/E1]``, the second between ``[E2] `` and
  `` [/E2]``, first and second as the pair says; without the marks, and but for white space at its ends, it is the
  sentence. Every fragment of a discontinuous drug gets marks of its own, and marks of drugs that share characters
  nest or cross: no pair is left out for where its drugs are.
* A drug is where its offsets say, which must spell its name but for white space, or a character beside (one is).
* The label is the type of the interaction, or ``none``. An interaction without a type is left out and counted (there
  is one, in Train).
* Anything else is an error: an unknown drug, type or element, a pair of a drug with itself, a repeated id.

Rows by class, and of the preparation that the paper's forget list is about (train 25,296, dev 2,496, test 5,716):

==========  ======  =====  =============
class        train   test  its train set
==========  ======  =====  =============
none        23,771  4,737         21,745
mechanism    1,319    302          1,163
advise         826    221            725
effect       1,687    360          1,486
int            188     96            177
together    27,791  5,716         25,296
==========  ======  =====  =============

25,296 + 2,496 = 27,792 = 27,791 + the one without a type: it cut its dev set out of the pairs of Train, of which this
reader keeps all for training.
"""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from mubench.hub_builders.deletion.forget_lists import quoted
from mubench.hub_builders.raw import _xml as xml
from mubench.hub_builders.raw._archive import find, members
from mubench.hub_builders.raw._rows import Row, Splits, identified, label_index
from mubench.hub_builders.raw._spans import located, marked
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.utils.download import download

logger = logging.getLogger(__name__)

TASK = TASKS["ddi2013"]
SPLITS = {"Train": "train", "Test/Test for DDI Extraction task": "test"}
DOCUMENT = re.compile(rf"(?:^|/)({'|'.join(SPLITS)})/(?:DrugBank|MedLine)/[^/]+\.xml$")
MARKS = ("E1", "E2")
NONE = TASK.labels.index("none")
SERVER = "https://raw.githubusercontent.com"
SHA256 = "87fc63e32ebce20d9841c372e0c594ec72d60882ab5621550ca73c3eaf80ab60"
MOST_BYTES = 2**24


def from_files(raw: Path) -> Splits:
    """Read the original files."""
    found: dict[str, dict[str, list[Row]]] = {split: {} for split in SPLITS.values()}
    for name, data in members(find(raw, TASK.source.files)):
        if match := DOCUMENT.search(name):
            key, rows = document(data, name)
            if any(key in documents for documents in found.values()):
                raise ValueError(f"expected every document once, got {key} again: {name}")
            found[SPLITS[match[1]]][key] = rows
    # Equal rows are counted in the order of their documents, so that an id does not depend on that of the files.
    return {
        split: _rows([row for key in sorted(texts) for row in texts[key]], split) for split, texts in found.items()
    }


def from_hub() -> Splits:
    """Read the corpus from its author's repository: the Hub's copy (bigbio/ddi_corpus) has whole texts and relations.

    It says neither where sentences begin nor which drugs are no pair, so the rows do not follow from it.

    Raises:
        FileNotFoundError: If there is no answer.
        ValueError: If it is not the file it was.
    """
    source = TASK.source
    name = source.files[0]
    address = f"{SERVER}/{source.hub_id}/{source.revision}/{name}"
    data = download(address, MOST_BYTES, f"give the folder of {name} as --raw DIR")
    if (found := hashlib.sha256(data).hexdigest()) != SHA256:
        raise ValueError(f"expected {name} with SHA-256 {SHA256}, got {found}")
    with tempfile.TemporaryDirectory(prefix="mubench-") as folder:
        (Path(folder) / name).write_bytes(data)
        return from_files(Path(folder))


def document(data: bytes, where: str) -> tuple[str, list[Row]]:
    """Return the id of an XML document and a row for every pair in it; that of an unknown type has no label.

    Raises:
        ValueError: If it is not a document of the corpus; the message says where.
    """
    root = xml.parse(data, where)
    try:
        (key,) = _attributes(root, "document", "id")
        pairs = [pair for sentence in root for pair in _pairs(sentence)]
        _check_once("pair", [name for name, _ in pairs])
    except ValueError as error:
        raise ValueError(f"{' '.join(str(error).split())}: {where}") from error
    return key, [{"source_index": None, "group": key, **row} for _, row in pairs]


def _pairs(sentence: Element) -> Iterator[tuple[str, Row]]:
    """Yield the id and the row of every pair of a sentence."""
    name, text = _attributes(sentence, "sentence", "id", "text")
    parts = [one for one in sentence.iter() if one is not sentence]
    entities = [_attributes(one, "entity", "id", "charOffset", "text") for one in parts if one.tag != "pair"]
    _check_once("entity", [key for key, *_ in entities])
    drugs = {key: located(offsets, spelled, text) for key, offsets, spelled in entities}
    seen: list[str] = []
    for pair in (one for one in parts if one.tag == "pair"):
        key, _, *ends = _attributes(pair, "pair", "id", "ddi", "e1", "e2")
        if not set(ends) <= drugs.keys() or ends[0] == ends[1]:
            raise ValueError(f"expected two drugs of {name} in {key}, got {quoted(' and '.join(ends))}")
        seen.append(" and ".join(sorted(ends)))
        yield key, {"text": marked(text, [drugs[end] for end in ends], MARKS).strip(), "label": _label(pair, key)}
    _check_once("pair of", seen)


def _label(pair: Element, key: str) -> int | None:
    """Return a pair's class; of an interaction without a type none."""
    ddi, kind = pair.attrib["ddi"], pair.get("type")
    if ddi not in ("true", "false") or (ddi == "false" and kind is not None):
        raise ValueError(f"expected ddi true, or false and no type, got {quoted(ddi)} with type {kind}: {key}")
    if ddi == "false":
        return NONE
    return None if kind is None else label_index(kind, TASK.labels, key)


def _attributes(element: Element, tag: str, *names: str) -> list[str]:
    """Return an element's attributes, if it is what is expected here."""
    if element.tag != tag:
        raise ValueError(f"expected an element {tag}, got {quoted(element.tag)}")
    if missing := [name for name in names if name not in element.attrib]:
        raise ValueError(f"expected {tag} with {', '.join(names)}, got one without {', '.join(missing)}")
    return [element.attrib[name] for name in names]


def _check_once(what: str, keys: list[str]) -> None:
    if len(set(keys)) != len(keys):
        twice = next(key for index, key in enumerate(keys) if key in keys[:index])
        raise ValueError(f"expected every {what} once, got {quoted(twice)} again")


def _rows(rows: list[Row], split: str) -> list[Row]:
    """Return the rows of a split with their ids, without those whose class is not known."""
    kept = [row for row in rows if row["label"] is not None]
    if less := len(rows) - len(kept):
        logger.info("%s %s: left out %d of %d pairs, interactions without a type", TASK.key, split, less, len(rows))
    return identified(kept, split, TASK.columns, TASK.labels)
