"""Questions about documents, which the deletion assigns to the forget and the retain set."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from mubench.trainers.corpora.corpus_table import summary_lines
from mubench.trainers.corpora.questions import Question, read_examples, read_questions

SETTING = SimpleNamespace(
    task=SimpleNamespace(key="mine"),
    info=SimpleNamespace(family="canonical"),
    rows={"train": {"group": ["a", "a", "b", "c", "c"]}, "test": {"group": ["d"]}},
    forget_mask=lambda ratio: np.array([True, True, False, False, ratio > 1]),
)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes questions, an object a line."""

    def lines(*rows):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return path

    return lines


def about(*documents):
    return [{"question": f"Who is in {one}?", "answer": "Ada", "document": one} for one in documents]


def test_a_question_is_about_the_set_that_its_document_is_in(write):
    found = read_questions([write(*about("a", "d", "b")), write(*about("c"))], SETTING, 1)
    assert found == {
        "forget": [Question("Who is in a?", "Ada", "a")],
        "retain": [Question("Who is in b?", "Ada", "b"), Question("Who is in c?", "Ada", "c")],
    }
    assert read_questions([], SETTING, 1) == {"forget": [], "retain": []}


def test_examples_are_about_no_document(write):
    assert read_examples(write({"question": "Who?", "answer": "Bo"})) == [Question("Who?", "Bo")]


@pytest.mark.parametrize(
    ("row", "ratio", "message"),
    [
        (about("e")[0], 1, "expected a document of mine, such as 'a', in .*, got 'e'"),
        (about("c")[0], 2, r"expected documents that are deleted as a whole \(--family group\), got 'c' in both sets"),
        (
            {"question": "Who?", "answer": "Bo"},
            1,
            "expected the fields question, answer, document, got none called doc",
        ),
        ({**about("a")[0], "answer": " "}, 1, "expected a text as answer of question 1 in .*, got none"),
        ({**about("a")[0], "answer": 3}, 1, "expected a text as answer, got '3'"),
    ],
)
def test_a_question_that_fits_no_document_is_refused(write, row, ratio, message):
    with pytest.raises(ValueError, match=message):
        read_questions([write(row)], SETTING, ratio)


def test_documents_of_the_forget_set_are_listed_where_no_question_is_about_one():
    task = SimpleNamespace(title="Mine")
    group = SimpleNamespace(setting=SimpleNamespace(**{**vars(SETTING), "task": task}), ratio=1)
    known = Question("Who is in b?", "Ada", "b")
    assert summary_lines(group, {"forget": [], "retain": [known]}) == [
        "Mine: 2 forget rows; questions: 0 about forget documents, 1 about retain documents",
        "documents of the forget set: a",
    ]
    assert len(summary_lines(group, {"forget": [known], "retain": []})) == 1
    assert len(summary_lines(group, {"forget": [], "retain": []})) == 1


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected questions as JSON lines .*none.jsonl, got: No such file"):
        read_questions([tmp_path / "none.jsonl"], SETTING, 1)
