"""The reader of the DDI corpus: every pair of its XML becomes one row, and malformed documents are refused."""

import hashlib
import os
import re
import shutil
import zipfile
from collections import Counter
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mubench.hub_builders.__main__ import main
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task, task_info
from mubench.hub_builders.raw import HUB, RAW, ddi2013
from mubench.hub_builders.tasks import TASKS
from tests.hub_builders.deletion.test_forget_lists import send, serve

TASK = TASKS["ddi2013"]
ZIP = "DDICorpus-2013.zip"
TEST = "Test/Test for DDI Extraction task"
SENTENCE = "Aspirin may raise the level of warfarin."
DATA = Path(os.environ.get("MUBENCH_DATA", Path(__file__).parents[3] / "../shared/data")) / "raw"


def element(tag, children="", **attributes):
    return f"<{tag} {' '.join(f'{key}={quoteattr(value)}' for key, value in attributes.items())}>{children}</{tag}>"


def sentence(
    text=SENTENCE, entities=(("0-6", "Aspirin"), ("31-38", "warfarin")), pairs=((0, 1, "none"),), name="d0.s0"
):
    """Return a sentence; pairs are two numbers of entities and a class, or None for an interaction without one."""
    drugs = [
        element("entity", id=f"{name}.e{i}", charOffset=offsets, type="drug", text=spelled)
        for i, (offsets, spelled) in enumerate(entities)
    ]
    attributes = {None: {"ddi": "true"}, "none": {"ddi": "false"}}
    ends = [
        element("pair", id=f"{name}.p{i}", e1=f"{name}.e{a}", e2=f"{name}.e{b}",
                **attributes.get(kind, {"ddi": "true", "type": str(kind)}))
        for i, (a, b, kind) in enumerate(pairs)
    ]  # fmt: skip
    return element("sentence", "".join(drugs + ends), id=name, text=text)


def xml(*sentences, name="d0", head='<?xml version="1.0" encoding="UTF-8"?>\n'):
    return (head + element("document", "".join(sentences), id=name)).encode()


def corpus():
    """Return files in the layout of the corpus: 60 training and 20 test documents with a pair each, and the rest."""
    kinds = [*TASK.labels, "none"]
    files = {}
    for folder, count in (("Train", 60), (TEST, 20)):
        for i in range(count):
            name = f"DDI-{'DrugBank' if i % 2 else 'MedLine'}.{folder[:2]}{i}"
            text = f"{SENTENCE} Case {i // 2 * 2}."
            one = sentence(text, pairs=[(0, 1, kinds[i % len(kinds)])], name=f"{name}.s0")
            place = f"DDICorpus/{folder}/{'DrugBank' if i % 2 else 'MedLine'}"
            files[f"{place}/{i}_ddi.xml"] = xml(one, name=name)
    return {
        **files,
        "DDICorpus/.DS_Store": b"-", "DDICorpus/Train/DrugBank/.DS_Store": b"-", "__MACOSX/DDICorpus/._Train": b"-",
        "DDICorpus/Test/Test for DrugNER task/DrugBank/0.xml": b"no XML, and not read",
    }  # fmt: skip


def pack(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def read(tmp_path, files):
    pack(tmp_path / ZIP, files)
    return RAW["ddi2013"](tmp_path)


def rows_of(*sentences):
    return ddi2013._parse_document(xml(*sentences), "d.xml")[1]


# The rule


def test_a_pair_is_its_sentence_with_both_drugs_marked():
    (row,) = rows_of(sentence(pairs=[(0, 1, "mechanism")]))
    assert row["text"] == "[E1] Aspirin [/E1] may raise the level of [E2] warfarin [/E2]."
    assert (TASK.labels[row["label"]], row["group"], row["source_index"]) == ("mechanism", "d0", None)


def test_the_marks_follow_the_order_of_the_pair():
    (row,) = rows_of(sentence(pairs=[(1, 0, "none")]))
    assert row["text"] == "[E2] Aspirin [/E2] may raise the level of [E1] warfarin [/E1]."


def test_every_class_has_its_label():
    kinds = dict(enumerate(["none", "mechanism", "advise", "effect", "int"]))
    for label, kind in kinds.items():
        assert rows_of(sentence(pairs=[(0, 1, kind)]))[0]["label"] == label


@pytest.mark.parametrize(("text", "first", "second", "expected"), [
    ("loop and thiazide diuretics", ("0-3;18-26", "loop diuretics"), ("9-26", "thiazide diuretics"),
     "[E1] loop [/E1] and [E2] thiazide [E1] diuretics [/E1] [/E2]"),
    ("heme iron salts", ("0-8", "heme iron"), ("5-14", "iron salts"), "[E1] heme [E2] iron [/E1] salts [/E2]"),
    ("heme iron", ("0-8", "heme iron"), ("5-8", "iron"), "[E1] heme [E2] iron [/E2] [/E1]"),
    ("heme iron", ("0-3", "heme"), ("0-8", "heme iron"), "[E2] [E1] heme [/E1] iron [/E2]"),
    ("iron", ("0-3", "iron"), ("0-3", "iron"), "[E1] [E2] iron [/E2] [/E1]"),
    ("a b c", ("0-0;4-4", "ac"), ("2-2", "b"), "[E1] a [/E1] [E2] b [/E2] [E1] c [/E1]"),
    ("alpha- and beta-agents", ("16-21;0-5", "alpha-agents"), ("11-21", "beta-agents"),
     "[E1] alpha- [/E1] and [E2] beta-[E1] agents [/E1] [/E2]"),
    ("R&D <5> \u00e9\u03b1\U0001f600 x", ("0-2", "R&D"), ("8-10", "\u00e9\u03b1\U0001f600"),
     "[E1] R&D [/E1] <5> [E2] \u00e9\u03b1\U0001f600 [/E2] x"),
])  # fmt: skip
def test_drugs_may_be_discontinuous_nested_crossing_or_equal(text, first, second, expected):
    (row,) = rows_of(sentence(text, [first, second]))
    assert row["text"] == expected


def test_white_space_is_stripped_at_the_ends_only():
    (row,) = rows_of(sentence(" a  b\tof c.\r\n", [("1-4", "a b"), ("9-9", "c")]))
    assert row["text"] == "[E1] a  b [/E1]\tof [E2] c [/E2]."


def test_offsets_may_be_off_by_one_character():
    (row,) = rows_of(sentence("of (R)- or (S)-warfarin, x", [("2-5;14-21", "(R)-warfarin"), ("25-25", "x")]))
    assert row["text"] == "of [E1] (R)- [/E1] or (S)-[E1] warfarin [/E1], [E2] x [/E2]"


def test_all_pairs_of_a_sentence_are_rows_in_their_order():
    drugs = [("0-0", "a"), ("2-2", "b"), ("4-4", "c")]
    rows = rows_of(sentence("a b c", drugs, [(0, 1, "none"), (0, 2, "int"), (1, 2, "none")]), sentence(name="d0.s1"))
    assert [row["text"].split("]")[0] for row in rows] == ["[E1", "[E1", "a [E1", "[E1"]
    assert [row["label"] for row in rows] == [0, 4, 0, 0]


def test_an_interaction_without_a_type_is_dropped_and_counted(tmp_path, caplog):
    files = corpus()
    files["DDICorpus/Train/DrugBank/x.xml"] = xml(sentence(pairs=[(0, 1, None)], name="x.s0"), name="x")
    with caplog.at_level("INFO"):
        splits = read(tmp_path, files)
    assert len(splits["train"]) == 60
    assert "ddi2013 train: dropped 1 of 61 pairs, interactions without a type" in caplog.text


# Containers


def test_archive_and_folder_give_the_same_rows_whatever_the_order_of_files(tmp_path):
    files = corpus()
    (tmp_path / "a").mkdir()
    packed = read(tmp_path / "a", dict(reversed(files.items())))
    for name, data in files.items():
        (tmp_path / "b" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "b" / name).write_bytes(data)
    assert RAW["ddi2013"](tmp_path / "b") == packed
    assert {split: len(rows) for split, rows in packed.items()} == {"train": 60, "test": 20}
    assert all(row["group"].startswith(("DDI-DrugBank.Tr", "DDI-MedLine.Tr")) for row in packed["train"])


def test_equal_rows_are_counted_in_the_order_of_their_documents(tmp_path):
    a, b = (xml(sentence(name=f"{key}.s0"), name=key) for key in "ab")
    first = read(tmp_path, {"DDICorpus/Train/DrugBank/0.xml": a, "DDICorpus/Train/DrugBank/1.xml": b})["train"]
    swapped = {"DDICorpus/Train/MedLine/0.xml": b, "DDICorpus/Train/MedLine/1.xml": a}
    assert read(tmp_path, swapped)["train"] == first
    assert [row["example_id"] for row in first] == [first[0]["example_id"], first[0]["example_id"] + "-1"]
    assert [row["group"] for row in first] == ["a", "b"]


def test_the_downloaded_copy_gives_the_same_ids_and_is_verified_by_its_hash(tmp_path, monkeypatch):
    from_files = read(tmp_path, corpus())
    data = (tmp_path / ZIP).read_bytes()
    with serve(send(data)) as (url, requested):
        monkeypatch.setattr(ddi2013, "SERVER", url)
        monkeypatch.setattr(ddi2013, "SHA256", hashlib.sha256(data).hexdigest())
        assert HUB["ddi2013"]() == from_files
        monkeypatch.setattr(ddi2013, "SHA256", hashlib.sha256(data[:-1]).hexdigest())
        with pytest.raises(ValueError, match=rf"expected {ZIP} with SHA-256 [0-9a-f]+, got [0-9a-f]+$"):
            HUB["ddi2013"]()
    assert requested == [f"/isegura/DDICorpus/{TASK.source.revision}/{ZIP}"] * 2


def test_a_failed_download_names_the_option_to_use_instead(monkeypatch, capsys, tmp_path):
    with serve(send(b"", status=404)) as (url, _):
        monkeypatch.setattr(ddi2013, "SERVER", url)
        assert main(["build", "ddi2013", "--tier", "full", "--out", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "give the folder of DDICorpus-2013.zip as --raw DIR" in err and err.count("\n") == 1


def test_a_partial_build_has_documents_as_groups(tmp_path):
    pack(tmp_path / ZIP, corpus())
    folder = build("ddi2013", tier="partial", raw=tmp_path, out=tmp_path, allow_partial=True, family="group")
    pair = load_task("ddi2013", 5, data=folder, family="group")
    assert set(pair["forget"]["group"]).isdisjoint(pair["retain"]["group"]) and len(pair["forget"]) == 3
    assert task_info("ddi2013", data=folder, family="group").counts == {"train": 60, "validation": 5, "test": 15}


# Bad input


BAD = {
    "expected XML without a document type, got other text (": b"<document id='d0'>",
    "expected XML without a document type, got other text (no element": b"",
    "(it declares one)": b'<!DOCTYPE d [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><document id="&b;"/>',
    "(it declares one) ": b'<!DOCTYPE d SYSTEM "file:///etc/passwd"><document id="d0"/>',
    "(it declares one)  ": b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><document id="d0">&x;</document>',
    "undefined entity": b'<document id="&x;"/>',
    "expected an element document, got 'corpus'": b"<corpus/>",
    "expected document with id, got one without id": b"<document/>",
    "expected an element sentence, got 'entity'": xml(element("entity", id="e")),
    "expected sentence with id, text, got one without text": xml(element("sentence", id="s")),
    "expected an element entity, got 'token'": xml(element("sentence", "<token/>", id="s", text="a")),
    "expected two drugs of d0.s0 in d0.s0.p0, got 'd0.s0.e0 and d0.s0.e7'": xml(sentence(pairs=[(0, 7, "none")])),
    "expected two drugs of d0.s0 in d0.s0.p0, got 'd0.s0.e1 and d0.s0.e1'": xml(sentence(pairs=[(1, 1, "none")])),
    "expected a class out of none, mechanism, advise, effect, int, got 'cause'":
        xml(sentence(pairs=[(0, 1, "cause")])),
    "expected ddi true, or false and no type, got 'maybe' with type None":
        xml(sentence()).replace(b'"false"', b'"maybe"'),
    "expected every pair of once, got 'd0.s0.e0 and d0.s0.e1' again":
        xml(sentence(pairs=[(0, 1, "int"), (1, 0, "int")])),
    "expected every pair once, got 'd0.s0.p0' again": xml(sentence(), sentence()),
    "expected every entity once, got 'd0.s0.e0' again": xml(sentence()).replace(b".e1", b".e0", 1),
    "expected 'warfarin' at 30-35, got ' warfa'": xml(sentence(entities=[("0-6", "Aspirin"), ("30-35", "warfarin")])),
    "expected disjoint fragments within 40 characters, got '31-40'":
        xml(sentence(entities=[("0-6", "Aspirin"), ("31-40", "warfarin.")])),
    "expected disjoint fragments within 40 characters, got '6-0'":
        xml(sentence(entities=[("6-0", "Aspirin"), ("31-38", "warfarin")])),
    "expected disjoint fragments within 40 characters, got '0-6;3-9'":
        xml(sentence(entities=[("0-6;3-9", "Aspirin"), ("31-38", "warfarin")])),
    "expected offsets such as 3-9 or 3-9;15-21, got '-1-6'":
        xml(sentence(entities=[("-1-6", "Aspirin"), ("31-38", "warfarin")])),
    "expected the spelling of the mention at 7-7, got ' '":
        xml(sentence(entities=[("7-7", " "), ("31-38", "warfarin")])),
    "expected a text without marks, got E2 in":
        xml(sentence("a b [E2]", [("0-0", "a"), ("2-2", "b")])),
}  # fmt: skip


@pytest.mark.parametrize(("message", "data"), BAD.items())
def test_a_bad_document_is_named_in_one_line(tmp_path, message, data):
    files = {**corpus(), "DDICorpus/Train/DrugBank/bad.xml": data}
    with pytest.raises(ValueError, match=re.escape(message.strip())) as error:
        read(tmp_path, files)
    assert "\n" not in str(error.value) and "DDICorpus/Train/DrugBank/bad.xml" in str(error.value)


def test_a_repeated_document_is_named(tmp_path):
    files = corpus()
    files["DDICorpus/Train/DrugBank/again.xml"] = next(iter(files.values()))
    with pytest.raises(ValueError, match=r"expected every document once, got DDI-MedLine.Tr0 again: .*again.xml"):
        read(tmp_path, files)


def test_a_document_in_both_splits_is_named(tmp_path):
    files = corpus()
    files[f"DDICorpus/{TEST}/DrugBank/again.xml"] = next(iter(files.values()))
    with pytest.raises(ValueError, match=r"expected every document once, got DDI-MedLine.Tr0 again: .*again.xml"):
        read(tmp_path, files)


def test_less_than_the_corpus_needs_the_partial_tier_and_nothing_is_written(tmp_path, capsys):
    pack(tmp_path / ZIP, corpus())
    command = ["build", "ddi2013", "--tier", "full", "--raw", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert "expected 27791 train, 1142 validation, 4574 test rows of ddi2013, got 60 train" in capsys.readouterr().err
    pack(tmp_path / ZIP, {"DDICorpus/readme.txt": b"-"})
    assert main(command) == 2
    (tmp_path / ZIP).write_bytes(b"PK\x03\x04")
    assert main(command) == 2
    pack(tmp_path / ZIP, {"../Train/DrugBank/1.xml": xml(sentence())})
    assert main(command) == 2
    assert capsys.readouterr().err.count("\n") == 3 and not (tmp_path / "out").exists()


# Fuzz


LETTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="[]\ufffe\uffff")
TEXT = st.text(LETTERS, max_size=30)


@st.composite
def documents(draw):
    """Return the parts of a valid or almost valid document."""
    text = draw(TEXT.filter(lambda t: any(not c.isspace() for c in t)))
    size = len(text)
    drugs = []
    for _ in range(draw(st.integers(2, 4))):
        cuts = sorted(draw(st.sets(st.integers(0, size), min_size=2, max_size=4)))
        spans = list(zip(cuts[::2], cuts[1::2], strict=False))
        drugs.append((";".join(f"{a}-{b - 1}" for a, b in spans), " ".join(text[a:b] for a, b in spans)))
    kinds = st.sampled_from([*TASK.labels, None, "other"])
    pairs = draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), kinds), max_size=4))
    return text, drugs, pairs


def sensible(text, drugs, pairs):
    """Return whether the rule has a row for every pair."""
    ends = [frozenset(pair[:2]) for pair in pairs]
    return (
        all(spelled.split() for _, spelled in drugs)
        and all(len(one) == 2 and max(one) < len(drugs) for one in ends)
        and len(set(ends)) == len(ends)
        and all(kind != "other" for *_, kind in pairs)
    )


@pytest.mark.nightly
@settings(max_examples=1_000, deadline=None)
@given(documents())
def test_fuzzed_documents_give_a_row_for_every_pair_or_an_error(made):
    text, drugs, pairs = made
    data = xml(sentence(text, drugs, pairs))
    if not sensible(*made):
        with pytest.raises(ValueError, match=r"^expected [^\n]*: d\.xml$"):
            ddi2013._parse_document(data, "d.xml")
        return
    _, rows = ddi2013._parse_document(data, "d.xml")
    assert len(rows) == len(pairs)
    for row, (first, second, kind) in zip(rows, pairs, strict=True):
        assert re.sub(r"\[E[12]\] | \[/E[12]\]", "", row["text"]).strip() == text.strip()
        assert row["label"] == (None if kind is None else TASK.labels.index(kind))
        for mark, drug in (("E1", first), ("E2", second)):
            inside = "".join(re.findall(rf"\[{mark}\] (.*?) \[/{mark}\]", row["text"], re.DOTALL))
            plain = re.sub(r"\[/?E[12]\]", "", inside)
            assert "".join(plain.split()) == "".join(drugs[drug][1].split())


@pytest.mark.nightly
@settings(max_examples=1_000, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 500), st.integers(0, 60))
def test_fuzzed_bytes_give_rows_or_an_error(junk, place, less):
    whole = xml(sentence(pairs=[(0, 1, "int")]), sentence(name="d0.s1"))
    try:
        key, rows = ddi2013._parse_document(whole[:place] + junk + whole[place + less :], "d.xml")
    except ValueError as error:
        message = str(error)
    else:
        message = f"expected {key}: d.xml".replace("\n", " ")
        assert all(row["label"] in (None, *range(5)) and row["text"].count("[E1] ") for row in rows)
    assert re.fullmatch(r"expected .*: d\.xml", message)


# The mini task is in test_relations.py; what follows is measured on the corpus itself.

real = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / ZIP).exists(), reason=f"no {ZIP} in {DATA}: set MUBENCH_DATA"),
]


@pytest.fixture(scope="module")
def whole():
    return RAW["ddi2013"](DATA)


def table(column):
    """Return a column of counts of the table in the reader's docstring."""
    lines = re.findall(r"^(\w+) +([\d,]+) +([\d,]+) +([\d,]+)$", ddi2013.__doc__, re.MULTILINE)
    return {line[0]: int(line[column].replace(",", "")) for line in lines}


class TestTheCorpus:
    pytestmark = real

    @pytest.mark.parametrize(("split", "column"), [("train", 1), ("test", 2)])
    def test_every_pair_is_a_row_in_the_published_numbers(self, whole, split, column):
        counts = Counter(TASK.labels[row["label"]] for row in whole[split])
        assert {**counts, "together": len(whole[split])} == table(column)
        assert len(whole[split]) == {"train": 27_792 - 1, "test": 5_716}[split]

    def test_the_counts_of_the_papers_preparation_follow_from_train(self):
        theirs, ours = table(3), table(1)
        assert sum(theirs.values()) == 2 * theirs["together"] == 2 * 25_296
        assert all(theirs[key] < ours[key] for key in theirs) and ours["together"] + 1 - theirs["together"] == 2_496

    def test_without_its_marks_a_row_is_a_sentence_of_its_document(self, whole):
        texts = {}
        with zipfile.ZipFile(DATA / ZIP) as archive:
            for name in archive.namelist():
                if ddi2013.DOCUMENT.search(name):
                    root = ddi2013._parse_xml(archive.read(name), name)
                    texts[root.get("id")] = {one.get("text").strip() for one in root}
        for rows in whole.values():
            for row in rows:
                assert re.sub(r"\[E[12]\] | \[/E[12]\]", "", row["text"]) in texts[row["group"]]
                assert {mark: row["text"].count(mark) > 0 for mark in ("[E1] ", " [/E1]", "[E2] ", " [/E2]")}

    def test_one_drug_is_off_by_one_character(self, monkeypatch):
        monkeypatch.setattr("mubench.hub_builders.raw.ddi2013.SHIFTS", (0,))
        with pytest.raises(ValueError, match=r"expected '\(R\)-warfarin' at 95-98;107-114, .*Eszopiclone_ddi.xml"):
            RAW["ddi2013"](DATA)

    def test_the_folder_gives_the_ids_of_the_archive(self, whole, tmp_path):
        shutil.unpack_archive(DATA / ZIP, tmp_path)
        assert RAW["ddi2013"](tmp_path) == whole

    def test_the_pinned_hash_is_that_of_the_archive(self):
        assert hashlib.sha256((DATA / ZIP).read_bytes()).hexdigest() == ddi2013.SHA256
