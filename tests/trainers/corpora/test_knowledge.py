"""Answers to questions: the prompts, where they end, and that a model writes them once."""

from types import SimpleNamespace

import pytest

from mubench.trainers.__main__ import main
from mubench.trainers.corpora import knowledge
from mubench.trainers.corpora.knowledge import answer_questions, check_template, cut_answer, make_prompts
from mubench.trainers.corpora.questions import Question

QUESTIONS = {"forget": [Question("Who?", "Ada", "a")], "retain": [Question("Where?", "Velsk", "b")]}


def test_prompts_are_those_of_muse_with_the_examples_in_front():
    (prompt,) = make_prompts(QUESTIONS["forget"], knowledge.TEMPLATE, [Question("When?", "Now")])
    assert prompt == "Question: When?\nAnswer: Now\n\nQuestion: Who?\nAnswer: "


@pytest.mark.parametrize("end", ["\n\nmore", "\nQuestion: Where?", " Question: Where?", ""])
def test_an_answer_ends_where_another_question_begins(end):
    assert cut_answer(f"Ada Vonn{end}") == "Ada Vonn"


def test_a_template_has_one_place_for_the_question():
    assert check_template("{question}") == "{question}"
    for template in ("Who?", "{question} {question}"):
        with pytest.raises(ValueError, match=r"expected \{question\} once in question_template"):
            check_template(template)


def test_a_model_answers_a_question_once_until_weights_questions_or_stops_change(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        knowledge, "generate_answers", lambda model, _, prompts: calls.append(model) or ["x", *prompts[1:]]
    )
    setting = SimpleNamespace(load=lambda folder: (folder.name, None))

    def answers(questions=QUESTIONS, **files):
        run = SimpleNamespace(files=files, checksum="c")
        return answer_questions(
            setting, tmp_path / "model", run, questions, template="{question}", examples=(), cache=tmp_path / "answers"
        )

    found = answers(weights="1")
    assert found == {"forget": [("x", "Ada")], "retain": [("Where?", "Velsk")]}
    assert answers(weights="1") == found and len(calls) == 1
    assert answers({"forget": QUESTIONS["retain"], "retain": []}, weights="1")["retain"] == []
    answers(weights="2")
    assert len(calls) == 3
    monkeypatch.setattr(knowledge, "STOPS", ("\n",))
    answers(weights="1")
    assert len(calls) == 4
    for file in (tmp_path / "answers").iterdir():
        file.write_text('{"other": "x"}')
    with pytest.raises(ValueError, match="expected answers to 2 questions, got others: remove"):
        answers(weights="1")


def test_a_task_with_prompts_is_refused(capsys):
    assert main(["corpus_numbers", "--task=tofu"]) == 2
    assert "expected a task of texts without prompts (columns: {text: ...}), got tofu of qu" in capsys.readouterr().err
