"""Prompts and answers as one text for a causal language model, which learns and is judged on the answer.

Rows without a prompt are texts, such as parts of documents: the loss reads all their tokens, and generation continues
their first half.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import datasets
import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from mubench.hub_builders.tasks import Recipe
from mubench.hub_builders.tasks.own_backbones import get_backbone
from mubench.trainers.engine.losses import IGNORED
from mubench.trainers.inference.generate import MOST_TOKENS
from mubench.trainers.models.modalities.chat import ChatTemplate
from mubench.trainers.models.modalities.modality import (
    Collator,
    EncodedRows,
    ModelPair,
    Splits,
)
from mubench.trainers.models.modalities.pretrained import load_tokenizer, package_files, read
from mubench.trainers.models.modalities.shifts import SENTENCE, lengthen_limit, prepend_sentence
from mubench.trainers.models.modalities.text_output import (
    PLACES,
    TextOutputModality,
    TextsToWrite,
    prompts_and_answers,
    text_columns,
)

_LLAMA = partial(
    transformers.LlamaConfig,
    hidden_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=256,
    initializer_range=0.05,
    max_position_embeddings=PLACES,
)
MINI: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama": _LLAMA,
    "gpt2": partial(
        transformers.GPT2Config,
        n_embd=96,
        n_layer=2,
        n_head=4,
        n_positions=PLACES,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    ),
    "phi": partial(
        transformers.PhiConfig,
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=PLACES,
    ),
}

CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    **MINI,
    # For real texts: half of the vocabulary, since the output layer is most of the work.
    "llama-small": partial(_LLAMA, vocab_size=4_000),
}


def load_packaged(backbone: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model, dequantized to fp32, and its tokenizer from the GGUF file that a backbone's package ships.

    Raises:
        FileNotFoundError: If the package or `gguf` is not installed.
        ValueError: If the file is another than the one that the table of backbones describes.
    """
    (file,) = package_files(get_backbone(backbone), "gguf")
    source = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    tokenizer = read(transformers.AutoTokenizer, **source, padding_side="right")
    quantized = read(transformers.AutoModelForCausalLM, **source, dtype=torch.float32)
    # A model from such a file counts as quantized and cannot be saved; a copy of its weights can.
    config = copy.deepcopy(quantized.config)
    vars(config).pop("quantization_config", None)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(quantized.state_dict())
    return model, tokenizer


def _tokenize(tokenizer: Any, prompts: Sequence[str], answers: Sequence[str]) -> list[tuple[list[int], int]]:
    """Return, of every row, the tokens of prompt, a space, answer and end, and how many are prompt."""
    texts = [f"{prompt} {answer}" for prompt, answer in zip(prompts, answers, strict=True)]
    tokens = tokenizer(texts, return_offsets_mapping=True)
    rows = zip(tokens["input_ids"], tokens["offset_mapping"], prompts, strict=True)
    # An answer begins with the space before it, so no token belongs to both.
    return [
        (
            [*ids, tokenizer.eos_token_id],
            next((place for place, (_, end) in enumerate(spans) if end > len(prompt)), len(ids)),
        )
        for ids, spans, prompt in rows
    ]


def _model_row(ids: list[int], start: int, prompt: str, max_length: int | None) -> dict[str, Any]:
    """Return a model-ready row, cut at ``max_length`` tokens, whose answer begins at ``start``.

    Raises:
        ValueError: If the prompt alone is as long as that.
    """
    ids = ids[:max_length]
    if start >= len(ids):
        raise ValueError(f"expected a prompt of fewer than {max_length} tokens, got {start}: {prompt[:60]!r}")
    labels = [IGNORED] * start + ids[start:]
    return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}


def _tokenize_texts(tokenizer: Any, texts: Sequence[str], before: str = "") -> list[tuple[list[int], int]]:
    """Return, of every text, its tokens, and at which one its labels begin.

    A beginning token, if the tokenizer has one, comes first, or nothing would predict the first token of the text. No
    end token follows: a text may be part of a document.

    Args:
        tokenizer: The tokenizer.
        texts: The texts.
        before: A sentence in front of every text, without labels; empty for none.
    """
    joined = [f"{before} {text}" if before else text for text in texts]
    tokens, found = tokenizer(joined, return_offsets_mapping=True), []
    for ids, spans in zip(tokens["input_ids"], tokens["offset_mapping"], strict=True):
        start = next((place for place, (_, end) in enumerate(spans) if end > len(before)), len(ids))
        has_first = any(end == 0 for _, end in spans[:1])
        first = [] if has_first or tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        found.append(([*first, *ids], max(1, start + len(first))))
    return found


def encode_texts(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of texts without prompts, which models of such tasks continue, behind a beginning token."""
    return [ids for ids, _ in _tokenize_texts(tokenizer, texts)]


def _text_row(ids: list[int], start: int, text: str, max_length: int | None) -> dict[str, Any]:
    """Return a model-ready row of a text whose labels begin at ``start``.

    Raises:
        ValueError: If it has more than ``max_length`` tokens, or too few to predict one.
    """
    if max_length is not None and len(ids) > max_length:
        raise ValueError(
            f"expected a text of at most {max_length} tokens, got {len(ids)}: {text[:60]!r}; cut documents into fewer "
            "words (`chunk_words` of the task file), or raise max_length of its recipe"
        )
    if start >= len(ids):
        raise ValueError(f"expected a text of 2 tokens or more, got {len(ids)}: {text[:60]!r}")
    return _model_row(ids, start, "", None)


def _halve(item: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """Return the tokens up to the middle of a text, and those that follow, `MOST_TOKENS` at most."""
    start = next(place for place, label in enumerate(item["labels"]) if label != IGNORED)
    ids = list(item["input_ids"])
    middle = start + (len(ids) - start) // 2
    return ids[:middle], ids[middle : middle + MOST_TOKENS]


@dataclass(frozen=True)
class CausalModality(TextOutputModality):
    """Answers to prompts, or texts without prompts, by a causal language model.

    Attributes:
        template: How prompt and answer become one text, see `Recipe`.
        system_prompt: System turn of a chat template.
    """

    auto = transformers.AutoModelForCausalLM
    configs: ClassVar[Mapping[str, Callable[[], PreTrainedConfig]]] = CONFIGS
    template: str = "none"
    system_prompt: str | None = None

    def for_recipe(self, recipe: Recipe) -> CausalModality:
        if recipe.template == self.template and recipe.system_prompt == self.system_prompt:
            return self
        return replace(self, template=recipe.template, system_prompt=recipe.system_prompt)

    def create(self, backbone: str, labels: Sequence[str], rows: Splits, seed: int) -> ModelPair:
        packaged = get_backbone(backbone).package is not None
        return load_packaged(backbone) if packaged else super().create(backbone, labels, rows, seed)

    def with_tokenizer(self, model: PreTrainedModel, **source: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Return a model and its tokenizer; without a padding token in the model's vocabulary, the end token pads."""
        tokenizer = load_tokenizer(**source, padding_side="right")
        if tokenizer.pad_token_id is None or tokenizer.pad_token_id >= model.config.vocab_size:
            tokenizer.pad_token = tokenizer.eos_token
        return model, tokenizer

    def encode(self, rows: datasets.Dataset, processor: Any, max_length: int | None = None) -> EncodedRows:
        """Return ``input_ids``, ``attention_mask`` and ``labels`` of prompt, answer and end token.

        Labels stand at their own tokens; the prompt has none. Texts are cut at ``max_length`` tokens. Texts without
        prompts have labels at all their tokens, behind a beginning token, no end token, and are not cut.

        Raises:
            ValueError: If a prompt alone is as long as that, the tokenizer lacks the chat template of the recipe, or a
                text without a prompt is longer, has a single token, or is to be a turn.
        """
        if len(text_columns(rows)) == 1:
            return self._encode_texts(rows, processor, max_length)
        prompts, answers = prompts_and_answers(rows)
        tokenize = self._chat(processor).encode_rows if self.template == "chat" else partial(_tokenize, processor)

        def encode(batch: dict[str, list[Any]]) -> list[dict[str, Any]]:
            found = tokenize(batch[prompts], batch[answers])
            return [
                _model_row(ids, start, prompt, max_length)
                for (ids, start), prompt in zip(found, batch[prompts], strict=True)
            ]

        return EncodedRows(rows, encode, 3 * 8 * (max_length or PLACES))

    def _encode_texts(
        self, rows: datasets.Dataset, processor: Any, max_length: int | None, before: str = ""
    ) -> EncodedRows:
        if self.template != "none":
            raise ValueError(f"expected template none for texts without prompts, got {self.template}")
        (column,) = text_columns(rows)
        # A text is measured without the sentence, behind which its first word may be a token more.
        limit = None if before else max_length

        def encode(batch: dict[str, list[Any]]) -> list[dict[str, Any]]:
            found = _tokenize_texts(processor, batch[column], before)
            return [
                _text_row(ids, start, text, limit) for (ids, start), text in zip(found, batch[column], strict=True)
            ]

        return EncodedRows(rows, encode, 3 * 8 * (max_length or PLACES))

    def _chat(self, processor: Any) -> ChatTemplate:
        return ChatTemplate(processor, self.system_prompt)

    def answer_encoder(self, processor: Any) -> Callable[[str], list[int]] | None:
        return self._chat(processor).encode_answer if self.template == "chat" else None

    def prompt_encoder(self, processor: Any) -> Callable[[str], list[int]] | None:
        chat = self._chat(processor) if self.template == "chat" else None
        return None if chat is None else lambda text: chat.encode_prompts([text])[0]

    def end_tokens(self, processor: Any) -> list[int]:
        return [self._chat(processor).turn_end] if self.template == "chat" else []

    def encode_shifted(self, rows: datasets.Dataset, processor: Any, max_length: int | None) -> EncodedRows:
        if len(text_columns(rows)) == 1:
            return self._encode_texts(rows, processor, max_length, before=SENTENCE)
        limit = lengthen_limit(max_length, processor)
        prompt, _ = prompts_and_answers(rows)
        return self.encode(rows.with_transform(partial(prepend_sentence, column=prompt)), processor, limit)

    def prompt(self, row: Mapping[str, Any]) -> list[int]:
        """Return the tokens before the first answer token."""
        start = next(place for place, label in enumerate(row["labels"]) if label != IGNORED)
        return list(row["input_ids"][:start])

    def texts_to_write(
        self, rows: datasets.Dataset, items: Sequence[Mapping[str, Any]], processor: Any
    ) -> TextsToWrite:
        """Return prompts and answers, or of texts without prompts their first halves and what follows."""
        if len(text_columns(rows)) > 1:
            return super().texts_to_write(rows, items, processor)
        prompts, rests = zip(*map(_halve, items), strict=True)
        references = processor.batch_decode(list(rests), skip_special_tokens=True)
        return TextsToWrite(list(prompts), [text.strip() for text in references], list(map(len, rests)))

    def collator(self, processor: Any) -> Collator:
        return transformers.DataCollatorForSeq2Seq(processor)
