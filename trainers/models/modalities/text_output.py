"""`TextOutputModality`: what token models share: a vocabulary of words, zero embeddings, outputs on answer tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import datasets
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast, set_seed

from mubench.hub_builders.tasks import BACKBONES
from mubench.trainers.inference.outputs import Outputs
from mubench.trainers.inference.predict import predict_tokens
from mubench.trainers.models.modalities.modality import (
    EncodedRows,
    Modality,
    ModelPair,
    Splits,
)
from mubench.trainers.models.modalities.pretrained import checkpoint_source, load_complete, load_published

VOCABULARY = 8_000
PAD, END, UNKNOWN = SPECIAL = ("<pad>", "<end>", "<unk>")
PLACES = 512  # longest text of a mini backbone, in tokens


def make_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerBase:
    """Make a vocabulary of words: the characters of the texts, then their most frequent words and signs.

    Equal texts give an equal tokenizer, whatever their order. Words start with the space before them, so that decoding
    gives back the text without leading spaces; a word that is not in the vocabulary is spelled in smaller pieces.
    """
    split = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    words = Counter(word for text in texts for word, _ in split.pre_tokenize_str(text))
    letters = sorted({letter for word in words for letter in word})
    frequent = sorted((word for word in words if len(word) > 1), key=lambda word: (-words[word], word))
    vocabulary = {piece: index for index, piece in enumerate([*SPECIAL, *letters, *frequent][:VOCABULARY])}
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


def prompts_and_answers(rows: datasets.Dataset) -> tuple[str, str]:
    """Return the names of the two columns: the first ones with a text of the task's own."""
    texts = [name for name, kind in rows.features.items() if kind == datasets.Value("string")]
    prompt, answer, *_ = [name for name in texts if name not in ("example_id", "group")]
    return prompt, answer


class TextOutputModality(Modality):
    """Answers to prompts, each a column of texts."""

    auto: ClassVar[Any]
    mini: ClassVar[Mapping[str, Callable[[], PreTrainedConfig]]]

    def load(self, folder: Path | str) -> ModelPair:
        return self.with_tokenizer(load_complete(self.auto, folder), pretrained_model_name_or_path=folder)

    @abstractmethod
    def with_tokenizer(self, model: PreTrainedModel, **source: Any) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Return a model and its tokenizer; ``source`` locates both, as ``from_pretrained`` takes it."""

    def create(self, backbone: str, labels: Sequence[str], rows: Splits, seed: int) -> ModelPair:
        if BACKBONES[backbone].hub_id is not None:
            return self.with_tokenizer(load_published(self.auto, backbone), **checkpoint_source(backbone))
        train = rows["train"]
        names = prompts_and_answers(train)
        tokenizer = make_tokenizer(text for split in rows.values() for name in names for text in split[name])
        config = self.mini[backbone]()
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
