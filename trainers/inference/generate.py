"""What a model generates for some rows of a split: the rows that are chosen, texts by greedy decoding, and samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedTokenizerBase

from mubench.hub_builders.utils.hash_order import stratified_ranks
from mubench.trainers.engine.noise import TEXT, generators, row_key
from mubench.trainers.inference.predict import eval_mode, rows_per_pass

# Rows of each split beside the forget sets, chosen by the hash of their ids.
SAMPLE = 200
# Rows with sampled texts, the first in deletion order, which all ratios forget; and the texts of each.
SAMPLED_ROWS, SAMPLES = 32, 8
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
        sampled: Positions among the chosen rows of those with sampled texts.
        seed: Seed of the samples.
    """

    split: str
    rows: datasets.Dataset
    positions: npt.NDArray[np.intp]
    max_length: int | None
    sampled: Sequence[int] = ()
    seed: int = 0


def sample_rows(
    ids: Sequence[str], size: int = SAMPLE, preferred: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.intp]:
    """Return the positions of the rows whose ids' hashes come first, at most ``size``, in order.

    Args:
        ids: Example ids, ``N`` of them.
        size: Number of rows.
        preferred: Rows that come before all others, ``(N,)``.
    """
    ranks = stratified_ranks(ids, None, prefix="generated")
    later = np.zeros(len(ids), dtype=np.bool_) if preferred is None else ~preferred
    return np.sort(np.lexsort((ranks, later))[:size])


def generate_texts(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    *,
    max_tokens: int | Sequence[int],
    batch_size: int = BATCH,
    uniforms: npt.NDArray[np.float64] | None = None,
    ends: Sequence[int] = (),
) -> list[str]:
    """Return the greedy continuation of every prompt, or what a decoder writes about it, without special tokens.

    With ``uniforms`` it is a sample from the model's distribution, at temperature 1. The model runs in eval mode,
    without gradients, on its device; every module's mode is restored.

    Args:
        model: A causal language model, or an encoder and a decoder.
        tokenizer: Its tokenizer.
        prompts: Token ids of every prompt.
        max_tokens: Number of tokens after which a text ends if it has no end token before, of all or of each.
        batch_size: Rows per forward pass.
        uniforms: A number in [0, 1) for every text and token, ``(n, max_tokens)``, which decides that token.
        ends: Tokens that end a text, beside the tokenizer's end token.
    """
    decoder = bool(model.config.is_encoder_decoder)
    side = "right" if decoder else "left"  # a causal model continues after its last position
    lengths = [max_tokens] * len(prompts) if isinstance(max_tokens, int) else max_tokens
    config = GenerationConfig(
        max_new_tokens=max(lengths, default=1),
        do_sample=False,
        num_beams=1,
        eos_token_id=[tokenizer.eos_token_id, *ends],
        pad_token_id=tokenizer.pad_token_id,
        decoder_start_token_id=model.config.decoder_start_token_id if decoder else None,
    )
    texts: list[str] = []
    size = rows_per_pass(batch_size)
    with eval_mode(model), torch.no_grad():
        for start in range(0, len(prompts), size):
            rows = {"input_ids": [list(one) for one in prompts[start : start + size]]}
            batch = tokenizer.pad(rows, padding_side=side, return_tensors="pt").to(model.device)
            chosen = [] if uniforms is None else [InverseTransform(uniforms[start : start + size])]
            tokens = model.generate(**batch, generation_config=config, logits_processor=LogitsProcessorList(chosen))
            written = tokens if decoder else tokens[:, batch["input_ids"].shape[1] :]
            first = 1 if decoder else 0  # the token that a decoder starts from
            kept = [row[: first + most] for row, most in zip(written, lengths[start : start + size], strict=True)]
            texts += tokenizer.batch_decode(kept, skip_special_tokens=True)
    return [text.strip() for text in texts]


class InverseTransform(LogitsProcessor):
    """Samples by inverse transform: keeps only the token that a uniform number selects, so greedy decoding takes it.

    A text then depends neither on the others of its batch nor on the state of a random generator.

    Args:
        uniforms: A number in [0, 1) for every text and step, ``(B, T)``.
    """

    def __init__(self, uniforms: npt.NDArray[np.float64]) -> None:
        self.uniforms, self.step = torch.from_numpy(uniforms), 0

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores ``(B, V)`` that are 0 at the chosen token and minus infinity elsewhere.

        The chosen one is the first whose cumulative probability is above the number.
        """
        sums = scores.double().softmax(dim=-1).cumsum(dim=-1)
        drawn = self.uniforms[:, self.step, None].to(sums.device) * sums[:, -1:]
        self.step += 1
        token = torch.searchsorted(sums, drawn, right=True)
        token = token.clamp(max=scores.shape[1] - 1)  # the sums of a diverged model are NaN
        return torch.full_like(scores, -torch.inf).scatter(1, token, 0.0)


def sample_texts(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[Sequence[int]],
    ids: Sequence[str],
    *,
    seed: int,
    max_tokens: int | Sequence[int],
    ends: Sequence[int] = (),
) -> npt.NDArray[np.object_]:
    """Return texts sampled for every prompt at temperature 1, ``(n, SAMPLES)``.

    Args:
        model: A causal language model, or an encoder and a decoder.
        tokenizer: Its tokenizer.
        prompts: Token ids of every prompt.
        ids: Example ids of the prompts; with the seed they decide the samples.
        seed: Evaluation seed.
        max_tokens: Number of tokens after which a text ends if it has no end token before, of all or of each.
        ends: Tokens that end a text, beside the tokenizer's end token.
    """
    keys = torch.tensor([row_key(one) for one in ids])
    lengths = [max_tokens] * len(prompts) if isinstance(max_tokens, int) else max_tokens
    uniforms = [each.random((max(lengths), SAMPLES)).T for each in generators(keys, TEXT, 0, seed)]
    repeated = [prompt for prompt in prompts for _ in range(SAMPLES)]
    texts = generate_texts(
        model,
        tokenizer,
        repeated,
        max_tokens=[most for most in lengths for _ in range(SAMPLES)],
        uniforms=np.concatenate(uniforms),
        ends=ends,
    )
    return np.array(texts, dtype=np.object_).reshape(len(prompts), SAMPLES)
