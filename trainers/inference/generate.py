"""What a model generates for some rows of a split: the rows that are chosen, and texts by greedy decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from mubench.hub_builders.utils.hash_order import stratified_ranks
from mubench.trainers.inference.predict import eval_mode, rows_per_pass

# Rows of each split beside the forget sets, chosen by the hash of their ids.
SAMPLE = 200
# Tokens of a written text at most.
MOST_TOKENS = 128
# Rows of a forward pass.
BATCH = 64


@dataclass(frozen=True, eq=False)
class GenerationRequest:
    """The rows of a split that a model generates texts or images for.

    Attributes:
        split: Name of the split.
        rows: The chosen rows.
        positions: Their positions in the split, ``(n,)``.
        max_length: Maximum tokens per text; ``None`` for no limit.
    """

    split: str
    rows: datasets.Dataset
    positions: npt.NDArray[np.intp]
    max_length: int | None


def sample_rows(ids: Sequence[str], size: int = SAMPLE) -> npt.NDArray[np.intp]:
    """Return the positions of the rows whose ids' hashes come first, at most ``size``, in order."""
    ranks = stratified_ranks(ids, None, prefix="generated")
    return np.flatnonzero(ranks < size)


def generate_texts(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int,
    batch_size: int = BATCH,
) -> list[str]:
    """Return the greedy continuation of every prompt, or what a decoder writes about it, without special tokens.

    The model runs in eval mode, without gradients, on its device; every module's mode is restored.

    Args:
        model: A causal language model, or an encoder and a decoder.
        tokenizer: Its tokenizer.
        prompts: Token ids of every prompt.
        max_tokens: Number of tokens after which a text ends if it has no end token before.
        batch_size: Rows per forward pass.
    """
    decoder = bool(model.config.is_encoder_decoder)
    side = "right" if decoder else "left"  # a causal model continues after its last position
    config = GenerationConfig(
        max_new_tokens=max_tokens,
        do_sample=False,
        num_beams=1,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        decoder_start_token_id=model.config.decoder_start_token_id if decoder else None,
    )
    texts: list[str] = []
    size = rows_per_pass(batch_size)
    with eval_mode(model), torch.no_grad():
        for start in range(0, len(prompts), size):
            rows = {"input_ids": [list(one) for one in prompts[start : start + size]]}
            batch = tokenizer.pad(rows, padding_side=side, return_tensors="pt").to(model.device)
            tokens = model.generate(**batch, generation_config=config)
            written = tokens if decoder else tokens[:, batch["input_ids"].shape[1] :]
            texts += tokenizer.batch_decode(written, skip_special_tokens=True)
    return [text.strip() for text in texts]
