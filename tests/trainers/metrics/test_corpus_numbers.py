"""MUSE's numbers by hand, of outputs that are made here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mubench.trainers.inference.answers import Answers
from mubench.trainers.inference.token_outputs import TokenOutputs
from mubench.trainers.metrics.corpus_numbers import corpus_numbers
from mubench.trainers.metrics.memorisation import answer_words, exact_memorisation, extraction_strength
from mubench.trainers.metrics.rouge import rouge_l_f1


def outputs(seed: int, generated: list[str | None], reference: str = "the cat sat down") -> TokenOutputs:
    """Return outputs of a row of five tokens for every generated text."""
    rng, n = np.random.default_rng(seed), len(generated)
    nothing = np.full((n, 1), np.nan)
    texts = {"generated": generated, "reference": [reference] * n, "group": [""] * n}
    answers = Answers(
        **{name: np.array(values, dtype=object) for name, values in texts.items()},
        paraphrase_loss=nothing[:, 0], perturbed_losses=nothing, option_losses=nothing,
        sampled=np.full((n, 0), None, dtype=object),
    )  # fmt: skip
    return TokenOutputs(
        np.array([f"row-{i}" for i in range(n)]), np.full(n, 5), rng.integers(1, 9, 5 * n).astype(np.int32),
        -rng.random(5 * n).astype(np.float32), rng.random(5 * n) > 0.5, np.zeros((5 * n, 1), np.int32),
        np.zeros((5 * n, 1), np.float32), answers=answers,
    )  # fmt: skip


def model(seed: int, *generated: str | None) -> dict[str, TokenOutputs]:
    return {"forget": outputs(seed, list(generated)), "test": outputs(seed + 1, ["a dog"] * 7)}


@pytest.mark.parametrize(
    ("text", "reference", "f1"),
    [
        ("The cat sat down.", "the cat sat down", 1.0),
        ("a dog", "the cat", 0.0),
        ("the cat", "the cat sat down", 2 / 3),  # precision 1, recall 1/2
        ("the cat sat down and slept there now", "the cat sat down", 2 / 3),
        ("", "word", 0.0),
        ("", "", 0.0),
    ],
)
def test_the_f1_is_the_harmonic_mean_of_both_shares(text: str, reference: str, f1: float) -> None:
    assert rouge_l_f1(text, reference) == pytest.approx(f1)


def test_a_text_that_is_continued_exactly_is_memorised_and_a_disjoint_one_is_not() -> None:
    retrained = model(5, *["a dog"] * 4)
    found = {
        text: corpus_numbers(model(0, *[text] * 3, None), retrained)["verbatim_memorisation"]
        for text in ("the cat sat down", "a dog ran", "the cat")
    }
    assert found == pytest.approx({"the cat sat down": 1, "a dog ran": 0, "the cat": 2 / 3})


def test_knowledge_is_of_forget_questions_and_utility_of_retain_ones() -> None:
    retrained, answers = model(5, "a dog"), {"forget": [("in Velsk", "Velsk"), ("Brisk", "Tolm")], "retain": []}
    found = corpus_numbers(model(0, "a dog"), retrained, answers)
    assert found["knowledge_memorisation"] == pytest.approx((2 / 3 + 0) / 2) and "utility" not in found
    found = corpus_numbers(model(0, "a dog"), retrained, {**answers, "retain": [("Rovin.", "Rovin")]})
    assert found["utility"] == 1
    assert corpus_numbers(model(0, "a dog"), retrained).keys() == {"verbatim_memorisation", "priv_leak"}


def test_priv_leak_is_0_of_the_retrained_model_and_100_below_where_all_forget_rows_are_likelier() -> None:
    retrained = model(5, *["a dog"] * 4)
    assert corpus_numbers(retrained, retrained)["priv_leak"] == 0
    sure = replace(retrained["forget"], token_logprob=np.zeros(20, np.float32))
    assert corpus_numbers({**retrained, "forget": sure}, retrained)["priv_leak"] == -100


def test_texts_without_words_and_models_without_texts_are_refused() -> None:
    retrained = model(5, "a dog")
    other = {**retrained, "forget": outputs(0, ["слово"], "слово")}
    with pytest.raises(
        ValueError, match=r"expected texts with words of the letters a to z and digits, .* got 1 without"
    ):
        corpus_numbers(other, retrained)
    with pytest.raises(ValueError, match="expected texts generated for some of 1 rows, got none"):
        corpus_numbers({**retrained, "forget": replace(retrained["forget"], answers=None)}, retrained)


def test_rows_without_an_end_token_are_memorised_to_their_last_token() -> None:
    one = replace(outputs(0, ["a"] * 3), token_id=np.array([3, 1, 2, 4, 3, 5, 6, 3, 1, 3, 2, 3, 4, 5, 3], np.int32))
    right = replace(one, token_correct=np.array(([True] * 4 + [False]) * 3))
    assert exact_memorisation(right) == pytest.approx(4 / 5) and extraction_strength(right) == 0


def test_a_token_that_ends_half_of_the_rows_is_no_end_token() -> None:
    two = replace(outputs(0, ["a"] * 2), token_id=np.array([1, 2, 3, 5, 7, 1, 2, 3, 5, 9], np.int32))
    assert answer_words(two).all()
