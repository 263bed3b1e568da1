"""Tiny models of every kind with their rows, and what is left of their weights after a method: plain torch alone."""

from __future__ import annotations

import hashlib
import importlib
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    ResNetConfig,
    ResNetForImageClassification,
    T5Config,
    T5ForConditionalGeneration,
    ViltConfig,
    ViltForImagesAndTextClassification,
    ViTConfig,
    ViTForImageClassification,
    default_data_collator,
)

CLASSES, FORGET, ROWS, IGNORED = 4, 6, 18, -100
WRITERS = ("gpt2", "llama", "t5")
# `TaskTrainer`, the plain training of base models, today and after the restructuring.
TRAINING = ("mubench.trainers.engine.trainer", "mubench.hub_builders.training")
ARGUMENTS = ("mubench.trainers.engine.arguments", "mubench.hub_builders.arguments")


def found(name: str, places: tuple[str, ...], kinds: tuple[type, ...]) -> Any:
    """Return the class of this name: from the first of some modules that has it, else from what a class inherits."""
    for place in places:
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError:
            continue
        if hasattr(module, name):
            return getattr(module, name)
    return next(one for kind in kinds for one in kind.__mro__ if one.__name__ == name)


class Painter(torch.nn.Module):
    """Tells noise from a picture, with attention to the caption as `diffusers` calls it."""

    def __init__(self) -> None:
        super().__init__()
        self.text_encoder = torch.nn.Embedding(9, 4)
        self.conv = torch.nn.Conv2d(2, 4, 1)
        self.attn2 = torch.nn.ModuleDict({"to_q": torch.nn.Linear(4, 4), "to_k": torch.nn.Linear(4, 4)})
        self.out = torch.nn.Conv2d(4, 2, 1)

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, input_ids: torch.Tensor) -> SimpleNamespace:
        told = self.text_encoder(input_ids)
        places = self.conv(sample).flatten(2).transpose(1, 2) + 0.1 * timestep[:, None, None]
        weights = (self.attn2["to_q"](places) @ self.attn2["to_k"](told).transpose(1, 2)).softmax(-1)
        seen = (places + weights @ told).transpose(1, 2).unflatten(2, sample.shape[2:])
        return SimpleNamespace(logits=self.out(seen.tanh()))


class Plain(torch.nn.Module):
    """A model without a config that reads pictures: two convolutions and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.Conv2d(4, 4, 3))
        self.head = torch.nn.Linear(4, CLASSES)

    def forward(self, x: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.head(self.body(x).tanh().mean(dim=(2, 3))))


class Still(torch.nn.BatchNorm2d):
    """Stays in eval mode, so that rows of a batch do not see each other."""

    def train(self, mode: bool = True) -> Still:
        return super().train(False)


def tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of characters and a few words."""
    split = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()])
    letters = sorted({*"abcdefghijklmnopqrstuvwxyzINT'.▁"})
    pieces = ["<pad>", "<end>", "<unk>", *letters, "▁know", "▁do", "▁not", "▁that"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>", continuing_subword_prefix=""))
    made.pre_tokenizer, made.decoder = split, decoders.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="<end>", bos_token="<end>", unk_token="<unk>"
    )


VOCABULARY = len(tokenizer())


def build(name: str, dropout: float = 0.0) -> Any:
    """Return a tiny model; ``-coupled`` behind a name leaves BatchNorm as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        name, _, coupled = name.partition("-")
        model = BUILDERS[name](dropout)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d) and not coupled:
            module.__class__ = Still
    return model.train()


def _small(dropout: float) -> dict[str, Any]:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    drops = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return {**sizes, **drops, "num_labels": CLASSES}


def _resnet(_: float) -> Any:
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    config.num_labels = CLASSES
    return ResNetForImageClassification(config)


def _vilt(dropout: float) -> Any:
    places = {"max_position_embeddings": 8, "image_size": 8, "patch_size": 4, "modality_type_vocab_size": 3}
    return ViltForImagesAndTextClassification(ViltConfig(vocab_size=30, num_images=2, **places, **_small(dropout)))


ENDS = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1}


def _gpt2(dropout: float) -> Any:
    drops = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 24, "initializer_range": 0.2}
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, **sizes, **drops, **ENDS))


def _llama(_: float) -> Any:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    places = {"max_position_embeddings": 24, "initializer_range": 0.2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **sizes, **places, **ENDS))


def _t5(dropout: float) -> Any:
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "dropout_rate": dropout}
    return T5ForConditionalGeneration(T5Config(vocab_size=VOCABULARY, decoder_start_token_id=0, **sizes, **ENDS))


BUILDERS: dict[str, Any] = {
    "plain": lambda _: Plain(),
    "painter": lambda _: Painter(),
    "resnet": _resnet,
    "vit": lambda drop: ViTForImageClassification(ViTConfig(image_size=8, patch_size=4, **_small(drop))),
    "bert": lambda drop: BertForSequenceClassification(
        BertConfig(vocab_size=30, max_position_embeddings=8, **_small(drop))
    ),
    "vilt": _vilt,
    "gpt2": _gpt2,
    "llama": _llama,
    "t5": _t5,
}


def rows(name: str, *, whole_classes: bool = False) -> dict[str, list[dict[str, Any]]]:
    """Return both sides as model-ready rows; of whole classes the forget rows are one that no retain row has."""
    name = name.partition("-")[0]
    made = [_row(name, i) for i in range(ROWS)]
    if whole_classes:
        for i, row in enumerate(made):
            row["labels"] = 0 if i < FORGET else 1 + row["labels"] % (CLASSES - 1)
    return {"forget": made[:FORGET], "retain": made[FORGET:]}


def _row(name: str, i: int) -> dict[str, Any]:
    draw = torch.Generator().manual_seed(i)
    label = (i * 7 + i // 3) % CLASSES
    if name in WRITERS:
        return _text(name, i, draw)
    if name == "painter":
        caption = torch.randint(2, 9, (3,), generator=draw)
        sample, noise = torch.randn(2, 2, 3, 3, generator=draw)
        return {"sample": sample, "timestep": i % 5, "input_ids": caption, "labels": noise}
    if name == "plain":
        return {"x": torch.randn(3, 8, 8, generator=draw), "labels": label}
    words = {}
    if name in ("bert", "vilt"):
        mask = (torch.arange(6) < 3 + i % 4).long()
        words = {"input_ids": torch.randint(1, 30, (6,), generator=draw) * mask, "attention_mask": mask}
    if name == "bert":
        return {**words, "labels": label}
    shape = (2, 3, 8, 8) if name == "vilt" else (3, 8, 8)
    masks = {"pixel_mask": torch.ones(2, 8, 8, dtype=torch.long)} if name == "vilt" else {}
    return {**words, "pixel_values": torch.randn(shape, generator=draw), **masks, "labels": label}


def _text(name: str, i: int, draw: torch.Generator) -> dict[str, Any]:
    """Return a prompt and an answer, whose lengths differ from row to row."""
    prompt, answer = (torch.randint(3, VOCABULARY, (n,), generator=draw).tolist() for n in (3 + i % 2, 2 + i % 3))
    answer = [*answer, 1]
    if name == "t5":
        return {"input_ids": [*prompt, 1], "attention_mask": [1] * (len(prompt) + 1), "labels": answer}
    labels = [IGNORED] * len(prompt) + answer
    return {"input_ids": prompt + answer, "attention_mask": [1] * len(labels), "labels": labels}


def padded(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Collate texts of different lengths; a decoder is given the labels one place later."""
    pad = torch.nn.utils.rnn.pad_sequence
    batch = {
        key: pad([torch.as_tensor(row[key]) for row in items], True, IGNORED if key == "labels" else 0)
        for key in items[0]
    }
    labels = batch["labels"]
    if (labels[:, 0] != IGNORED).all():
        before = labels.masked_fill(labels == IGNORED, 0)[:, :-1]
        batch["decoder_input_ids"] = torch.cat([torch.zeros(len(labels), 1, dtype=torch.long), before], 1)
    return batch


def shaken(batch: Any, chances: torch.Tensor) -> dict[str, Any]:
    """Change the pictures of a batch by the numbers of its rows: what ``augment`` calls."""
    moved = [torch.roll(one, int(8 * float(chance.flatten()[0])), dims=-1)
             for one, chance in zip(batch["pixel_values"], chances, strict=True)]  # fmt: skip
    return {**batch, "pixel_values": torch.stack(moved)}


def settings(folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """Return training arguments for plain, unclipped gradient descent in steps of 6 rows."""
    plain = {"optim": "sgd", "learning_rate": 0.05, "lr_scheduler_type": "constant", "max_grad_norm": 0.0}
    quiet = {"report_to": "none", "save_strategy": "no", "use_cpu": True, "disable_tqdm": True, "log_level": "error"}
    size = {"per_device_train_batch_size": 6, "num_train_epochs": 2, "logging_strategy": "no", "seed": 3}
    return {"output_dir": str(folder), **plain, **quiet, **size, **changes}


def trainer_of(method: str) -> Any:
    """Return a method's trainer, by the name that its key gives it."""
    module = importlib.import_module(f"mubench.trainers.methods.{method}")
    return getattr(module, "".join(word.title() for word in method.split("_")) + "Trainer")


def trained(case: dict[str, Any], folder: Path) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Return a case's model as it was, and as it is after the case's method."""
    name, method = case["model"], case["method"]
    model = build(name, case.get("dropout", 0.0))
    sides = rows(name, whole_classes=case.get("whole_classes", False))
    extra: dict[str, Any] = {}
    if name in WRITERS or case.get("tokenizer"):
        extra["processing_class"] = tokenizer()
    extra["data_collator"] = padded if name in WRITERS else default_data_collator
    if case.get("validation"):
        extra["eval_dataset"] = {"validation": sides["retain"][:4]}
    if case["options"].get("augment"):
        extra["transform"] = shaken
    if case.get("teacher"):
        extra["teacher"] = perturbed(build(name))
    options = settings(folder, case["options"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method == "base":
            extra.pop("eval_dataset", None)
            plain = trainer_of("finetune")
            args = found("TaskArguments", ARGUMENTS, (plain.arguments,))(**options)
            kind, data = found("TaskTrainer", TRAINING, (plain,)), sides["forget"] + sides["retain"]
            trainer = kind(model=model, args=args, train_dataset=data, **extra)
        else:
            kind = trainer_of(method)
            trainer = kind(model, kind.arguments(**options), train_dataset=sides, **extra)
        trainer.train()
    return build(name, case.get("dropout", 0.0)), trainer.model


def perturbed(model: torch.nn.Module) -> torch.nn.Module:
    """Return a model with other weights, to distil from."""
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=draw))
    return model


def summary(model: torch.nn.Module) -> dict[str, list[float]]:
    """Return the norm, the mean and three fixed projections of every weight and buffer, to eight digits."""
    return {name: _five(name, value) for name, value in model.state_dict().items() if value.is_floating_point()}


def _five(name: str, value: torch.Tensor) -> list[float]:
    flat = value.detach().double().flatten().numpy()
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    directions = np.random.Generator(np.random.PCG64(seed)).standard_normal((3, flat.size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return [float(f"{x:.8g}") for x in (np.linalg.norm(flat), flat.mean(), *(directions @ flat))]


def apart(one: dict[str, list[float]], other: dict[str, list[float]]) -> float:
    """Return the largest difference of two summaries, beyond what relative rounding explains."""
    assert one.keys() == other.keys()
    return max(
        abs(a - b) / (1 + abs(b)) for name in one for a, b in zip(one[name], other[name], strict=True)
    )  # fmt: skip


# Cases


CASES: dict[str, dict[str, Any]] = {}


def case(method: str, model: str, label: str = "", *, options: dict[str, Any] | None = None, **more: Any) -> None:
    """Add a case."""
    name = f"{method} on {model}{' ' + label if label else ''}"
    assert name not in CASES
    CASES[name] = {"method": method, "model": model, "options": options or {}, **more}


ACCUMULATED = {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 2}
MORE = {"esd": {"tokenizer": True}}
TWO_STEPS, FAR = {"max_steps": 2}, {"learning_rate": 1.0}
ADAM = {"optim": "adamw_torch", "learning_rate": 0.01, "lr_scheduler_type": "linear", "adam_epsilon": 1e-3}
# Every method on one model that tells classes, where it takes one.
for method, model in (
    ("retrain", "vit"), ("retrain_keep50", "vit"), ("finetune", "vit"), ("neg_grad", "vit"),
    ("random_label", "resnet"), ("salun", "vit"), ("bad_teaching", "vit"), ("scrub", "vit"),
    ("neg_grad_plus", "bert"), ("cf_k", "vit"), ("eu_k", "vit"), ("noise_ft", "bert"), ("delete", "vit"),
    ("undial", "bert"), ("ce_u", "bert"), ("kl_min", "vit"), ("npo", "bert"), ("simnpo", "vit"), ("wga", "bert"),
    ("rmu", "bert"), ("multi_delete", "vilt"), ("task_vector", "vit"), ("undo", "vit"), ("fisher", "vit"),
    ("influence", "plain"), ("sfron", "vit"), ("msg", "resnet"), ("ct", "plain"), ("boundary_shrink", "vit"),
    ("boundary_expand", "vit"), ("esd", "painter"),
):  # fmt: skip
    case(
        method,
        model,
        options=FAR if method in ("rmu", "multi_delete", "bad_teaching") else None,
        **MORE.get(method, {}),
    )
case("l1_sparse", "vit", options={"max_steps": 1})  # the sign of a weight that was 0 is noise after a step
case("lotus", "vit", options={"stop_below": -2.0}, validation=True)
case("ssd", "vit", options={"alpha": 1.0})
case("amun", "vit", options={"steps": 5})
case("amun", "vit", "advonly", options={"steps": 5, "forget_rows": False})
case("retrain_at", "vit", options={"percent": 50})
case("quantile", "vit", options=FAR, validation=True)
case("unsir", "vit", options={"noise_steps": 3}, whole_classes=True)
# And on one that writes.
for method in (
    "retrain", "finetune", "neg_grad", "neg_grad_plus", "random_label", "salun", "scrub", "bad_teaching", "undial",
    "ce_u", "kl_min", "npo", "simnpo", "dpo", "jensun", "wga", "rmu", "task_vector", "cf_k", "fisher",
):  # fmt: skip
    case(method, "gpt2")
case("dpo", "t5")
case("npo", "llama")
case("undial", "t5", options=FAR)
for method in ("rmu", "jensun", "wga"):
    case(method, "llama" if method == "rmu" else "t5", options={"learning_rate": 0.3} if method != "rmu" else None)
for model in ("gpt2", "t5"):
    rate = {} if model == "gpt2" else {"learning_rate": 0.3}
    case("jensun", model, "refusal", options={"prefix": "refusal", **rate})
case("rmu", "gpt2", "all matrices", options={"weights": "all"})
case("dpo", "gpt2", "alt", options={"answers": "alt"})
case("satimp", "gpt2", options={"gamma": 1.0, "beta1": 1.0})
case("pdu", "gpt2", options={"alpha": 1.0})
case("altpo", "gpt2")
case("ssd", "gpt2", options={"alpha": 1.0})
# And on one that draws.
for method in ("finetune", "neg_grad", "neg_grad_plus", "random_label", "scrub", "salun"):
    case(method, "painter")
# How steps are cut, and how long they are.
case("scrub", "vit", "in halves", options=ACCUMULATED)
case("random_label", "bert", "in halves", options=ACCUMULATED)
case("npo", "gpt2", "in halves", options=ACCUMULATED)
case("neg_grad_plus", "vit", "in halves", options=ACCUMULATED)
case("bad_teaching", "bert", "in halves", options={**ACCUMULATED, **FAR})
case("rmu", "vit", "in halves", options={**ACCUMULATED, **FAR})
for method in ("finetune", "scrub", "neg_grad_plus", "salun", "undo"):
    case(method, "vit", "two steps", options=TWO_STEPS)
case("finetune", "vit", "adam, clipped", options={**ADAM, "max_grad_norm": 0.1})
case("scrub", "bert", "dropout", dropout=0.2, options={"num_train_epochs": 3})
for method in ("finetune", "neg_grad_plus", "kl_min"):
    case(method, "resnet-coupled", "of batches")
case("scrub", "vit", "teacher", teacher=True)
case("delete", "bert", "teacher", teacher=True)
# Options of methods that change what is computed.
case("random_label", "vit", "redrawn", options={"redraw": True, "num_train_epochs": 3})
case("scrub", "vit", "no max pass", options={"msteps": 0, "temperature": 4.0})
case("rmu", "bert", "another block", options={"layer": -1, "trained": 1, "alpha": 2.0, "c": 2.0, **FAR})
case("esd", "painter", "all weights", options={"trained": "all", "eta": 2.0}, tokenizer=True)
case("cf_k", "resnet")
case("eu_k", "gpt2")
case("boundary_shrink", "plain")
case("amun", "plain", options={"steps": 5})
# Addons.
for method, model in (("neg_grad_plus", "vit"), ("scrub", "bert")):
    case(method, model, "superloss", options={"curriculum": "superloss", "num_train_epochs": 3})
    # Sophia moves weights by signs, and those of a transformer's gradients are noise where they are 0.
    case(method, "plain", "sophia", options={"optim": "sophia", "learning_rate": 0.01})
    case(method, "plain", "dual_optim", options={"dual_optim": "adagrad", "dual_learning_rate": 0.01})
    case(method, model, "sam", options={"sam_rho": 0.05})
case("neg_grad_plus", "vit", "munba", options={"harmonise": "munba"})
case("neg_grad_plus", "plain", "dual_optim of sophia", options={"dual_optim": "sophia", "dual_learning_rate": 0.01})
case("npo", "gpt2", "munba, sam", options={"harmonise": "munba", "sam_rho": 0.05, **ACCUMULATED})
case("neg_grad", "vit", "superloss", options={"curriculum": "superloss"})
case("random_label", "vit", "sam", options={"sam_rho": 0.05})
# Adapters, and rows that are changed at random.
case("finetune", "vit", "lora", options={"lora_rank": 2, "learning_rate": 0.3})
case("npo", "gpt2", "lora", options={"lora_rank": 2, "learning_rate": 0.1})
case("neg_grad_plus", "vit", "augmented", options={"augment": True})
case("scrub", "vit", "augmented", options={"augment": True})
# Base models.
for model in ("resnet-coupled", "bert", "gpt2", "t5", "painter"):
    case("base", model)
case("base", "vit", "in halves", options={**ACCUMULATED, **ADAM})
case("base", "vit", "lora", options={"lora_rank": 2, "learning_rate": 0.1})
case("base", "resnet", "augmented", options={"augment": True})
