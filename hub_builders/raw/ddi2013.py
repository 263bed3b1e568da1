"""DDI-2013 drug-drug interactions: one row for every pair of drugs in a sentence of the XML corpus.

The rule, for every ``<pair>`` of ``Train`` and of ``Test for DDI Extraction task`` (the drug-name test has no
interactions and is not read):

* The text is the sentence with the pair's first drug between ``[E1] `` and `` [/E1]`` and its second between
  ``[E2] `` and `` [/E2]``, stripped of white space at its ends. Every fragment of a discontinuous drug has marks of
  its own, and marks of drugs that share characters nest or cross: no pair is dropped for the position of its drugs.
* A drug is at its offsets, where the text must spell its name up to white space, or one character beside (one is).
* The label is the type of the interaction, or ``none``. Interactions without a type are dropped and counted (there is
  one, in Train).
* Anything else is an error: an unknown drug, type or element, a pair of a drug with itself, a repeated id.

Rows by class, and those of the preparation behind the paper's forget list (train 25,296, dev 2,496, test 5,716):

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

25,296 + 2,496 = 27,792 = 27,791 + the one without a type: that preparation took its dev set from the pairs of Train,
all of which are training rows here.
"""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.parsers import expat

from mubench.hub_builders.raw._archive import find_source, read_members
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.rows import Row, Splits, add_ids, label_index
from mubench.hub_builders.utils.download import download
from mubench.hub_builders.utils.text import quote

logger = logging.getLogger(__name__)

TASK = TASKS["ddi2013"]
SPLITS = {"Train": "train", "Test/Test for DDI Extraction task": "test"}
DOCUMENT = re.compile(rf"(?:^|/)({'|'.join(SPLITS)})/(?:DrugBank|MedLine)/[^/]+\.xml$")
MARKS = ("E1", "E2")
NONE = TASK.labels.index("none")
SERVER = "https://raw.githubusercontent.com"
SHA256 = "87fc63e32ebce20d9841c372e0c594ec72d60882ab5621550ca73c3eaf80ab60"
MAX_BYTES = 2**24

Spans = tuple[tuple[int, int], ...]  # [start, end) of every fragment, in order and disjoint

OFFSETS = re.compile(r"[0-9]{1,9}-[0-9]{1,9}(?:;[0-9]{1,9}-[0-9]{1,9})*", re.ASCII)
# Shifts tried between stated offsets and the text; one mention of the DDI corpus is a character off.
SHIFTS = (0, 1, -1)


def from_files(raw: Path) -> Splits:
    """Read the original files."""
    found: dict[str, dict[str, list[Row]]] = {split: {} for split in SPLITS.values()}
    for name, data in read_members(find_source(raw, TASK.source.files)):
        if match := DOCUMENT.search(name):
            key, rows = _parse_document(data, name)
            if any(key in documents for documents in found.values()):
                raise ValueError(f"expected every document once, got {key} again: {name}")
            found[SPLITS[match[1]]][key] = rows
    # Equal rows are counted in the order of their documents, so that ids do not depend on the order of the files.
    ordered = {split: [row for key in sorted(texts) for row in texts[key]] for split, texts in found.items()}
    labelled = {split: _keep_labelled(rows, split) for split, rows in ordered.items()}
    return add_ids(labelled, TASK.columns, TASK.labels)


def from_hub() -> Splits:
    """Read the corpus from its author's repository.

    The Hub's copy (bigbio/ddi_corpus) is no source: it has neither the bounds of sentences nor the negative pairs.

    Raises:
        FileNotFoundError: If the download fails.
        ValueError: If the file has another SHA-256.
    """
    source = TASK.source
    name = source.files[0]
    url = f"{SERVER}/{source.hub_id}/{source.revision}/{name}"
    data = download(url, MAX_BYTES, f"give the folder of {name} as --raw DIR")
    if (found := hashlib.sha256(data).hexdigest()) != SHA256:
        raise ValueError(f"expected {name} with SHA-256 {SHA256}, got {found}")
    with tempfile.TemporaryDirectory(prefix="mubench-") as folder:
        (Path(folder) / name).write_bytes(data)
        return from_files(Path(folder))


def _parse_document(data: bytes, where: str) -> tuple[str, list[Row]]:
    """Return the id of an XML document and a row for every pair in it; the label is ``None`` without a type."""
    root = _parse_xml(data, where)
    try:
        (key,) = _attributes(root, "document", "id")
        pairs = [pair for sentence in root for pair in _parse_pairs(sentence)]
        _check_distinct("pair", [name for name, _ in pairs])
    except ValueError as error:
        raise ValueError(f"{' '.join(str(error).split())}: {where}") from error
    return key, [{"source_index": None, "group": key, **row} for _, row in pairs]


def _parse_pairs(sentence: Element) -> Iterator[tuple[str, Row]]:
    name, text = _attributes(sentence, "sentence", "id", "text")
    parts = [one for one in sentence.iter() if one is not sentence]
    entities = [_attributes(one, "entity", "id", "charOffset", "text") for one in parts if one.tag != "pair"]
    _check_distinct("entity", [key for key, *_ in entities])
    drugs = {key: _find_fragments(offsets, spelled, text) for key, offsets, spelled in entities}
    seen: list[str] = []
    for pair in (one for one in parts if one.tag == "pair"):
        key, _, *ends = _attributes(pair, "pair", "id", "ddi", "e1", "e2")
        if not set(ends) <= drugs.keys() or ends[0] == ends[1]:
            raise ValueError(f"expected two drugs of {name} in {key}, got {quote(' and '.join(ends))}")
        seen.append(" and ".join(sorted(ends)))
        yield (
            key,
            {"text": _insert_marks(text, [drugs[end] for end in ends], MARKS).strip(), "label": _label(pair, key)},
        )
    _check_distinct("pair of", seen)


def _find_fragments(offsets: str, mention: str, text: str) -> Spans:
    """Return the fragments of a mention: at its offsets, or one character beside them if it is spelled there."""
    spans = _parse_offsets(offsets, len(text))
    if not _without_spaces(mention):
        raise ValueError(f"expected the spelling of the mention at {offsets}, got {mention!r}")
    for shift in SHIFTS:
        moved = tuple((start + shift, end + shift) for start, end in spans)
        inside = moved[0][0] >= 0 and moved[-1][1] <= len(text)
        if inside and _without_spaces("".join(text[start:end] for start, end in moved)) == _without_spaces(mention):
            return moved
    raise ValueError(f"expected {mention!r} at {offsets}, got {' '.join(text[start:end] for start, end in spans)!r}")


def _parse_offsets(offsets: str, size: int) -> Spans:
    if not OFFSETS.fullmatch(offsets):
        raise ValueError(f"expected offsets such as 3-9 or 3-9;15-21, got {offsets!r}")
    pairs = sorted(tuple(map(int, part.split("-"))) for part in offsets.split(";"))
    spans = tuple((first, last + 1) for first, last in pairs)
    ends = [0, *(end for _, end in spans)]
    if not all(end <= start < stop <= size for end, (start, stop) in zip(ends, spans, strict=False)):
        raise ValueError(f"expected disjoint fragments within {size} characters, got {offsets!r}")
    return spans


def _without_spaces(text: str) -> str:
    return "".join(text.split())


def _insert_marks(text: str, mentions: Sequence[Spans], names: Sequence[str]) -> str:
    """Return a text with every fragment of every mention between ``[NAME] `` and `` [/NAME]``.

    Of fragments that start together the longer one is opened first; of those that end together the last one opened is
    closed first; of equal ones the first mention's encloses the other.
    """
    if held := [name for name in names if f"[{name}]" in text or f"[/{name}]" in text]:
        raise ValueError(f"expected a text without marks, got {held[0]} in {text!r}")
    cuts = []
    for order, (spans, name) in enumerate(zip(mentions, names, strict=True)):
        for start, end in spans:
            # At one position, fragments that end there come before those that start there.
            cuts.append((end, 0, -start, -order, f" [/{name}]"))
            cuts.append((start, 1, -end, order, f"[{name}] "))
    done, parts = 0, []
    for place, *_, mark in sorted(cuts):
        parts += [text[done:place], mark]
        done = place
    return "".join([*parts, text[done:]])


def _label(pair: Element, key: str) -> int | None:
    """Return the class of a pair, or ``None`` for an interaction without a type."""
    ddi, kind = pair.attrib["ddi"], pair.get("type")
    if ddi not in ("true", "false") or (ddi == "false" and kind is not None):
        raise ValueError(f"expected ddi true, or false and no type, got {quote(ddi)} with type {kind}: {key}")
    if ddi == "false":
        return NONE
    return None if kind is None else label_index(kind, TASK.labels, key)


def _attributes(element: Element, tag: str, *names: str) -> list[str]:
    """Return attributes of an element; refuse one with another tag or without them."""
    if element.tag != tag:
        raise ValueError(f"expected an element {tag}, got {quote(element.tag)}")
    if missing := [name for name in names if name not in element.attrib]:
        raise ValueError(f"expected {tag} with {', '.join(names)}, got one without {', '.join(missing)}")
    return [element.attrib[name] for name in names]


def _check_distinct(what: str, keys: list[str]) -> None:
    if len(set(keys)) != len(keys):
        twice = next(key for index, key in enumerate(keys) if key in keys[:index])
        raise ValueError(f"expected every {what} once, got {quote(twice)} again")


def _keep_labelled(rows: list[Row], split: str) -> list[Row]:
    """Return the rows that have a label, and log how many have none."""
    kept = [row for row in rows if row["label"] is not None]
    if dropped := len(rows) - len(kept):
        logger.info("%s %s: dropped %d of %d pairs, interactions without a type", TASK.key, split, dropped, len(rows))
    return kept


def _parse_xml(data: bytes, where: str) -> Element:
    """Return the root of a document, whose type is refused, so that no entities are defined, expanded or fetched."""
    tree = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse
    parser.StartElementHandler = tree.start
    parser.EndElementHandler = tree.end
    try:
        parser.Parse(data, True)
        return tree.close()
    except (expat.ExpatError, ParseError, LookupError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"expected XML without a document type, got other text ({reason}): {where}") from error


def _refuse(*_: object) -> None:
    raise ValueError("it declares one")
