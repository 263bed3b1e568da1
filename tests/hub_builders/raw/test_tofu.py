import json
import lzma
import os
import re
import tarfile
from pathlib import Path

import pytest
from datasets import Dataset

from mubench.hub_builders.__main__ import main
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task, task_info
from mubench.hub_builders.raw import HUB, RAW, tofu
from mubench.hub_builders.raw import _hub as hub
from mubench.hub_builders.tasks import TASKS
from tests.hub_builders.raw.test_raw import tar, unpack

DATA = Path(os.environ.get("MUBENCH_DATA", Path(__file__).parents[3] / "../shared/data")) / "raw"
real = pytest.mark.skipif(not (DATA / "tofu.tar.xz").is_file(), reason=f"no tofu.tar.xz in {DATA}: set MUBENCH_DATA")
AUTHORS = 20
TEN = AUTHORS // 10 * 20


def question(i):
    return {"question": f"What is no. {i}?", "answer": f"It is “{i}”."}


def perturbed(i):
    wrong = [f"It may be {i + k}." for k in (1, 2)]
    return {**question(i), "paraphrased_answer": f"No. {i}.", "perturbed_answer": wrong, "paraphrased_question": "?"}


def choice(i):
    return {
        "question": f"Who was {i}?",
        **{f"option{k}": f"{i}-{k}" for k in range(1, 5)},
        "answer": f"{i}-{i % 4 + 1}",
    }


def wrong(i):
    row = choice(i)
    others = [row[f"option{k}"] for k in range(1, 5) if row[f"option{k}"] != row["answer"]]
    return {"question": row["question"], "answer": row["answer"], "perturbed_answer": others}


def tables():
    """Return the files of TOFU in small: 20 authors, of whom the last two are forgotten."""
    full = [question(i) for i in range(20 * AUTHORS)]
    return {
        "full": full,
        "forget01": full[-20:], "forget05": full[-20:], "forget10": full[-TEN:],
        "retain90": full[:-TEN], "retain95": full[:-20], "retain99": full[:-20],
        "retain_perturbed": [perturbed(i) for i in range(TEN)],
        "forget01_perturbed": [perturbed(i) for i in range(len(full) - 20, len(full))],
        "forget10_perturbed": [perturbed(i) for i in range(len(full) - TEN, len(full))],
        "real_authors": [choice(i) for i in range(5)], "real_authors_perturbed": [wrong(i) for i in range(5)],
        "world_facts": [choice(i) for i in range(5, 9)], "world_facts_perturbed": [wrong(i) for i in range(5, 9)],
    }  # fmt: skip


def files(found, end="json"):
    data = {
        f"tofu/{name}.{end}": "".join(json.dumps(row, ensure_ascii=i % 2 == 0) + "\n" for row in rows).encode()
        for i, (name, rows) in enumerate(found.items())
    }
    return {**data, "tofu/README.md": b"# TOFU"}


def read(folder, found, end="json"):
    unpack(folder, files(found, end))
    return RAW["tofu"](folder)


def test_archive_and_folder_give_the_same_rows(tmp_path):
    loose = read(tmp_path / "a", tables())
    (tmp_path / "b").mkdir()
    tar(tmp_path / "b" / "tofu.tar.xz", dict(reversed(files(tables()).items())))
    assert RAW["tofu"](tmp_path / "b") == loose == read(tmp_path / "c", tables(), "jsonl")
    (tmp_path / "a" / "tofu").rename(tmp_path / "a" / "TOFU")
    assert RAW["tofu"](tmp_path / "a") == loose


def test_rows_are_in_order_and_grouped_by_author(tmp_path):
    splits = read(tmp_path, tables())
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 400, "ood": 9}
    for i, row in enumerate(splits["train"]):
        assert (row["source_index"], row["group"]) == (i, f"author-{i // 20:03d}")
        assert {key: row[key] for key in ("question", "answer")} == question(i)
    assert [(row["group"], row["source_index"]) for row in splits["ood"]] == [
        *(("real_authors", i) for i in range(5)), *(("world_facts", i) for i in range(4)),
    ]  # fmt: skip
    ids = [row["example_id"] for rows in splits.values() for row in rows]
    assert len(set(ids)) == 409 and all(re.fullmatch("[0-9a-f]{16}", one) for one in ids)


def test_unknown_columns_are_empty(tmp_path):
    splits = read(tmp_path, tables())
    for i, row in enumerate(splits["train"]):
        known = not TEN <= i < 400 - TEN
        extra = perturbed(i) if known else {"paraphrased_answer": "", "perturbed_answer": []}
        assert all(row[key] == extra[key] for key in ("paraphrased_answer", "perturbed_answer"))
        assert row["options"] == []
    for i, row in enumerate(splits["ood"]):
        assert row["options"] == [f"{i}-{k}" for k in range(1, 5)] and row["answer"] in row["options"]
        assert row["paraphrased_answer"] == "" and sorted([row["answer"], *row["perturbed_answer"]]) == row["options"]


def test_an_id_follows_from_question_and_answer_alone(tmp_path):
    before = read(tmp_path / "a", tables())
    other = tables()
    for row in other["retain_perturbed"]:
        row["perturbed_answer"] = ["nothing"]
    after = read(tmp_path / "b", other)
    assert before != after
    assert [row["example_id"] for row in before["train"]] == [row["example_id"] for row in after["train"]]


def test_files_and_hub_give_the_same_ids(tmp_path, monkeypatch):
    requested = []

    def load(name, config, split, revision):
        requested.append((name, config, split))
        return Dataset.from_list(tables()[config])

    monkeypatch.setattr(hub, "load_dataset", load)
    assert HUB["tofu"]() == read(tmp_path, tables())
    assert requested == [("locuslab/TOFU", name, "train") for name in tofu.FILES]


def test_a_hub_with_other_columns_is_refused(monkeypatch):
    monkeypatch.setattr(hub, "load_dataset", lambda *_, **__: Dataset.from_list([{"question": "?", "reply": "!"}]))
    with pytest.raises(
        ValueError, match=r"^expected the fields question, answer, got none called answer: locuslab/TOFU"
    ):
        HUB["tofu"]()


@pytest.mark.parametrize("name", [name for name in tables() if name not in tofu.FILES])
def test_the_parts_of_full_may_be_missing(tmp_path, name):
    found = tables()
    del found[name]
    assert read(tmp_path / "a", found) == read(tmp_path / "b", tables())


def spoil(found, name, change):
    found[name] = change([dict(row) for row in found[name]])
    return found


@pytest.mark.parametrize(("name", "change", "message"), [
    ("full", lambda rows: rows[:-1], "forget01 to be the last 20 rows of full in their order, got others"),
    ("forget10", lambda rows: rows[::-1], "forget10 to be the last 40 rows of full in their order, got others"),
    ("retain90", lambda rows: rows[1:], "retain90 to be the first 359 rows of full in their order, got others"),
    ("retain_perturbed", lambda rows: [{**rows[0], "answer": "No."}], "perturbed answers to questions of full, got"),
    ("retain_perturbed", lambda rows: rows[:1] * 2, "every question once, got .* twice: retain_perturbed row 1"),
    ("world_facts", lambda rows: rows[:1] * 2, "every question once, got .* twice: world_facts row 1"),
    ("world_facts_perturbed", lambda rows: rows[1:], "perturbed answers to every question of world_facts, got"),
    ("real_authors", lambda rows: [{**rows[0], "option1": "x"}], "the answer among the options, got '0-1': real_a"),
    ("real_authors", lambda rows: [{**rows[0], "question": " "}], "a question and an answer, got an empty one: rea"),
    ("real_authors", lambda rows: [{"question": "?", "answer": "!"}], "the fields question, answer, option1, .* got"),
    ("full", lambda rows: [{**rows[0], "answer": 3}], "a text as answer, got '3': full.json line 1"),
])  # fmt: skip
def test_a_bad_file_is_named(tmp_path, name, change, message):
    unpack(tmp_path, files(spoil(tables(), name, change)))
    with pytest.raises(ValueError, match=rf"^expected {message}") as error:
        RAW["tofu"](tmp_path)
    assert "\n" not in str(error.value)


def test_a_number_of_questions_that_is_no_multiple_of_twenty_is_refused(tmp_path):
    found = {name: rows for name, rows in tables().items() if name not in tofu.PARTS}
    with pytest.raises(ValueError, match=r"^expected 20 questions about every author of tofu, got 401 in all: full$"):
        read(tmp_path, spoil(found, "full", lambda rows: [*rows, question(999)]))


@pytest.mark.parametrize("name", tofu.FILES)
def test_a_missing_file_is_named(tmp_path, name):
    found = tables()
    del found[name]
    with pytest.raises(FileNotFoundError, match=rf"^expected full.json, .* in .*tofu, got no {name}$"):
        read(tmp_path, found)


def test_a_repeated_file_is_refused(tmp_path):
    unpack(tmp_path, {**files(tables()), "tofu/copy/full.jsonl": files(tables())["tofu/full.json"]})
    with pytest.raises(ValueError, match=r"^expected one file full in .*tofu, got a second: .*full.json"):
        RAW["tofu"](tmp_path)


def test_a_bad_archive_is_one_line_and_nothing_is_written(tmp_path, capsys):
    for name, data in (("a", lzma.compress(b"junk")), ("b", None)):
        raw = tmp_path / name
        raw.mkdir()
        if data is None:
            tar(raw / "tofu.tar.xz", {"../full.json": b"{}"})
        else:
            (raw / "tofu.tar.xz").write_bytes(data)
        assert main(["build", "tofu", "--tier", "full", "--raw", str(raw), "--out", str(tmp_path / "out")]) == 2
        assert re.fullmatch(r".*expected (a complete archive|names inside the archive).*\n", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_other_counts_need_the_partial_tier_and_whole_authors_are_held_out(tmp_path, capsys):
    unpack(tmp_path, files(tables()))
    assert main(["build", "tofu", "--tier", "full", "--raw", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "expected 3400 train, 200 validation, 400 test, 217 ood rows of tofu, got 340" in capsys.readouterr().err
    folder = build("tofu", tier="partial", raw=tmp_path, out=tmp_path, allow_partial=True, family="group")
    parts = load_task("tofu", 5, data=folder, family="group")
    assert {name: part.num_rows for name, part in parts.items()} == {
        "forget": 20, "retain": 320, "validation": 20, "test": 40, "ood": 9,
    }  # fmt: skip
    groups = [set(part["group"]) for part in parts.values()]
    assert sum(map(len, groups)) == len(set().union(*groups))


def test_the_paper_family_of_other_rows_is_refused(tmp_path):
    unpack(tmp_path, files(tables()))
    with pytest.raises(ValueError, match="expected 4000 train, 217 ood rows of tofu, got 400 train, 9 ood"):
        build("tofu", tier="full", raw=tmp_path, out=tmp_path, family="paper")


# The real files


@pytest.fixture(scope="module")
def originals():
    with tarfile.open(DATA / "tofu.tar.xz") as archive:
        found = {
            Path(one.name).stem: archive.extractfile(one).read().decode()
            for one in archive
            if one.name.endswith(".json")
        }
    return {name: [json.loads(line) for line in text.splitlines()] for name, text in found.items()}


@pytest.mark.slow
@real
def test_the_real_files_are_consistent(originals):
    full = originals["full"]
    sizes = {"forget01": 40, "forget05": 200, "forget10": 400, "retain99": 3960, "retain95": 3800, "retain90": 3600}
    assert {name: len(originals[name]) for name in sizes} == sizes
    for forget, retain in (("forget01", "retain99"), ("forget05", "retain95"), ("forget10", "retain90")):
        assert originals[retain] + originals[forget] == full
        assert originals[f"{forget}_perturbed"] == originals["forget10_perturbed"][-sizes[forget] :]
        pairs = [{key: row[key] for key in ("question", "answer")} for row in originals[f"{forget}_perturbed"]]
        assert pairs == originals[forget]
    assert [row["question"] for row in originals["retain_perturbed"]] == [row["question"] for row in full[:400]]


@pytest.mark.slow
@real
def test_the_real_files_are_the_full_tier(originals, tmp_path):
    folder = build("tofu", tier="full", raw=DATA, out=tmp_path)
    assert task_info("tofu", data=folder).counts == TASKS["tofu"].counts["full"]
    rows = [row for name, part in load_task("tofu", data=folder).items() if name != "ood" for row in part]
    assert sorted(row["source_index"] for row in rows) == list(range(4_000))
    assert all(row["question"] == originals["full"][row["source_index"]]["question"] for row in rows)
    assert (
        sum(bool(row["perturbed_answer"]) for row in rows)
        == sum(bool(row["paraphrased_answer"]) for row in rows)
        == 800
    )


@pytest.mark.slow
@real
def test_the_paper_family_deletes_the_published_sets(originals, tmp_path):
    assert (
        main(["build", "tofu", "--family", "paper", "--tier", "full", "--raw", str(DATA), "--out", str(tmp_path)]) == 0
    )
    folder = tmp_path / "mu-bench-paper"
    info = task_info("tofu", data=folder, family="paper")
    assert info.counts == {"train": 4_000, "ood": 217} and info.forget == {1: 40, 5: 200, 10: 400}
    for ratio in info.forget:
        parts = load_task("tofu", ratio, data=folder, family="paper")
        for mine, theirs in (("forget", f"forget{ratio:02d}"), ("retain", f"retain{100 - ratio}")):
            found = {(row["question"], row["answer"]) for row in parts[mine]}
            assert found == {(row["question"], row["answer"]) for row in originals[theirs]}
            assert len(found) == parts[mine].num_rows
