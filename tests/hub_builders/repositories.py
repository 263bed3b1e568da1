"""Hub repositories as authors laid them out, with narrow models: config, processor files, weights by old names."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tests.hub_builders.published import PUBLISHED

NARROW = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
EAR = {"conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, **NARROW}
# What is said of a published config in other words: the class is the same, the sizes are not.
SMALLER: dict[str, dict[str, Any]] = {
    "resnet-18": {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 24]},
    "swin-tiny": {
        "image_size": 64, "window_size": 2, "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 2],
    },
    "mobilenet-v2": {"depth_multiplier": 0.1, "min_depth": 4, "image_size": 32, "finegrained_output": False},
    "convnext-base": {"depths": [1, 1, 2, 1], "hidden_sizes": [8, 12, 16, 24]},
    "vit-base": {**NARROW, "image_size": 32},
    "vilt-b32": {**NARROW, "image_size": 64},
    "bert-base": NARROW,
    "biobert": NARROW,
    "roberta-base": NARROW,
    "distilbert-base": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48},
    "electra-base": {**NARROW, "embedding_size": 32},
    "deberta-base": {**NARROW, "pooler_hidden_size": 32},
    "albert-base": {**NARROW, "embedding_size": 16},
    "wav2vec2-base": {**EAR, "codevector_dim": 16, "proj_codevector_dim": 16, "num_codevectors_per_group": 8},
    "hubert-base": EAR,
    "hubert-large": EAR,
    "whisper-tiny": {
        "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_source_positions": 50,
    },
    "videomae-base": {
        **NARROW, "image_size": 32, "num_frames": 4, "decoder_hidden_size": 16, "decoder_num_attention_heads": 2,
        "decoder_num_hidden_layers": 1, "decoder_intermediate_size": 24,
    },
    "t5-small": {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 2},
    "phi-1.5": NARROW,
    "llama2-7b": {**NARROW, "num_key_value_heads": 2},
}  # fmt: skip
# Names that weights have in the files of the time, where they differ from today's.
OLD_NAMES: dict[str, tuple[tuple[str, str], ...]] = {
    "bert": (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")),
    "wav2vec2": (("parametrizations.weight.original0", "weight_g"), ("parametrizations.weight.original1", "weight_v")),
    "hubert": (("parametrizations.weight.original0", "weight_g"), ("parametrizations.weight.original1", "weight_v")),
}
# Files hold the whole of what was pretrained, whatever class their config names.
SAVED_FROM = {"BertForMaskedLM": "BertForPreTraining", "AlbertForMaskedLM": "AlbertForPreTraining"}
# Weights of language models lie in half precision; training must not take place in it.
HALF = ("phi-1.5", "llama2-7b")
# These repositories have no safetensors.
PICKLED = ("biobert", "deberta-base", "wav2vec2-base", "hubert-base")
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
HALVES = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
PLAIN = {"do_normalize": True, "do_resize": True, "image_mean": MEAN, "image_std": DEVIATION, "resample": 3}
HEARD = {
    "do_normalize": True, "feature_extractor_type": "Wav2Vec2FeatureExtractor", "feature_size": 1,
    "padding_side": "right", "padding_value": 0, "sampling_rate": 16000,
}  # fmt: skip
# What ``preprocessor_config.json`` says, by the names of the time; only sizes are others.
PREPROCESSORS: dict[str, dict[str, Any]] = {
    "resnet-18": {**PLAIN, "feature_extractor_type": "ConvNextFeatureExtractor", "crop_pct": 0.875, "size": 32},
    "convnext-base": {**PLAIN, "feature_extractor_type": "ConvNextFeatureExtractor", "crop_pct": 0.875, "size": 32},
    "swin-tiny": {**PLAIN, "feature_extractor_type": "ViTFeatureExtractor", "size": 64},
    "vit-base": {**PLAIN, **HALVES, "image_processor_type": "ViTImageProcessor", "size": 32, "resample": 2},
    "mobilenet-v2": {
        **PLAIN, **HALVES, "image_processor_type": "MobileNetV2ImageProcessor", "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32}, "size": {"shortest_edge": 36}, "do_rescale": True,
        "rescale_factor": 1 / 255,
    },
    "vilt-b32": {**PLAIN, **HALVES, "feature_extractor_type": "ViltFeatureExtractor", "size": 64, "size_divisor": 32},
    "videomae-base": {
        **PLAIN, "feature_extractor_type": "VideoMAEFeatureExtractor", "do_center_crop": True, "size": 32,
        "crop_size": 32,
    },
    "wav2vec2-base": {**HEARD, "return_attention_mask": False},
    "hubert-base": {**HEARD, "return_attention_mask": False},
    "hubert-large": {**HEARD, "return_attention_mask": True},
    "whisper-tiny": {
        "chunk_length": 1, "feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 80, "hop_length": 160,
        "n_fft": 400, "n_samples": 16000, "nb_max_frames": 100, "padding_side": "right", "padding_value": 0.0,
        "processor_class": "WhisperProcessor", "return_attention_mask": False, "sampling_rate": 16000,
    },
}  # fmt: skip


def repository(folder: Path, backbone: str, texts: Iterable[str]) -> dict[str, torch.Tensor]:
    """Lay out the repository of a backbone with narrow, random weights, and return them by their old names.

    Args:
        folder: An empty folder.
        backbone: A key of `SMALLER`.
        texts: What a tokenizer has to know.
    """
    row = PUBLISHED[backbone]
    config = {**row.config, **SMALLER[backbone]}
    if "vocab_size" in config and row.kind != "whisper":
        config |= vocabulary(folder, backbone, list(texts))
    if backbone in PREPROCESSORS:
        (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSORS[backbone]))
    return checkpoint(folder, backbone, config)


def checkpoint(folder: Path, backbone: str, config: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Write config and random weights of a backbone as its authors wrote theirs, and return the weights."""
    row, dtype = PUBLISHED[backbone], torch.float16 if backbone in HALF else torch.float32
    told = {"architectures": [row.architecture], "model_type": row.kind, "torch_dtype": str(dtype).split(".")[1]}
    told |= {name: value for name, value in config.items() if name != "num_labels"}
    told |= _old_classes(config["num_labels"]) if "num_labels" in config else {}
    (folder / "config.json").write_text(json.dumps(told))
    made = getattr(transformers, SAVED_FROM.get(row.architecture, row.architecture))
    model = made(transformers.AutoConfig.from_pretrained(folder)).to(dtype)
    with tempfile.TemporaryDirectory() as saved:
        model.save_pretrained(saved)
        found = load_file(Path(saved) / "model.safetensors")
    weights = {_old_name(row.kind, name): _random(name, weight) for name, weight in found.items()}
    if row.kind == "t5":  # has a head of its own
        weights["lm_head.weight"] = torch.randn_like(weights["shared.weight"])
    if backbone in PICKLED:
        torch.save(weights, folder / "pytorch_model.bin")
    else:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return weights


def _old_name(kind: str, name: str) -> str:
    for now, then in OLD_NAMES.get(kind, ()):
        name = name.replace(now, then)
    return name


def _random(name: str, weight: torch.Tensor) -> torch.Tensor:
    """Return noise of a weight's kind, so that no two weights are equal."""
    noise = torch.randn_like(weight) / 20 if weight.is_floating_point() else weight
    return noise.abs() + 1 if name.endswith("running_var") else noise


def _old_classes(count: int) -> dict[str, Any]:
    names = [f"old {index}" for index in range(count)]
    return {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}


def vocabulary(folder: Path, backbone: str, texts: list[str]) -> dict[str, Any]:
    """Write the tokenizer's files of a backbone, and return what its config says of them."""
    kind = PUBLISHED[backbone].kind
    if kind in ("roberta", "phi"):
        return _bytes(folder, kind, texts)
    if kind in ("t5", "deberta-v2", "albert", "llama"):
        return _pieces(folder, kind, texts)
    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    letters = sorted({letter for word in words for letter in word})
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters), *words]
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in dict.fromkeys(known)))
    if backbone != "biobert":  # has nothing but its vocabulary
        (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    return {"vocab_size": len(dict.fromkeys(known)), "pad_token_id": 0}


def _bytes(folder: Path, kind: str, texts: list[str]) -> dict[str, Any]:
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] if kind == "roberta" else ["<|endoftext|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.model.save(str(folder))
    if kind == "phi":
        ends = dict.fromkeys(("bos_token", "eos_token", "unk_token"), special[0])
        told = {"add_prefix_space": False, "model_max_length": 2048, "tokenizer_class": "CodeGenTokenizer", **ends}
        (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return {"vocab_size": tokenizer.get_vocab_size()}


SPECIAL: dict[str, dict[str, Any]] = {
    "t5": {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1},
    "deberta-v2": {
        "pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": 3, "pad_piece": "[PAD]", "bos_piece": "[CLS]",
        "eos_piece": "[SEP]", "unk_piece": "[UNK]",
    },
    "albert": {
        "pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1, "control_symbols": ["[CLS]", "[SEP]"],
        "user_defined_symbols": ["[MASK]"],
    },
    "llama": {"unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1, "model_type": "bpe", "byte_fallback": True},
}  # fmt: skip
MODEL_FILE = {"t5": "spiece.model", "deberta-v2": "spm.model", "albert": "spiece.model", "llama": "tokenizer.model"}
EXTRA = [f"<extra_id_{index}>" for index in range(100)]
SETTINGS: dict[str, dict[str, Any]] = {
    "t5": {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "extra_ids": 100,
           "additional_special_tokens": EXTRA},
    "deberta-v2": {"do_lower_case": False, "vocab_type": "spm"},
    "llama": {"add_bos_token": True, "add_eos_token": False, "legacy": False, "tokenizer_class": "LlamaTokenizer",
              "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
}  # fmt: skip


def _pieces(folder: Path, kind: str, texts: list[str]) -> dict[str, Any]:
    import sentencepiece  # noqa: PLC0415  most repositories need none

    target = folder / MODEL_FILE[kind]
    with target.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=file, vocab_size=500, hard_vocab_limit=False,
            minloglevel=2, **SPECIAL[kind],
        )  # fmt: skip
    size = sentencepiece.SentencePieceProcessor(model_file=str(target)).vocab_size()
    if kind in SETTINGS:
        (folder / "tokenizer_config.json").write_text(json.dumps(SETTINGS[kind]))
    # Room for tokens beside the pieces; Llama's padding lies outside of it, as it does in its repository.
    return {"vocab_size": size if kind == "llama" else size + 128}
