"""DPO: the answers it prefers, and the preference over whole answers."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from mubench.trainers.engine.losses import IGNORED, answer_nll
from mubench.trainers.tools.alternative_answers import (
    REFUSALS,
    answer_tokens,
    replace_answer,
    sample_other_tokens,
    tokenize_refusal,
)
from tests.fixtures import toy
from tests.fixtures.method_steps import assert_same, batch, gradients, prepared

F = toy.FORGET


def test_a_refusal_is_tokenised_as_after_a_prompt() -> None:
    tokenizer = toy.tokenizer()
    for text in REFUSALS:
        tokens = tokenize_refusal(tokenizer, text)
        assert tokens[-1] == tokenizer.eos_token_id
        whole = tokenizer(f"abc {text}", add_special_tokens=False)["input_ids"]
        assert whole == [*tokenizer("abc", add_special_tokens=False)["input_ids"], *tokens[:-1]]
    assert tokenizer.decode(tokenize_refusal(tokenizer, "I do not know that.")[:-1]).strip() == "I do not know that."


def with_config(*, decoder: bool = False, longest: int | None = None) -> Any:
    return SimpleNamespace(config=SimpleNamespace(is_encoder_decoder=decoder, max_position_embeddings=longest))


@pytest.mark.parametrize("name", toy.LANGUAGE_MODELS)
def test_another_answer_replaces_the_old_one(name: str) -> None:
    row = toy.rows(name)[1]
    other = replace_answer(row, [7, 8, 9, 1], with_config(decoder=name == "t5"))
    assert answer_tokens(other) == [7, 8, 9, 1] != answer_tokens(row)
    if name == "t5":
        assert other["input_ids"] == row["input_ids"]
    else:
        start = sum(token == IGNORED for token in row["labels"])
        assert other["input_ids"] == [*row["input_ids"][:start], 7, 8, 9, 1]
        assert other["labels"] == [IGNORED] * start + [7, 8, 9, 1]
        assert len(other["attention_mask"]) == start + 4
        assert len(replace_answer(row, [7] * 9, with_config(longest=6))["input_ids"]) == 6


def test_training_raises_the_preference_for_the_other_answers(tmp_path: Path) -> None:
    def lead(trainer: Any) -> torch.Tensor:
        rows, other = batch(trainer, range(F)), trainer.preferred_batch(list(range(F)))
        with torch.no_grad():
            true, wanted = (answer_nll(trainer.logits(trainer.model, one), one["labels"]) for one in (rows, other))
        return true - wanted

    trainer, _ = prepared("dpo", "gpt2", tmp_path, num_train_epochs=2, learning_rate=0.1)
    before = lead(trainer)
    trainer.model.train()
    trainer.train()
    assert (lead(trainer) > before + 0.01).all()


def test_rows_with_other_columns_than_those_of_a_text_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected rows of attention_mask, input_ids, labels, got .*position_ids"):
        replace_answer({**toy.rows("gpt2")[0], "position_ids": [0]}, [1], with_config())
    with pytest.raises(
        ValueError, match=r"expected rows of attention_mask, input_ids, labels, got .*decoder_input_ids"
    ):
        replace_answer({**toy.rows("t5")[0], "decoder_input_ids": [0]}, [1], with_config(decoder=True))


def test_borrowed_answers_are_others() -> None:
    own, draw = [[1], [2], [3]], np.random.default_rng(0)
    lent = {5: [1], 6: [2], 7: [3]}
    assert all(
        new != old and new in own
        for old, new in zip(own, sample_other_tokens(own, lent.__getitem__, np.array([5, 6, 7]), draw), strict=True)
    )
    with pytest.raises(ValueError, match="expected another answer or caption among 2 retain rows, got none"):
        sample_other_tokens([[1]], lambda row: [1], np.array([5, 6]), draw)


@pytest.mark.parametrize(("name", "answers"), [("gpt2", "idk"), ("t5", "alt")])
def test_value_and_gradient_at_the_base_model_and_with_both_answers_exchanged(
    name: str, answers: str, tmp_path: Path
) -> None:
    trainer, rows = prepared("dpo", name, tmp_path, answers=answers, alpha=0.3)
    forget, retain = trainer.terms(trainer.model, rows)
    assert [(term.split, term.weight) for term in (forget, retain)] == [("forget", 1.0), ("retain", 0.3)]
    torch.testing.assert_close(forget.values, torch.full((F,), 20 * math.log(2)), atol=1e-4, rtol=0)
    other = trainer.preferred_batch(list(range(F)))
    assert other["index"].tolist() == list(range(toy.ROWS, toy.ROWS + F)) and other["forget"].all()
    true = answer_nll(trainer.logits(trainer.model, rows)[:F], rows["labels"][:F])
    wanted = answer_nll(trainer.logits(trainer.model, other), other["labels"])
    expected = gradients(trainer, (wanted - true).sum())
    assert_same(gradients(trainer, forget.values.sum()), expected)
    # The two answers the other way round: the gradient of the first step changes its sign.
    trainer.preferred, data = [row for row, *_ in (trainer.train_dataset[i] for i in range(F))], trainer.preferred
    trainer.train_dataset.forget = data
    swapped = trainer.terms(trainer.model, batch(trainer, range(toy.ROWS)))[0]
    assert_same(gradients(trainer, swapped.values.sum()), [-gradient for gradient in expected])


def test_the_value_away_from_the_base_model(tmp_path: Path) -> None:
    trainer, rows = prepared("dpo", "gpt2", tmp_path, beta=0.5)
    other = trainer.preferred_batch(list(range(F)))

    def both() -> tuple[torch.Tensor, torch.Tensor]:
        nll = [answer_nll(trainer.logits(trainer.model, b), b["labels"])[:F].detach() for b in (rows, other)]
        return nll[0], nll[1]

    lost, won = both()
    trainer.model.load_state_dict(toy.build("gpt2", seed=1).state_dict())
    now_lost, now_won = both()
    margin = (now_lost - lost) - (now_won - won)
    values = trainer.terms(trainer.model, rows)[0].values
    torch.testing.assert_close(values, -2 / 0.5 * torch.nn.functional.logsigmoid(0.5 * margin), atol=1e-4, rtol=1e-4)
    assert float(margin.abs().min()) > 1e-3


def test_refusals_need_a_tokenizer_and_borrowed_answers_do_not(tmp_path: Path) -> None:
    data, bare = toy.split_rows(toy.rows("gpt2")), {"processing_class": None}
    with pytest.raises(ValueError, match="expected processing_class= to encode refusals"):
        toy.trainer("dpo", toy.build("gpt2"), data, tmp_path, given=bare).train()
    model = toy.build("gpt2")
    toy.trainer("dpo", model, data, tmp_path, given=bare, answers="alt").train()
    assert toy.distance(model, toy.snapshot(toy.build("gpt2"))) > 1e-3
