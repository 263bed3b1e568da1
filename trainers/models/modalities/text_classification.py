"""Texts with one label each: tokenised once, padded per batch, classified by any encoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from mubench.trainers.models.modalities.modality import (
    ClassifierModality,
    Collator,
    EncodedRows,
    ModelPair,
    Splits,
    create_with_shared_body,
)
from mubench.trainers.models.modalities.pretrained import load_tokenizer
from mubench.trainers.models.modalities.shifts import lengthen_limit, prepend_sentence

VOCABULARY = 8_000
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

# A wide random start and no dropout: models that never saw a row then agree about it.
SIZE: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "initializer_range": 0.12,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
DEBERTA_V3: dict[str, Any] = {
    "relative_attention": True,
    "position_biased_input": False,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 32,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "type_vocab_size": 0,
}
MINI: dict[str, Callable[[], PreTrainedConfig]] = {
    "bert": partial(transformers.BertConfig, **SIZE),
    "roberta": partial(transformers.RobertaConfig, **SIZE, type_vocab_size=1),
    "deberta": partial(transformers.DebertaV2Config, **SIZE, **DEBERTA_V3),
    "electra": partial(transformers.ElectraConfig, **SIZE, embedding_size=128),
    "distilbert": partial(
        transformers.DistilBertConfig,
        dim=128,
        n_layers=1,
        n_heads=4,
        hidden_dim=64,
        initializer_range=0.12,
        dropout=0.0,
        attention_dropout=0.0,
        seq_classif_dropout=0.0,
    ),
    "albert": partial(transformers.AlbertConfig, **SIZE, embedding_size=128, classifier_dropout_prob=0.0),
}

CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    **MINI,
    # For real texts: a deep averaging network (Iyyer et al., 2015), the mean of the tokens' embeddings and one layer.
    "dan": partial(
        transformers.EuroBertConfig,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=0,
        num_attention_heads=4,
        classifier_pooling="mean",
        max_position_embeddings=256,
        initializer_range=0.05,
    ),
    # For real relations: one ModernBERT layer. Unlike `dan`, it reads the order of the words around the two drugs.
    "modernbert-small": partial(
        transformers.ModernBertConfig,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=1,
        num_attention_heads=4,
        attention_bias=True,  # a head can attend to a relative position, whatever the token there
        norm_bias=True,
        embedding_dropout=0.2,
        mlp_dropout=0.1,
        classifier_pooling="mean",
        max_position_embeddings=512,
        initializer_range=0.05,
        bos_token_id=SPECIAL.index("[CLS]"),
        cls_token_id=SPECIAL.index("[CLS]"),
        eos_token_id=SPECIAL.index("[SEP]"),
        sep_token_id=SPECIAL.index("[SEP]"),
    ),
}


def make_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerBase:
    """Make a lower-case WordPiece vocabulary: the characters of the texts, then their most frequent words.

    Equal texts give an equal tokenizer, whatever their order; the trainers of the tokenizers library do not promise
    that, since they break ties by hash.
    """
    normalize, split = BertNormalizer(lowercase=True).normalize_str, BertPreTokenizer().pre_tokenize_str
    words = Counter(word for text in texts for word, _ in split(normalize(text)))
    letters = sorted({letter for word in words for letter in word})
    frequent = sorted((word for word in words if len(word) > 1), key=lambda w: (-words[w], w))
    pieces = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters), *frequent]
    vocabulary = {piece: index for index, piece in enumerate(pieces[:VOCABULARY])}
    # A row is one text, and some encoders know no types of tokens.
    tokenizer: PreTrainedTokenizerBase = transformers.BertTokenizer(
        vocab=vocabulary, do_lower_case=True, model_input_names=["input_ids", "attention_mask"]
    )
    return tokenizer


@lru_cache(maxsize=1)  # base and retrained models start from the same splits; for IMDb it takes half a minute
def tokenizer_of(*splits: datasets.Dataset) -> PreTrainedTokenizerBase:
    """Return `make_tokenizer` of the texts of all splits."""
    return make_tokenizer(text for split in splits for text in split["text"])


@lru_cache(maxsize=1)
def _rare_tokens(tokenizer: PreTrainedTokenizerBase, train: datasets.Dataset) -> list[int]:
    """Return the tokens that occur at most once in the training texts."""
    counts = Counter(token for ids in tokenizer(list(train["text"]))["input_ids"] for token in ids)
    return [token for token in range(len(tokenizer)) if counts[token] <= 1]


def zero_rare_embeddings(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, train: datasets.Dataset) -> None:
    """Set the embedding of every token that occurs at most once in the training texts to zero.

    A random embedding of such a token, a name say, would move the outputs of a model that never trained on it by
    chance.
    """
    with torch.no_grad():
        model.get_input_embeddings().get_parameter("weight")[_rare_tokens(tokenizer, train)] = 0


def _with_padding(pair: ModelPair) -> ModelPair:
    """Return a model and its tokenizer, which pads with its end token where it has no token for it, as Llama's."""
    model, tokenizer = pair
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return pair


class TextModality(ClassifierModality):
    """Text classification."""

    auto = transformers.AutoModelForSequenceClassification
    configs = CONFIGS

    def create_from_config(self, config: PreTrainedConfig, rows: Splits, seed: int) -> ModelPair:
        tokenizer = tokenizer_of(*rows.values())
        config.update({"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id})
        model = create_with_shared_body(partial(self.auto.from_config, config), seed)
        zero_rare_embeddings(model, tokenizer, rows["train"])
        return model, tokenizer

    def create(self, backbone: str, labels: Sequence[str], rows: Splits, seed: int) -> ModelPair:
        return _with_padding(super().create(backbone, labels, rows, seed))

    def load(self, folder: Path | str) -> ModelPair:
        return _with_padding(super().load(folder))

    def load_processor(self, **source: Any) -> Any:
        return load_tokenizer(**source)

    def encode(self, rows: datasets.Dataset, processor: Any, max_length: int | None = None) -> EncodedRows:
        """Return token ids, mask and ``labels``; texts are cut at ``max_length`` tokens."""

        def encode(batch: dict[str, list[Any]]) -> list[dict[str, Any]]:
            tokens = processor(batch["text"], truncation=True, max_length=max_length)
            return [
                {**{key: tokens[key][i] for key in tokens}, "labels": label} for i, label in enumerate(batch["label"])
            ]

        return EncodedRows(rows, encode, 3 * 8 * (max_length or 512))

    def encode_shifted(self, rows: datasets.Dataset, processor: Any, max_length: int | None) -> EncodedRows:
        return self.encode(
            rows.with_transform(partial(prepend_sentence, column="text")),
            processor,
            lengthen_limit(max_length, processor),
        )

    def collator(self, processor: Any) -> Collator:
        return transformers.DataCollatorWithPadding(processor)
