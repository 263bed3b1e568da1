"""`TextOutputModality`: what token models share: a vocabulary of words, zero embeddings, outputs on answer tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import datasets
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast, set_seed

from mubench.hub_builders.tasks.own_backbones import get_backbone
from mubench.trainers.engine.losses import IGNORED
from mubench.trainers.inference.answers import Answers
from mubench.trainers.inference.generate import MOST_TOKENS, SAMPLES, GenerationRequest, generate_texts, sample_texts
from mubench.trainers.inference.outputs import Array, Outputs
from mubench.trainers.inference.predict import answer_losses, predict_tokens
from mubench.trainers.inference.token_outputs import TokenOutputs
from mubench.trainers.models.modalities.modality import (
    EncodedRows,
    Modality,
    ModelPair,
    Splits,
)
from mubench.trainers.models.modalities.pretrained import checkpoint_source, load_complete, load_published

VOCABULARY = 8_000
PAD, END, UNKNOWN = SPECIAL = ("<pad>", "<end>", "<unk>")
# Columns of other answers to a row's prompt, where a task has them.
PARAPHRASE, PERTURBED, OPTIONS = "paraphrased_answer", "perturbed_answer", "options"
PLACES = 512  # longest text of a mini backbone, in tokens


def make_tokenizer(texts: Iterable[str], size: int = VOCABULARY) -> PreTrainedTokenizerBase:
    """Make a vocabulary of words: the characters of the texts, then their most frequent words and signs.

    Equal texts give an equal tokenizer, whatever their order. Words start with the space before them, so that decoding
    gives back the text without leading spaces; a word that is not in the vocabulary is spelled in smaller pieces.

    Args:
        texts: The texts.
        size: Number of tokens at most, the special ones among them.
    """
    split = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    words = Counter(word for text in texts for word, _ in split.pre_tokenize_str(text))
    letters = sorted({letter for word in words for letter in word})
    frequent = sorted((word for word in words if len(word) > 1), key=lambda word: (-words[word], word))
    vocabulary = {piece: index for index, piece in enumerate([*SPECIAL, *letters, *frequent][:size])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN, continuing_subword_prefix=""))
    tokenizer.pre_tokenizer, tokenizer.decoder = split, decoders.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, bos_token=END, unk_token=UNKNOWN
    )


def zero_rare_embeddings(model: PreTrainedModel, ids: Iterable[Iterable[int]], groups: Iterable[str]) -> None:
    """Set the embedding of every token that occurs in at most one group of the training rows to zero.

    Such a token is a name of the group, or of a row that is its own group. A random embedding would move the outputs
    of a model that never trained on it by chance.
    """
    owners = defaultdict(set)
    for tokens, group in zip(ids, groups, strict=True):
        for token in tokens:
            owners[token].add(group)
    weight = model.get_input_embeddings().get_parameter("weight")
    with torch.no_grad():
        weight[[token for token in range(len(weight)) if len(owners[token]) <= 1]] = 0


def text_columns(rows: datasets.Dataset) -> list[str]:
    """Return the names of the columns with a text of the task's own."""
    texts = [name for name, kind in rows.features.items() if kind == datasets.Value("string")]
    return [name for name in texts if name not in ("example_id", "group")]


def prompts_and_answers(rows: datasets.Dataset) -> tuple[str, str]:
    """Return the names of the two columns: the first ones with a text of the task's own."""
    prompt, answer, *_ = text_columns(rows)
    return prompt, answer


class TextsToWrite(NamedTuple):
    """What a model is to write for ``n`` rows.

    Attributes:
        prompts: Tokens that the model reads, ``(n,)`` lists.
        references: The true texts, ``(n,)``.
        lengths: Number of tokens to write at most, ``(n,)``.
    """

    prompts: list[list[int]]
    references: list[str]
    lengths: list[int]

    def at(self, rows: Sequence[int]) -> tuple[list[list[int]], list[int]]:
        """Return prompts and lengths of some rows."""
        return [self.prompts[row] for row in rows], [self.lengths[row] for row in rows]


class TextOutputModality(Modality):
    """Models that generate an answer to a prompt; prompts and answers are text columns."""

    auto: ClassVar[Any]
    configs: ClassVar[Mapping[str, Callable[[], PreTrainedConfig]]]

    def load(self, folder: Path | str) -> ModelPair:
        return self.with_tokenizer(load_complete(self.auto, folder), pretrained_model_name_or_path=folder)

    @abstractmethod
    def with_tokenizer(self, model: PreTrainedModel, **source: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Return a model and its tokenizer; ``source`` locates both, as ``from_pretrained`` takes it."""

    def create(self, backbone: str, labels: Sequence[str], rows: Splits, seed: int) -> ModelPair:
        if get_backbone(backbone).hub_id is not None:
            return self.with_tokenizer(load_published(self.auto, backbone), **checkpoint_source(backbone))
        train = rows["train"]
        names = text_columns(train)[:2]
        config = self.configs[backbone]()
        texts = (text for split in rows.values() for name in names for text in split[name])
        tokenizer = make_tokenizer(texts, min(VOCABULARY, config.vocab_size))
        config.update({**self.special(tokenizer), "vocab_size": len(tokenizer)})
        set_seed(seed)
        model = self.auto.from_config(config)
        encoded = self.encode(train, tokenizer, None)
        owner = "group" if "group" in train.column_names else "example_id"
        tokens = ({*encoded[row]["input_ids"], *encoded[row]["labels"]} for row in range(len(train)))
        zero_rare_embeddings(model, tokens, train[owner])
        return model, tokenizer

    def special(self, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
        """Return the entries of a mini backbone's config that name special tokens."""
        return {name: getattr(tokenizer, name) for name in ("pad_token_id", "eos_token_id", "bos_token_id")}

    def predict(self, model: PreTrainedModel, processor: Any, rows: datasets.Dataset, encoded: EncodedRows) -> Outputs:
        return predict_tokens(model, encoded, self.collator(processor), rows["example_id"])

    @abstractmethod
    def prompt(self, row: Mapping[str, Any]) -> list[int]:
        """Return the tokens of a model-ready row that the model reads before it writes the answer."""

    def texts_to_write(
        self, rows: datasets.Dataset, items: Sequence[Mapping[str, Any]], processor: Any
    ) -> TextsToWrite:
        """Return the prompts of rows, their true answers, and the longest of these as the length of all.

        Args:
            rows: The rows.
            items: The same rows, model-ready.
            processor: The tokenizer.
        """
        longest = max(sum(label != IGNORED for label in item["labels"]) for item in items)
        lengths = [min(MOST_TOKENS, longest)] * len(items)
        return TextsToWrite([self.prompt(item) for item in items], list(rows[prompts_and_answers(rows)[1]]), lengths)

    def end_tokens(self, processor: Any) -> list[int]:
        """Return the tokens that end an answer, beside the tokenizer's end token."""
        return []

    def add_generated(
        self, outputs: Outputs, model: PreTrainedModel, processor: Any, request: GenerationRequest
    ) -> Outputs:
        """Return token outputs with the answers that the model writes, and its losses on the rows' alternatives."""
        if not isinstance(outputs, TokenOutputs):
            raise TypeError(f"expected outputs on tokens, got {type(outputs).__name__}")
        rows = request.rows
        encoded = self.encode(rows, processor, request.max_length)
        to_write = self.texts_to_write(rows, [encoded[row] for row in range(len(rows))], processor)
        ends = self.end_tokens(processor)
        texts = generate_texts(model, processor, to_write.prompts, max_tokens=to_write.lengths, ends=ends)
        sampled = np.full((len(rows), SAMPLES if request.sampled else 0), None, dtype=np.object_)
        if request.sampled:
            own, lengths = to_write.at(request.sampled)
            ids = rows.select(request.sampled)["example_id"]
            sampled[[*request.sampled]] = sample_texts(
                model, processor, own, ids, seed=request.seed, max_tokens=lengths, ends=ends
            )

        def losses(column: str, wanted: bool = True) -> Array:
            given = list(rows[column]) if wanted and column in rows.column_names else [""] * len(rows)
            return self._alternative_losses(model, processor, request, given)

        answers = Answers(
            generated=np.array(texts, dtype=np.object_),
            reference=np.array(to_write.references, dtype=np.object_),
            group=np.array(rows["group"] if "group" in rows.column_names else [""] * len(rows), dtype=np.object_),
            paraphrase_loss=losses(PARAPHRASE)[:, 0],
            perturbed_losses=losses(PERTURBED),
            option_losses=losses(OPTIONS, request.split == "ood"),
            sampled=sampled,
        )
        return replace(outputs, answers=answers.among(len(outputs), request.positions))

    def _alternative_losses(
        self, model: PreTrainedModel, processor: Any, request: GenerationRequest, given: Sequence[str | list[str]]
    ) -> Array:
        """Return the losses on other answers, ``(n, A)`` with ``A >= 1``, NaN where a row has fewer."""
        texts = [list(filter(None, [each] if isinstance(each, str) else each)) for each in given]
        places = [(row, place) for row, each in enumerate(texts) for place in range(len(each))]
        values = np.full((len(texts), max(map(len, texts)) or 1), np.nan)
        if places:
            prompt, answer = prompts_and_answers(request.rows)
            prompts = list(request.rows[prompt])  # one read of the column
            pairs = {
                prompt: [prompts[row] for row, _ in places],
                answer: [texts[row][place] for row, place in places],
            }
            encoded = self.encode(datasets.Dataset.from_dict(pairs), processor, request.max_length)
            values[tuple(np.transpose(places))] = answer_losses(model, encoded, self.collator(processor))
        return values
