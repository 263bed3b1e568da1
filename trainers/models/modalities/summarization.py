"""Texts and their summaries: an encoder of the text, and a decoder of the summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import datasets
import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from mubench.trainers.engine.losses import IGNORED
from mubench.trainers.models.modalities.modality import Collator, EncodedRows
from mubench.trainers.models.modalities.pretrained import load_tokenizer
from mubench.trainers.models.modalities.shifts import lengthen_limit, prepend_sentence
from mubench.trainers.models.modalities.text_output import PLACES, TextOutputModality, prompts_and_answers

MINI: dict[str, Callable[[], PreTrainedConfig]] = {
    "t5": partial(transformers.T5Config, d_model=64, d_kv=16, d_ff=256, num_layers=1, num_heads=4, dropout_rate=0.0),
    "bart": partial(
        transformers.BartConfig,
        d_model=64,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=256,
        decoder_ffn_dim=256,
        max_position_embeddings=PLACES,
        dropout=0.0,
    ),
}


def decoder_inputs(labels: torch.Tensor, start: int, padding: int) -> torch.Tensor:
    """Return the inputs of a decoder, ``(B, T)``: the token before each label, a start token at the first.

    Args:
        labels: The tokens to predict, ``(B, T)``, `IGNORED` where there is none.
        start: The start token.
        padding: The padding token.
    """
    inputs = labels.roll(1, dims=1)
    inputs[:, 0] = start
    return inputs.masked_fill(inputs == IGNORED, padding)


class Seq2SeqModality(TextOutputModality):
    """Summaries of texts, by an encoder and a decoder whose first token is padding, as T5's is."""

    auto = transformers.AutoModelForSeq2SeqLM
    configs: ClassVar[Mapping[str, Callable[[], PreTrainedConfig]]] = MINI

    def special(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        return {
            **super().special(tokenizer),
            "decoder_start_token_id": tokenizer.pad_token_id,
            "forced_eos_token_id": None,
        }

    def with_tokenizer(self, model: PreTrainedModel, **source: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Return a model beside its tokenizer.

        Raises:
            ValueError: If its decoder starts with another token than padding.
        """
        tokenizer = load_tokenizer(**source)
        start = model.config.decoder_start_token_id
        if start != tokenizer.pad_token_id:
            raise ValueError(f"expected a decoder that starts with padding ({tokenizer.pad_token_id}), got {start}")
        return model, tokenizer

    def encode(self, rows: datasets.Dataset, processor: Any, max_length: int | None = None) -> EncodedRows:
        """Return ``input_ids`` and ``attention_mask`` of the text, and the summary as ``labels``, end tokens included.

        Both are cut at ``max_length`` tokens.
        """
        return self._encode(rows, processor, max_length, max_length)

    def encode_shifted(self, rows: datasets.Dataset, processor: Any, max_length: int | None) -> EncodedRows:
        text, _ = prompts_and_answers(rows)
        moved = rows.with_transform(partial(prepend_sentence, column=text))
        return self._encode(moved, processor, lengthen_limit(max_length, processor), max_length)

    def _encode(self, rows: datasets.Dataset, processor: Any, text: int | None, summary: int | None) -> EncodedRows:
        """Return model-ready rows whose texts and summaries are cut at so many tokens."""
        text_column, summary_column = prompts_and_answers(rows)

        def end(ids: list[int], limit: int | None) -> list[int]:
            ids = ids[:-1] if ids[-1:] == [processor.eos_token_id] else ids  # some tokenizers add it
            return [*ids[: limit - 1 if limit else None], processor.eos_token_id]

        def encode(batch: dict[str, list[Any]]) -> list[dict[str, Any]]:
            texts, summaries = (processor(batch[name])["input_ids"] for name in (text_column, summary_column))
            pairs = [(end(one, text), end(other, summary)) for one, other in zip(texts, summaries, strict=True)]
            return [{"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels} for ids, labels in pairs]

        return EncodedRows(rows, encode, 3 * 8 * (text or PLACES))

    def prompt(self, row: Mapping[str, Any]) -> list[int]:
        """Return the tokens of the text."""
        return list(row["input_ids"])

    def collator(self, processor: Any) -> Collator:
        padded = transformers.DataCollatorForSeq2Seq(processor)

        def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
            batch: dict[str, Any] = dict(padded(items))
            start = processor.pad_token_id
            return {**batch, "decoder_input_ids": decoder_inputs(batch["labels"], start, start)}

        return collate
