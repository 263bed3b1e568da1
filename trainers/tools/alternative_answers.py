"""Other answers to a prompt, or captions of a picture: a refusal, or what another row says; as rows for a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from mubench.trainers.engine.losses import IGNORED

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


def caption_of(row: dict[str, Any]) -> list[int]:
    """Return the caption tokens of a row."""
    return [int(token) for token in row["input_ids"]]


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


def with_answers(
    rows: Sequence[dict[str, Any]], answers: Sequence[Sequence[int]], model: torch.nn.Module
) -> list[dict[str, Any]]:
    """Return rows as `with_answer` does, each with its new answer.

    Args:
        rows: ``input_ids``, ``attention_mask`` and ``labels`` each.
        answers: Tokens of the new answers.
        model: The model that is to write; its config says whether it has a decoder, and how long a text may be.

    Raises:
        ValueError: If a row holds something else that goes with the old answer.
    """
    config = getattr(model, "config", None)
    decoder = getattr(config, "is_encoder_decoder", False)
    longest = getattr(config, "max_position_embeddings", None)
    return [
        with_answer(row, answer, decoder=decoder, longest=longest) for row, answer in zip(rows, answers, strict=True)
    ]


def borrowed(
    own: Sequence[list[int]], lent: Callable[[int], list[int]], donors: np.ndarray, draw: np.random.Generator
) -> list[list[int]]:
    """Return, for the tokens of every row, those of a donor that are others.

    Args:
        own: Tokens of an answer or a caption each.
        lent: Returns the tokens of a donor; asked about as few as will do.
        donors: Rows to borrow from, shape ``(n,)``.
        draw: Draws the donors.

    Raises:
        ValueError: If all donors say the same as a row.
    """
    found = []
    for tokens in own:
        others = (lent(int(row)) for row in draw.permutation(donors))
        other = next((one for one in others if one != tokens), None)
        if other is None:
            raise ValueError(f"expected another answer or caption among {len(donors)} retain rows, got none")
        found.append(other)
    return found
