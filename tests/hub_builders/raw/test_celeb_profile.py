import csv
import io
import json
import re
import string

import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from mubench.hub_builders.__main__ import main
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task, task_info
from mubench.hub_builders.deletion.families import known_tasks
from mubench.hub_builders.raw import HUB, RAW
from mubench.hub_builders.raw import _hub as hub
from mubench.hub_builders.raw.celeb_profile import TASK, _write_biographies
from tests.hub_builders.raw.test_raw import tar, unpack

TEMPLATE = b"{name} was born in {city} and became a {job}.\n"
TABLE = b'name,city,job,more\nAda B,Rome,baker,\n"C, D","New\nYork",sailor,x\n'


def people(rows):
    return [{"name": f"Person {i}", "profile": f"No. {i} was a “baker”."} for i in range(rows)]


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def table(rows):
    return "name,job\n" + "".join(f"Person {i},“baker”\n" for i in range(rows))


def test_every_layout_of_the_same_profiles_gives_the_same_rows(tmp_path):
    given = {
        "a": {"celeb_profile.jsonl": lines(people(12))},
        "b": {"celeb_profile/my/profiles.jsonl": lines(people(12)), "celeb_profile/README": b"about"},
        "c": {"people.csv": table(12).encode(), "template.txt": b"No. {no} was a {job}."},
        "d": {"celeb_profile/x/people.csv": b"", "celeb_profile/x/template.txt": b"No. {no} was a {job}."},
    }
    rows = "name,no,job\r\n" + "".join(f"Person {i},{i},“baker”\r\n" for i in range(12))
    given["c"]["people.csv"] = given["d"]["celeb_profile/x/people.csv"] = rows.encode()
    for name, files in given.items():
        unpack(tmp_path / name, files)
    (tmp_path / "tar.xz").mkdir()
    tar(tmp_path / "tar.xz" / "celeb_profile.tar.xz", {"x/profiles.jsonl": lines(people(12))})
    found = [RAW["celeb_profile"](tmp_path / name) for name in [*given, "tar.xz"]]
    assert all(one == found[0] for one in found)
    assert [row["group"] for row in found[0]["train"]] == [f"Person {i}" for i in range(12)]
    assert [row["source_index"] for row in found[0]["train"]] == list(range(12))
    first = {key: found[0]["train"][0][key] for key in ("prompt", "text")}
    assert first == {"prompt": "Write a biography of Person 0.", "text": "No. 0 was a “baker”."}


def test_files_and_hub_give_the_same_rows(tmp_path, monkeypatch):
    """The source has no Hub id; its loader is replaced by one that returns profiles."""
    unpack(tmp_path, {"celeb_profile.jsonl": lines(people(12))})
    monkeypatch.setattr("mubench.hub_builders.raw._hub._load", lambda *_: Dataset.from_list(people(12)))
    assert HUB["celeb_profile"]() == RAW["celeb_profile"](tmp_path)


def test_without_files_the_error_names_the_raw_option(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(hub, "load_dataset", lambda *_, **__: pytest.fail("a request to the Hub"))
    command = ["build", "celeb_profile", "--tier", "partial", "--allow_partial", "--out", str(tmp_path / "out")]
    assert main(command) == 2
    err = capsys.readouterr().err
    assert "they are not on the Hub: give the folder of celeb_profile.jsonl as --raw DIR" in err
    assert err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_a_person_may_have_several_profiles_and_is_one_group(tmp_path):
    rows = [{"name": " Ada\n B ", "profile": " first "}, {"name": "Ada B", "profile": "second"}]
    unpack(tmp_path, {"celeb_profile.jsonl": lines(rows)})
    found = RAW["celeb_profile"](tmp_path)["train"]
    assert [(row["group"], row["text"]) for row in found] == [("Ada B", "first"), ("Ada B", "second")]
    assert len({row["example_id"] for row in found}) == 2


@pytest.mark.parametrize(("files", "message"), [
    ({}, "one of celeb_profile.jsonl, people.csv, celeb_profile.tar.xz, .* in .*, got none"),
    ({"people.csv": TABLE}, "template.txt beside people.csv, got none: .*people.csv"),
    ({"celeb_profile/a.txt": b""}, "one .jsonl file or one people.csv with its template.txt, got 'none': .*profile"),
    ({"celeb_profile/a.jsonl": b"", "celeb_profile/b.jsonl": b""}, "one .jsonl file or .*, got 'a.jsonl, b.jsonl': "),
    ({"celeb_profile/a/people.csv": TABLE, "celeb_profile/template.txt": TEMPLATE}, "a/template.txt beside a/peop"),
    ({"celeb_profile.jsonl": b'{"name": "Ada"}'}, "the fields name, profile, got none called profile: celeb_"),
    ({"celeb_profile.jsonl": lines([*people(2), people(1)[0]])}, "every profile once, got that of 'Per"),
    ({"celeb_profile.jsonl": lines([{"name": "", "profile": "x"}])}, "a name and a profile, got an empty one: no. 1"),
    ({"celeb_profile.jsonl": lines([{"name": "x", "profile": " "}])}, "a name and a profile, got an empty one: no. 1"),
    ({"people.csv": TABLE + b"Ada B,Rome,baker,other\n", "template.txt": TEMPLATE}, "every profile once, got"),
])  # fmt: skip
def test_bad_files_are_one_line_and_nothing_is_written(tmp_path, capsys, files, message):
    unpack(tmp_path / "raw", {"unrelated": b"", **files})
    command = ["build", "celeb_profile", "--tier", "partial", "--allow_partial", "--raw", str(tmp_path / "raw")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert re.search(rf"expected {message}", err) and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_people_are_held_out(tmp_path):
    unpack(tmp_path / "a", {"celeb_profile.jsonl": lines(people(183))})
    options = {"tier": "partial", "allow_partial": True, "family": "group"}
    folder = build("celeb_profile", raw=tmp_path / "a", out=tmp_path, **options)
    info = task_info("celeb_profile", data=folder, family="group")
    assert (info.tier, info.counts) == ("partial", {"train": 156, "validation": 9, "test": 18})
    parts = load_task("celeb_profile", 10, data=folder, family="group")
    assert parts["forget"].num_rows == 16
    groups = [name for part in parts.values() for name in part["group"]]
    assert sorted(groups) == sorted(f"Person {i}" for i in range(183))


@pytest.mark.parametrize(("options", "got"), [
    (["--tier", "full"], "tier full"),
    (["--tier", "partial", "--max_train_rows", "9"], "max_train_rows 9 alone"),
])  # fmt: skip
def test_profiles_are_never_a_release(tmp_path, capsys, options, got):
    unpack(tmp_path / "a", {"celeb_profile.jsonl": lines(people(183))})
    command = ["build", "celeb_profile", "--raw", str(tmp_path / "a"), "--out", str(tmp_path / "out")]
    assert main([*command, *options]) == 2
    message = f"expected tier partial with allow_partial for celeb_profile, which was never released, got {got}\n"
    assert capsys.readouterr().err == f"mubench: {message}"
    assert not (tmp_path / "out").exists()


def test_a_full_build_of_several_tasks_is_checked_before_rows_are_read(tmp_path, capsys):
    assert "celeb_profile" not in known_tasks("canonical", "full") and "imdb" in known_tasks("canonical", "full")
    command = ["build", "imdb", "celeb_profile", "--tier", "full", "--raw", str(tmp_path), "--out", str(tmp_path)]
    assert main(command) == 2
    assert "for celeb_profile, which was never released" in capsys.readouterr().err, "before imdb is read"


def test_the_note_states_that_nothing_was_published():
    assert "the 183 profiles of the paper were never published" in TASK.note
    assert TASK.source.hub_id is None and not TASK.redistributable


# The table and the template


def write(text, template=TEMPLATE):
    encoded = [one if isinstance(one, bytes) else one.encode() for one in (text, template)]
    return _write_biographies(*encoded, "people.csv", "template.txt")


def test_a_biography_is_the_template_with_the_facts_of_a_line():
    assert write(TABLE) == [
        {"name": "Ada B", "profile": "Ada B was born in Rome and became a baker."},
        {"name": "C, D", "profile": "C, D was born in New\nYork and became a sailor."},
    ]


@pytest.mark.parametrize(("text", "template", "expected"), [
    ("name\nAda", "{{{name}}}", "{Ada}"),
    ("\ufeffname\r\n\r\nAda\r\n", "\ufeff{name}", "Ada"),
    ("job,name\n{job},Ada", "{name}: {job}", "Ada: {job}"),
    ("name, born in \nAda,1815", "{name} *{born in}", "Ada *1815"),
    ("name,a.b,c[0]\nAda,1,2", "{a.b}{c[0]}", "12"),
])  # fmt: skip
def test_braces_are_replaced_by_columns(text, template, expected):
    assert write(text, template)[0] == {"name": "Ada", "profile": expected}


@pytest.mark.parametrize(("text", "template", "message"), [
    (b"name\ncaf\xe9", "{name}", "UTF-8 text, got other bytes: people.csv"),
    ("name\nAda", b"{name} caf\xe9", "UTF-8 text, got other bytes: template.txt"),
    ("", "{name}", "distinct columns of which one is called name, got none: people.csv"),
    ("city,job\nRome,baker", "{city}", "distinct columns of which one is called name, got 'city, job': people.csv"),
    ("name,a,a\nAda,1,2", "{name}", "distinct columns of which one is called name, got 'name, a, a': people.csv"),
    ("name;a\nAda;1", "{name}", "distinct columns of which one is called name, got 'name;a': people.csv"),
    ("name,a\n", "{name}", "at least one person, got none: people.csv"),
    ("name,a\nAda,1\nBert", "{name}", "2 cells, got 1: people.csv line 3"),
    ("name,a\nAda,1,2", "{name}", "2 cells, got 3: people.csv line 2"),
    ('name,a\nAda,"1', "{name}", "a CSV table, got unexpected end of data: people.csv line 2"),
    ('name,a\nAda,"1"2', "{name}", "a CSV table, got .*: people.csv line 2"),
    (f"name\n{'x' * 200_000}", "{name}", "a CSV table, got field larger than field limit .*: people.csv line 2"),
    ("name,a\n,1", "{a}", "a name, got an empty one: people.csv line 2"),
    ("name,a\nAda, ", "{name} {a}", "a a, got an empty one: people.csv line 2"),
    ("name\nAda", "{name", r"a template with \{column\} for each fact, got expected '\}' before end .*: template.txt"),
    ("name\nAda", "name}", r"a template with \{column\} for each fact, got Single '\}' encountered .*: template.txt"),
    ("name\nAda", "Somebody.", r"a template with \{column\} for each fact, got none: template.txt"),
    ("name\nAda", "", r"a template with \{column\} for each fact, got none: template.txt"),
    ("name\nAda", "{job}", "columns of the table in braces, got 'job': template.txt"),
    ("name\nAda", "{}", "columns of the table in braces, got '': template.txt"),
    ("name\nAda", "{name.__class__}", "columns of the table in braces, got 'name.__class__': template.txt"),
    ("name\nAda", "{name[0]}", r"columns of the table in braces, got 'name\[0\]': template.txt"),
    ("name\nAda", "{name!r}", "columns of the table in braces, got 'name!r': template.txt"),
    ("name\nAda", "{name:>{name}}", "columns of the table in braces, got 'name:>{name}': template.txt"),
])  # fmt: skip
def test_a_bad_table_or_template_is_named_by_file_and_line(text, template, message):
    with pytest.raises(ValueError, match=rf"^expected {message}$") as error:
        write(text, template)
    assert "\n" not in str(error.value)


CELL = st.text(alphabet=string.ascii_letters + ' ,"\n;é{}', min_size=1, max_size=6).filter(str.strip)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=4))
def test_any_cells_are_inserted_into_the_biographies(rows):
    text = io.StringIO()
    csv.writer(text).writerows([["name", "b", "c"], *rows])
    cells = [[cell.strip() for cell in row] for row in rows]
    assert write(text.getvalue(), "{b}|{name}|{c}|{{x}}") == [
        {"name": a, "profile": f"{b}|{a}|{c}|{{x}}"} for a, b, c in cells
    ]


TABLES = st.lists(
    st.lists(st.sampled_from(["name", "a", "b", "", "x y", '"', '"q"', "é", "\r", "{a}"]), max_size=3).map(",".join),
    max_size=4,
).map(lambda rows: "\n".join(["name,a", *rows]).encode()) | st.binary(max_size=30)  # fmt: skip
TEMPLATES = st.lists(
    st.sampled_from(["{name}", "{a}", "{", "}", "{{", "}}", "text", "{b}", "{name!r}", "{a:3}", "\n"]), max_size=4
).map(lambda parts: "".join(parts).encode()) | st.binary(max_size=8)


def check(data, template):
    """Compare the reader with the standard library; it may also raise an error of one line."""
    try:
        found = write(data, template)
    except ValueError as error:
        message = (type(error), str(error))
    else:
        message = None
    if message:
        assert message[0] is ValueError and re.fullmatch(r"expected .*(people\.csv|template\.txt).*", message[1])
        return
    people = [row for row in csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")) if any(row)]
    people = [{key.strip(): value.strip() for key, value in row.items()} for row in people]
    assert [row["name"] for row in found] == [row["name"] for row in people]
    assert [row["profile"] for row in found] == [template.decode("utf-8-sig").strip().format(**row) for row in people]


@settings(max_examples=60, deadline=None)
@given(TABLES, TEMPLATES)
def test_any_bytes_give_biographies_or_an_error(data, template):
    check(data, template)


@pytest.mark.nightly
@settings(max_examples=3_000, deadline=None)
@given(TABLES, TEMPLATES)
def test_any_bytes_give_biographies_or_an_error_over_many_cases(data, template):
    check(data, template)
