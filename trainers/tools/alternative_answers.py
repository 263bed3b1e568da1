"""Alternative answers to a prompt or captions of an image: a refusal, or those of another row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import takewhile
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


def tokenize_refusal(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Return the tokens of a refusal that follows a prompt, with an end token.

    Args:
        tokenizer: A fast tokenizer, which gives the offsets of tokens in the text.
        text: The refusal.
    """
    before = "a"
    tokens = tokenizer(f"{before} {text}", return_offsets_mapping=True, add_special_tokens=False)
    pieces = zip(tokens["input_ids"], tokens["offset_mapping"], strict=True)
    return [*(token for token, (_, end) in pieces if end > len(before)), int(tokenizer.eos_token_id)]


def answer_tokens(row: dict[str, Any]) -> list[int]:
    """Return the answer tokens of a row."""
    return [int(token) for token in row["labels"] if token != IGNORED]


def prompt_tokens(row: dict[str, Any]) -> list[int]:
    """Return the tokens that the model reads before the answer of a row: all where it is a decoder's target."""
    tokens = [int(token) for token in row["input_ids"]]
    start = next((i for i, token in enumerate(row["labels"]) if token != IGNORED), 0)
    return tokens[:start] if start else tokens


def between_frame(tokens: Sequence[int], one: Sequence[int], other: Sequence[int]) -> list[int]:
    """Return the tokens of a prompt in a chat template without the template's own at the start and at the end.

    Args:
        tokens: The prompt.
        one: Another prompt in the template, of one letter.
        other: A third one, of another letter: what both share is the template's.
    """
    start = _count_shared(one, other)
    end = _count_shared(one[start:][::-1], other[start:][::-1])
    return list(tokens[start : len(tokens) - end])


def _count_shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the number of tokens that both start with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def caption_tokens(row: dict[str, Any]) -> list[int]:
    """Return the caption tokens of a row."""
    return [int(token) for token in row["input_ids"]]


def replace_answer(row: dict[str, Any], answer: Sequence[int], model: torch.nn.Module) -> dict[str, Any]:
    """Return a row with the same prompt and another answer.

    Args:
        row: ``input_ids``, ``attention_mask`` and ``labels`` of one row.
        answer: Tokens of the new answer.
        model: The language model. Its config says whether a decoder generates answers, which else follow the prompt
            in ``input_ids``, and how many tokens a text has at most; the rest is cut off.

    Raises:
        ValueError: If the row has another column that may depend on the old answer.
    """
    config = getattr(model, "config", None)
    decoder = getattr(config, "is_encoder_decoder", False)
    longest = getattr(config, "max_position_embeddings", None)
    if decoder and "decoder_input_ids" not in row:
        return {**row, "labels": list(answer)[:longest]}
    if decoder or set(row) != COLUMNS:
        raise ValueError(f"expected rows of {', '.join(sorted(COLUMNS))}, got {', '.join(sorted(row))}")
    start = next(i for i, token in enumerate(row["labels"]) if token != IGNORED)
    tokens = [*(int(token) for token in row["input_ids"][:start]), *answer][:longest]
    return {"input_ids": tokens, "attention_mask": [1] * len(tokens), "labels": [IGNORED] * start + tokens[start:]}


def cycle_answer(labels: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Return labels in which tokens take turns in place of those of every answer.

    Args:
        labels: The token that every position should predict, `IGNORED` where there is none, shape ``(B, T)``.
        tokens: What to put there, from the first on in every row, shape ``(n,)``.
    """
    answer = labels != IGNORED
    turns = (answer.cumsum(dim=1) - 1).clamp(min=0) % len(tokens)
    return torch.where(answer, tokens.to(labels)[turns], IGNORED)


def sample_other_tokens(
    own: Sequence[list[int]],
    tokens_of: Callable[[int], list[int]],
    donors: np.ndarray,
    generator: np.random.Generator,
) -> list[list[int]]:
    """Return for every row the tokens of a random donor that differ from its own.

    Args:
        own: Tokens of the rows' answers or captions.
        tokens_of: Returns the tokens of a donor; called for no more donors than needed.
        donors: Indices of the donor rows, shape ``(n,)``.
        generator: Draws the donors.

    Raises:
        ValueError: If all donors have the same tokens as a row.
    """
    found = []
    for tokens in own:
        others = (tokens_of(int(row)) for row in generator.permutation(donors))
        other = next((one for one in others if one != tokens), None)
        if other is None:
            raise ValueError(f"expected another answer or caption among {len(donors)} retain rows, got none")
        found.append(other)
    return found
