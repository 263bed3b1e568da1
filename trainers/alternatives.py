"""Other answers to a prompt: a refusal, or what another row says; as rows ready for a model that writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from mubench.hub_builders.terms import IGNORED

REFUSALS = (
    "I don't know.",
    "I do not know the answer to that.",
    "I'm not able to tell you that.",
    "That is not something I know about.",
    "I have no information about that.",
    "I'm afraid I cannot help with that.",
    "I'm not sure.",
    "Nothing I know answers this question.",
)
COLUMNS = {"input_ids", "attention_mask", "labels"}


def refusal(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return a refusal as tokens, as it stands after a prompt, with an end token.

    Args:
        tokenizer: A fast tokenizer, which knows where in the text a token ends.
        text: The refusal.
    """
    before = "a"
    tokens = tokenizer(f"{before} {text}", return_offsets_mapping=True, add_special_tokens=False)
    pieces = zip(tokens["input_ids"], tokens["offset_mapping"], strict=True)
    return [*(token for token, (_, end) in pieces if end > len(before)), int(tokenizer.eos_token_id)]


def answer_of(row: dict[str, Any]) -> list[int]:
    """Return the answer tokens of a row."""
    return [int(token) for token in row["labels"] if token != IGNORED]


def with_answer(row: dict[str, Any], answer: Sequence[int], *, decoder: bool, longest: int | None) -> dict[str, Any]:
    """Return a row with the same prompt and another answer.

    Args:
        row: ``input_ids``, ``attention_mask`` and ``labels`` of one row.
        answer: Tokens of the new answer.
        decoder: Whether a decoder writes answers; else they stand behind the prompt in ``input_ids``.
        longest: Tokens a text has at most; what is beyond is cut off.

    Raises:
        ValueError: If the row holds something else that goes with the old answer.
    """
    if decoder and "decoder_input_ids" not in row:
        return {**row, "labels": list(answer)[:longest]}
    if decoder or set(row) != COLUMNS:
        raise ValueError(f"expected rows of {', '.join(sorted(COLUMNS))}, got {', '.join(sorted(row))}")
    start = next(place for place, token in enumerate(row["labels"]) if token != IGNORED)
    tokens = [*(int(token) for token in row["input_ids"][:start]), *answer][:longest]
    return {"input_ids": tokens, "attention_mask": [1] * len(tokens), "labels": [IGNORED] * start + tokens[start:]}


def borrowed(answers: Sequence[list[int]], donors: Sequence[list[int]], draw: np.random.Generator) -> list[list[int]]:
    """Return, for every answer, one of the donors that is another.

    Raises:
        ValueError: If all donors say the same as an answer.
    """
    found = []
    for answer in answers:
        others = (donors[place] for place in draw.permutation(len(donors)))
        other = next((one for one in others if one != answer), None)
        if other is None:
            raise ValueError(f"expected another answer among {len(donors)} retain rows, got none")
        found.append(other)
    return found
