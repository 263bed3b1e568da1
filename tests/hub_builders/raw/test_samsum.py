"""The readers of SAMSum and of XSum, its ood split: known copies give the same rows, other files are refused."""

import csv
import io
import json
import os
import re
from pathlib import Path

import pytest
from datasets import Dataset, Features, Value
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mubench.hub_builders.__main__ import main
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import task_info
from mubench.hub_builders.raw import HUB, RAW, samsum
from mubench.hub_builders.raw import _hub as hub
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.utils.text import decode_text
from tests.hub_builders.raw.test_ddi2013 import pack
from tests.hub_builders.raw.test_raw import contents, tar, unpack

TASK = TASKS["samsum"]
ARTICLES, LISTS = TASK.ood_source.files[0], samsum.XSUM_LISTS[0]
COUNTS = {"train": 60, "validation": 5, "test": 8}
DATA = Path(os.environ.get("MUBENCH_DATA", Path(__file__).parents[3] / "../shared/data")) / "raw"


def records(split, rows):
    """Return records like those of the corpus: various line ends, quotes, emoticons and one empty dialogue."""
    made = [
        {
            "id": f"{1380 + i}{'-1' * (i % 7 == 1)}",
            "dialogue": f'Ann: "Hi",\r\nBob: {split} {max(i, 1)} 🙂 ',
            "summary": f"They, {i // 2}. ",
        }
        for i in range(rows)
    ]
    if split == "train":
        made[5] |= {"id": samsum.ID_WITHOUT_DIALOGUE, "dialogue": ""}
    return made


def as_csv(rows, end="\n"):
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, ["id", "dialogue", "summary"], lineterminator=end)
    writer.writeheader()
    writer.writerows({**row, "dialogue": row["dialogue"].replace("\r\n", end)} for row in rows)
    return out.getvalue().encode()


def csv_files(top="samsum/"):
    files = {f"{top}{split}.csv": as_csv(records(split, rows)) for split, rows in COUNTS.items()}
    return {**files, "__MACOSX/samsum/._train.csv": b"-", f"{top}.DS_Store": b"-", f"{top}README.md": b"about"}


def json_files(top=""):
    names = {"train": "train", "validation": "val", "test": "test"}
    return {
        f"{top}{names[split]}.json": json.dumps(records(split, rows), ensure_ascii=split == "test").encode()
        for split, rows in COUNTS.items()
    }


def summary_file(number, body="A body.\n\nIn two   parts."):
    return (
        f"[SN]URL[SN]\nhttp://x/{number}\n\n[SN]TITLE[SN]\nT\n\n[SN]FIRST-SENTENCE[SN]\n\nFirst,\n{number}.\n\n"
        f"[SN]RESTBODY[SN]\n{body}\n"
    ).encode()


NUMBERS = ["30", "7", "12", "9"]


def add_xsum(raw, numbers=NUMBERS, listed=None):
    """Write the files of XSum: the articles in another order than the list."""
    files = {
        f"bbc-summary-data/{n}.summary": summary_file(n, "" if n == "7" else "A body.\n\nIn two   parts.")
        for n in sorted(numbers)
    }
    tar(raw / ARTICLES, {**files, "bbc-summary-data/99.summary": b"of the training split, and not read"})
    (raw / LISTS).write_text(json.dumps({"train": ["99"], "validation": [], "test": listed or NUMBERS}))
    return raw


@pytest.fixture
def raw(tmp_path):
    """Return a folder with tiny archives of both."""
    (tmp_path / "raw").mkdir()
    pack(tmp_path / "raw" / "samsum.zip", csv_files())
    return add_xsum(tmp_path / "raw")


def test_every_layout_gives_the_same_rows(tmp_path, raw):
    expected = RAW["samsum"](raw)
    assert {split: len(rows) for split, rows in expected.items()} == {**COUNTS, "ood": 4}
    pack(tmp_path / "corpus.zip", json_files())
    unpack(tmp_path / "a" / "corpus", json_files())
    unpack(
        tmp_path / "b" / "samsum",
        {**csv_files(""), "train.csv": b"\xef\xbb\xbf" + as_csv(records("train", 60), "\r\n")},
    )
    for folder in (tmp_path, tmp_path / "a", tmp_path / "b"):
        add_xsum(folder)
        assert RAW["samsum"](folder) == expected


def test_rows_are_unchanged_but_for_line_ends_and_outer_white_space(raw):
    rows = RAW["samsum"](raw)["train"]
    assert rows[2] == {
        "example_id": rows[2]["example_id"], "source_index": None,
        "dialogue": 'Ann: "Hi",\nBob: train 2 🙂', "summary": "They, 1.",
    }  # fmt: skip
    assert [row["dialogue"] == "" for row in rows] == [i == 5 for i in range(60)]
    assert [row["example_id"] for row in rows if "-" in row["example_id"]] == [rows[0]["example_id"] + "-1"]


def test_indices_are_known_if_no_row_is_missing(raw, monkeypatch):
    monkeypatch.setitem(TASK.counts, "full", {**TASK.counts["full"], "train": 60})
    splits = RAW["samsum"](raw)
    assert [row["source_index"] for row in splits["train"]] == list(range(60))
    assert {row["source_index"] for row in splits["test"]} == {None}
    assert [row["source_index"] for row in splits["ood"]] == [0, 1, 2, 3]


def test_articles_are_one_line_each_in_the_order_of_their_list(raw):
    rows = RAW["samsum"](raw)["ood"]
    assert [row["summary"] for row in rows] == ["First, 30.", "First, 7.", "First, 12.", "First, 9."]
    assert [row["dialogue"] for row in rows] == [
        "A body. In two parts.",
        "",
        "A body. In two parts.",
        "A body. In two parts.",
    ]


def load_from(parts):
    """Return a replacement of `load_dataset` with given tables."""

    def load(name, config, split, revision):
        rows, features = parts[name, split]
        return Dataset.from_dict({key: [row[key] for row in rows] for key in features}, features=Features(features))

    return load


def test_files_and_hub_give_the_same_ids(raw, monkeypatch):
    from_files = RAW["samsum"](raw)
    text = Value("string")
    columns = {"id": text, "dialogue": text, "summary": text}
    parts = {}
    for split, rows in COUNTS.items():
        read = [{**row, "dialogue": row["dialogue"].replace("\r\n", "\n") or None} for row in records(split, rows)]
        numbers = split == "validation"
        read = [{**row, "id": int(row["id"][:4]) if numbers else row["id"]} for row in read]
        parts[TASK.source.hub_id, split] = (read, {**columns, "id": Value("int64") if numbers else text})
    articles = [
        {
            "document": "" if number == "7" else "A body.\nIn two   parts.",
            "summary": f"First,\n{number}.",
            "id": number,
        }
        for number in NUMBERS
    ]
    parts[TASK.ood_source.hub_id, "test"] = (articles, {"document": text, "summary": text, "id": text})
    monkeypatch.setattr(hub, "load_dataset", load_from(parts))
    assert contents(HUB["samsum"]()) == contents(from_files)


def test_without_xsum_there_is_no_ood_split_and_no_full_tier(raw, tmp_path, capsys, caplog):
    (raw / ARTICLES).unlink()
    with caplog.at_level("INFO"):
        folder = build("samsum", tier="partial", raw=raw, out=tmp_path, allow_partial=True)
    assert f"samsum: no files of XSum in {raw}, so no ood split" in caplog.text
    assert task_info("samsum", data=folder).counts == COUNTS
    assert main(["build", "samsum", "--tier", "full", "--raw", str(raw), "--out", str(tmp_path / "full")]) == 2
    found = (
        "expected 14732 train, 818 validation, 819 test, 11334 ood rows of samsum, got 60 train, 5 validation, 8 test"
    )
    err = capsys.readouterr().err
    assert found in err and err.count("\n") == 1 and not (tmp_path / "full").exists()


def test_a_partial_build_with_xsum_has_the_ood_split(raw, tmp_path):
    folder = build("samsum", tier="partial", raw=raw, out=tmp_path, allow_partial=True)
    assert task_info("samsum", data=folder).counts == {**COUNTS, "ood": 4}


# Bad input

GOOD = {"id": "1", "dialogue": "A: b", "summary": "c"}
HEAD = b"id,dialogue,summary\n"
BAD = {
    "train.csv": [
        (b"caf\xe9", "expected UTF-8 text, got other bytes: samsum/train.csv"),
        (b"", "expected the columns id, dialogue, summary, got others: samsum/train.csv"),
        (b"id,dialogue\n1,a\n", "expected the columns id, dialogue, summary, got others: samsum/train.csv"),
        (HEAD + b"1,a\n", "expected 3 fields, got 2: samsum/train.csv record 1"),
        (HEAD + b"1,a,b\n2,a,b,c\n", "expected 3 fields, got 4: samsum/train.csv record 2"),
        (HEAD + b'1,"a,b\n', "expected CSV, got other text (unexpected end of data): samsum/train.csv"),
        (HEAD + b'1,"a"b,c\n', "expected CSV, got other text (',' expected after '\"'): samsum/train.csv"),
        (HEAD + b'1,"' + b"a" * 200_000 + b'",c\n', "expected CSV, got other text (field larger than field limit"),
        (HEAD + b"1,,b\n", "expected a dialogue and a summary, got an empty one: samsum/train.csv record 1"),
        (HEAD + b"1,a, \n", "expected a dialogue and a summary, got an empty one: samsum/train.csv record 1"),
        (HEAD + b"1,a,b\n1,c,d\n", "expected every id once, got '1' again: samsum/train.csv record 2"),
    ],
    "train.json": [
        (b"[{]", "expected a JSON object, got '[{]'"),
        (b"{}", "expected a list of objects, got other JSON: samsum/train.json"),
        (b"[1]", "expected an object, got '1': samsum/train.json record 1"),
        (b"[" * 100_000, "expected a JSON object, got one nested too deeply: samsum/train.json"),
        (json.dumps([GOOD, {"id": "2", "dialogue": "a"}]).encode(), "none called summary: samsum/train.json record 2"),
        (json.dumps([{**GOOD, "id": 2}]).encode(), "expected a text as id, got '2': samsum/train.json record 1"),
        (json.dumps([{**GOOD, "summary": "\ud800"}]).encode(), "expected a text as summary, got "),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "data", "message"), [(name, *case) for name, cases in BAD.items() for case in cases])
def test_a_bad_file_is_one_line(raw, name, data, message):
    files = {key: value for key, value in csv_files().items() if key != "samsum/train.csv"}
    pack(raw / "samsum.zip", {**files, f"samsum/{name}": data})
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        RAW["samsum"](raw)
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


def test_missing_and_repeated_files_are_named(raw, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"expected one of samsum.zip, samsum, corpus.zip, corpus in .*, got none"
    ):
        RAW["samsum"](tmp_path)
    (tmp_path / "corpus.7z").write_bytes(b"7z")
    with pytest.raises(
        FileNotFoundError, match=r"expected the unpacked files of corpus.7z in .*corpus, got the archive"
    ):
        RAW["samsum"](tmp_path)
    files = csv_files()
    pack(raw / "samsum.zip", {**files, "samsum/val.json": b"[]"})
    with pytest.raises(ValueError, match=r"expected one file of validation rows in .*, got a second: samsum/val.json"):
        RAW["samsum"](raw)
    del files["samsum/test.csv"]
    pack(raw / "samsum.zip", files)
    with pytest.raises(FileNotFoundError, match=r"expected a .json or .csv file of .* in .*samsum.zip, got no test$"):
        RAW["samsum"](raw)
    pack(raw / "samsum.zip", {"../train.csv": b""})
    with pytest.raises(ValueError, match="expected names inside the archive"):
        RAW["samsum"](raw)


@pytest.mark.parametrize(("numbers", "listed", "message"), [
    (["30", "7", "12"], NUMBERS, "expected 4 articles of .*, got none for 1: 9"),
    (NUMBERS, [*NUMBERS, "7"], "expected every article once, got 1 again: XSum-TRAINING"),
    (NUMBERS, [7], "expected a list of texts as test, got .*: XSum-TRAINING"),
])  # fmt: skip
def test_bad_lists_of_articles_are_refused(raw, numbers, listed, message):
    add_xsum(raw, numbers, listed)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        RAW["samsum"](raw)
    (raw / LISTS).unlink()
    with pytest.raises(FileNotFoundError, match=f"expected one of {LISTS} in"):
        RAW["samsum"](raw)


@pytest.mark.parametrize(("data", "message"), [
    (b"no parts", "expected the sections URL, TITLE, FIRST-SENTENCE, RESTBODY, got '': .*/7.summary"),
    (summary_file("7").replace(b"TITLE", b"NAME"), "expected the sections .*, got 'URL, NAME, FIRST"),
    (summary_file("7").replace(b"First,\n7.", b""), "expected a first sentence, got none: 7.summary"),
    (b"\xff", "expected UTF-8 text"),
])  # fmt: skip
def test_a_bad_article_is_refused(raw, data, message):
    files = {f"bbc-summary-data/{n}.summary": summary_file(n) for n in NUMBERS}
    tar(raw / ARTICLES, {**files, "bbc-summary-data/7.summary": data})
    with pytest.raises(ValueError, match=message) as error:
        RAW["samsum"](raw)
    assert "\n" not in str(error.value)


# Fuzz

PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), min_size=1, max_size=20).filter(
    lambda t: t.strip()
)
RECORDS = st.lists(st.fixed_dictionaries({"id": PLAIN, "dialogue": PLAIN, "summary": PLAIN}), max_size=5)


@pytest.mark.nightly
@settings(max_examples=1_000, deadline=None)
@given(RECORDS, st.booleans())
def test_any_text_is_read_back(made, packed_as_json):
    data = json.dumps(made).encode() if packed_as_json else as_csv(made)
    read = (samsum._parse_json_list if packed_as_json else samsum._parse_csv)(data, "x")
    assert read == made
    keys = [one["id"].strip() for one in made]
    if len(set(keys)) < len(keys):
        with pytest.raises(ValueError, match=r"^expected every id once, got [^\n]*: x record \d$"):
            samsum._parse_rows(read, "train", "x")
    else:
        found = [(row["dialogue"], row["summary"]) for row in samsum._parse_rows(read, "train", "x")]
        assert found == [(one["dialogue"].strip(), one["summary"].strip()) for one in made]


def outcome(read):
    """Return the result of a reader, or the message of its error."""
    try:
        return read()
    except ValueError as error:
        return str(error)


@pytest.mark.nightly
@settings(max_examples=1_000, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 160), st.integers(0, 40))
def test_fuzzed_bytes_give_rows_or_an_error_of_ours(junk, place, less):
    one = [{**GOOD, "dialogue": 'A: "b",\nc'}, {**GOOD, "id": "2"}]
    for read, whole in ((samsum._parse_csv, as_csv(one)), (samsum._parse_json_list, json.dumps(one).encode())):
        data = whole[:place] + junk + whole[place + less :]
        found = outcome(lambda read=read, data=data: samsum._parse_rows(read(data, "x"), "train", "x"))
        if isinstance(found, str):
            assert re.fullmatch(r"expected [^\n]*: x( record \d+)?", found)
        else:
            assert all(row["summary"] and row["source_index"] is None for row in found)


@pytest.mark.nightly
@settings(max_examples=1_000, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 160), st.integers(0, 40))
@example(b"", 88, 30)
def test_fuzzed_articles_and_lists(junk, place, less):
    whole = summary_file("7")
    data = whole[:place] + junk + whole[place + less :]
    found = outcome(lambda: samsum._parse_article(decode_text(data, "x"), "x"))
    assert len(found) == 2 or re.fullmatch(r"expected [^\n]*: x", found)
    whole = json.dumps({"train": ["1"], "test": ["2", "3"]}).encode()
    found = outcome(lambda: samsum._parse_xsum_split(whole[:place] + junk + whole[place + less :], "x"))
    assert isinstance(found, dict) or re.fullmatch(r"expected [^\n]*: x", found)


# The corpus itself


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "samsum.zip").exists(), reason=f"no samsum.zip in {DATA}: set MUBENCH_DATA")
def test_the_local_copy_lacks_the_row_without_a_dialogue():
    splits = RAW["samsum"](DATA)
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 14_731, "validation": 818, "test": 819}
    assert all(row["dialogue"] and row["summary"] for rows in splits.values() for row in rows)
    assert {row["source_index"] for row in splits["train"]} == {None}
    assert [row["source_index"] for row in splits["test"]] == list(range(819))
    assert splits["train"][0]["summary"] == "Amanda baked cookies and will bring Jerry some tomorrow."
