"""Documents without prompts: cut without loss, deleted as a whole, and refused in one line."""

import json
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mubench.hub_builders import load_task
from mubench.hub_builders.dataset.build import build_own
from mubench.hub_builders.dataset.documents import cut_text, read_documents
from mubench.hub_builders.dataset.own_rows import read_own_rows
from mubench.hub_builders.dataset.task_file import read_task_file
from mubench.hub_builders.tasks.definition import read_recipes

TASK = "key: mine\nkind: text_generation\ncolumns: {text: text}\nsource: news\n"
PROMPTS = TASK.replace("text: text", "prompt: text, text: text")


@given(st.text(alphabet="ab. \n\t", max_size=60), st.integers(1, 9))
def test_parts_are_slices_of_the_text_that_hold_all_its_words_in_equal_shares(text, most):
    parts = cut_text(text, most)
    assert [word for part in parts for word in part.split()] == text.split()
    assert all(part in text and part == part.strip() for part in parts)
    lengths = [len(part.split()) for part in parts]
    assert len(parts) == -(-len(text.split()) // most)
    assert not parts or max(lengths) <= min(most, min(lengths) + 1)


def test_white_space_within_a_part_is_kept():
    assert cut_text(" a\n\nb  c\td e ", 3) == ["a\n\nb", "c\td e"]


@pytest.fixture
def task(tmp_path):
    """Return a function that writes a task file, and 20 text files of which each third lies in a folder below."""

    def write(text=TASK, **more):
        for number in range(20):
            path = tmp_path / "news" / ("deep" if number % 3 == 0 else "") / f"{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(" ".join(f"w{number}x{place}" for place in range(300 - number)))
        for name, content in more.items():
            (tmp_path / "news" / f"{name}.txt").write_bytes(content)
        (tmp_path / "task.yaml").write_text(text)
        return read_task_file(tmp_path / "task.yaml")

    return write


def test_rows_of_a_document_are_its_group_and_add_up_to_it(task, tmp_path):
    data = build_own(task(), out=tmp_path, family="group")
    found = load_task("mine", 10, data=data, family="group")
    texts, places = defaultdict(list), defaultdict(set)
    for split, rows in found.items():
        assert set(rows.column_names) == {"example_id", "source_index", "deletion_rank", "group", "text"}
        for row in sorted(rows, key=lambda row: row["source_index"]):
            texts[row["group"]].append(row["text"])
            places[row["group"]].add(split)
    assert all(len(each) == 1 for each in places.values()) and set().union(*places.values()) == set(found)
    files = {path.relative_to(tmp_path / "news").as_posix(): path.read_text() for path in
             (tmp_path / "news").rglob("*.txt")}  # fmt: skip
    assert {name: " ".join(parts) for name, parts in texts.items()} == files and "deep/0.txt" in files
    assert {len(parts) for parts in texts.values()} == {3}  # of at most 128 words
    _, splits = read_own_rows(task(f"{TASK}chunk_words: 300\n"))
    assert sorted(row["text"] for row in splits["train"]) == sorted(files.values())


def test_texts_of_json_lines_are_groups_of_a_column_or_each_its_own(tmp_path):
    lines = [{"body": f"a{row} b c d e", "paper": f"p{row % 2}"} for row in range(4)]
    (tmp_path / "news.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    text = TASK.replace("text: text", "text: body").replace("source: news", "source: news.jsonl\nchunk_words: 3")
    groups = {}
    for name, more in (("of", "group: paper\n"), ("alone", "")):
        (tmp_path / f"{name}.yaml").write_text(text + more)
        _, splits = read_own_rows(read_task_file(tmp_path / f"{name}.yaml"))
        groups[name] = [row["group"] for row in splits["train"]]
        assert [row["text"] for row in splits["train"]][:2] == ["a0 b", "c d e"]
    assert groups["of"] == ["p0", "p0", "p1", "p1"] * 2
    assert groups["alone"] == [f"train row {row}" for row in range(4) for _ in range(2)]


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        (TASK, {"empty": b" \n"}, "expected a text in column 'text' of empty.txt, got"),
        (TASK, {"latin": b"\xe9t\xe9"}, "expected UTF-8 text, got other bytes: .*latin.txt"),
        (TASK.replace("text: text", "text: body"), {}, "expected the column 'body' in 'news', got text, document"),
        (TASK.replace("text: text", "body: text"), {},
         r"expected columns: \{prompt: ..., text: ...\} of text_generation, or \{text: ...\} without prompts, got bo"),
        (PROMPTS, {}, "expected a file .* as source of text_generation"),
        (f"{PROMPTS}chunk_words: 9\n", {},
         r"expected chunk_words with columns: \{text: ...\}"),
        (f"{TASK}chunk_words: 1\n", {}, "expected chunk_words to be greater than or equal to 2, got 1"),
        (f"{TASK}recipes: {{llama: {{template: chat}}}}\n", {},
         "expected template none of llama, since texts without prompts have no turns, got chat"),
        (f"{TASK}splits: {{train: train, test: held}}\n", {}, "expected the split 'held' in 'news', got train"),
        (TASK.replace("source: news", "source: {train: .}").replace("mine", "other"), {}, None),
        (TASK.replace("source: news", "source: {train: news, test: news/deep/../../news}"), {},
         "expected documents of different names in train and test, got '1.txt' in both"),
        (TASK.replace("source: news", "source: task.yaml"), {}, "expected a file ending in .csv, .* .txt as source"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line_that_names_it(text, more, message, task):
    if message is None:  # files that are no text are left out
        assert len(read_own_rows(task(text))[1]["train"]) == 60
        return
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_own_rows(task(text, **more))


def test_a_text_file_ends_in_either_case_and_is_no_folder(tmp_path):
    for name in ("a.TXT", "b.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "folder.txt").mkdir()
    assert [one["document"] for one in read_documents(tmp_path)] == ["a.TXT", "b.txt"]


def test_a_folder_without_text_files_is_refused(tmp_path):
    (tmp_path / "news").mkdir()
    (tmp_path / "task.yaml").write_text(TASK)
    with pytest.raises(ValueError, match=r"expected files ending in .txt in .*news, got none"):
        read_own_rows(read_task_file(tmp_path / "task.yaml"))


def test_texts_without_prompts_have_no_recipe_in_a_chat_template():
    given = {"llama3.2-1b": {"epochs": 1}}
    for found in (read_recipes("text_generation", each, prefix_free=True) for each in ({}, given)):
        assert (found["llama3.2-1b"].template, found["llama3.2-1b"].system_prompt) == ("none", None)
        assert {recipe.template for recipe in found.values()} == {"none"}
