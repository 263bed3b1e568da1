"""AltPO: the prompt for another answer, the generated answers, and that the loss is that of DPO with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mubench.trainers.inference.generate import InverseTransform
from mubench.trainers.tools.alternative_answers import answer_tokens, between_frame, prompt_tokens, tokenize_refusal
from tests.fixtures import toy
from tests.fixtures.method_steps import batch, prepared

F = toy.FORGET


def test_the_words_of_a_prompt_are_found_in_its_template() -> None:
    def frame(*words: int) -> list[int]:
        return [1, 2, *words, 3, 2, 4]

    for words in ((7, 8, 9), (5, 5), (5, 8), (2, 3), (6,), ()):
        assert between_frame(frame(*words), frame(5), frame(6)) == list(words)


@pytest.mark.parametrize("name", toy.LANGUAGE_MODELS)
def test_the_prompt_holds_question_answer_and_instruction(name: str, tmp_path: Path) -> None:
    trainer, _ = prepared("altpo", name, tmp_path, instruction="now change it")
    row, tokenizer = toy.rows(name)[1], toy.tokenizer()
    question, answer = (tokenizer.decode(ids, skip_special_tokens=True).strip()
                        for ids in (prompt_tokens(row), answer_tokens(row)))  # fmt: skip
    text = f"Question: {question}\nAnswer: {answer}\nnow change it"
    assert trainer.instructed_prompt(row) == tokenizer(f"{text}\nAnother answer:")["input_ids"]
    # In a chat template the question is taken out of its turn, and put into another one.
    letters = {"a": [3], "b": [4]}  # of which the tokenizer knows none
    trainer.encode_prompt = lambda words: [5, *(letters.get(words) or tokenizer(words)["input_ids"]), 6]
    turn = {**row, "input_ids": [5, *prompt_tokens(row), 6], "labels": row["labels"] if name == "t5" else [
        -100] * (2 + len(prompt_tokens(row))) + answer_tokens(row)}  # fmt: skip
    if name != "t5":
        turn["input_ids"] += answer_tokens(row)
    assert trainer.instructed_prompt(turn) == [5, *tokenizer(text)["input_ids"], 6]


def test_answers_are_samples_of_the_base_model_and_the_same_in_every_run(tmp_path: Path) -> None:
    trainer, _ = prepared("altpo", "gpt2", tmp_path)
    again, _ = prepared("altpo", "gpt2", tmp_path)
    other, _ = prepared("altpo", "gpt2", tmp_path, seed=1)
    assert trainer.preferred == again.preferred != other.preferred
    # The first row by hand: one token at a time, without batch, padding and cache.
    tokenizer, rows = toy.tokenizer(), toy.rows("gpt2")
    most = max(len(answer_tokens(row)) for row in rows[:F])
    places = trainer.model.config.max_position_embeddings or 256
    written = trainer.instructed_prompt(rows[0])[most - places :]
    numbers = trainer.generator("answers").random((F, most))[:1]
    choose, start = InverseTransform(numbers), len(written)
    with torch.no_grad():
        for _ in range(most):
            scores = trainer.model(input_ids=torch.tensor([written])).logits[:, -1]
            written.append(int(choose(torch.empty(1, 0), scores).argmax()))
            if written[-1] == tokenizer.eos_token_id:
                break
    text = tokenizer.decode(written[start:], skip_special_tokens=True).strip().partition("\n")[0]
    assert answer_tokens(trainer.preferred[0]) == tokenize_refusal(tokenizer, text)


def test_the_loss_is_that_of_dpo_with_these_answers(tmp_path: Path) -> None:
    trainer, rows = prepared("altpo", "gpt2", tmp_path, beta=0.5, alpha=0.3)
    plain, _ = prepared("dpo", "gpt2", tmp_path, beta=0.5, alpha=0.3)
    plain.preferred = trainer.preferred
    found: list[Any] = []
    for one in (trainer, plain):
        one.terms(one.model, rows)  # fills the cache of the teacher
        one.model.load_state_dict(toy.elsewhere("gpt2"))
        found.append(one.terms(one.model, batch(one, range(toy.ROWS))))
    for ours, theirs in zip(*found, strict=True):
        assert (ours.split, ours.weight) == (theirs.split, theirs.weight)
        torch.testing.assert_close(ours.values, theirs.values)


def test_a_tokenizer_is_needed(tmp_path: Path) -> None:
    data = toy.split_rows(toy.rows("gpt2"))
    with pytest.raises(ValueError, match="expected processing_class= to read and write answers, got none"):
        toy.trainer("altpo", toy.build("gpt2"), data, tmp_path, given={"processing_class": None}).train()
