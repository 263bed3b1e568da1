"""Default arguments of every method, per kind of task and backbone family.

Mini backbones: first guesses, and over them what tuning found (``tuned.py``, which says how). The guesses of `scrub`
and `finetune` had come from 11 other settings tried on the ResNet and 5 on the ViT; those of `l1_sparse`, `lotus`,
`neg_grad_plus`, `noise_ft`, `npo`, `simnpo`, `wga`, `rmu`, `task_vector` and `undo` from some 25, with model seeds 20
and 21; those of `ssd`, `fisher`, `influence`, `sfron`, `msg`, `ct`, `amun` and the two boundary methods from 52, with
seed 20, about half of them on deletion seed 0 against retrained models of seeds 20 and 21. Those of models that read
words (``_MINI_READER``) follow the size of the steps that such models are trained with, those of methods that go on
training were raised after eight trials each on mini NLVR2, those of `neg_grad` and `random_label` lowered after they
had left one class on the published rows of mini IMDB and NLVR2. By S with validation rows in place of test rows, on
deletion seed 1, were chosen: of readers `noise_ft` and `undo`, from 29 settings; of other language models `finetune`
and `undo`, after 35 of these and other methods (one of `scrub` was dropped, as it was worse on the published rows
and on seed 2); of summaries all, from 28; of drawings `scrub`, from 39 (the epochs
of `eu_k` there were raised after it had lost retain rows on the published ones); of videos `finetune` and `undo`, from
6.
Published backbones: learning rates, epochs and batches of MU-Bench's public code for CIFAR-10, IMDB, NLVR2 and TOFU,
without its weight decay, and for summaries the general rates of its first release; not tried here. Ranks of methods
under these defaults say little; rows made with them say ``default``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mubench.hub_builders.tasks import Kind
from mubench.trainers.runs.method_table import method_table
from mubench.trainers.runs.tuned import TUNED

Arguments = Mapping[str, Mapping[str, Any]]


# A method without a rate of its own takes the settings of the one it resembles.
LIKE: dict[str, str] = {
    "l1_sparse": "finetune", "cf_k": "finetune", "noise_ft": "finetune", "neg_grad_plus": "finetune",
    "ce_u": "neg_grad", "kl_min": "neg_grad", "delete": "neg_grad", "undial": "neg_grad", "lotus": "random_label",
    "npo": "neg_grad", "simnpo": "neg_grad", "wga": "neg_grad", "rmu": "neg_grad", "task_vector": "neg_grad",
    "dpo": "neg_grad", "multi_delete": "neg_grad", "esd": "neg_grad", "undo": "finetune",
    "jensun": "neg_grad",
    "msg": "finetune", "ct": "finetune", "unsir": "finetune", "amun": "random_label", "boundary_shrink": "neg_grad",
    "boundary_expand": "neg_grad",
}  # fmt: skip


def _each(epochs: int, batch: int, rates: Mapping[str, float], **special: Mapping[str, Any]) -> Arguments:
    shared = {"num_train_epochs": epochs, "per_device_train_batch_size": batch}
    own = {method: {**shared, "learning_rate": rate, **special.get(method, {})} for method, rate in rates.items()}
    alike = {method: {**own[other], **special.get(method, {})} for method, other in LIKE.items() if other in own}
    edits = {method: given for method, given in special.items() if method not in alike}
    return {**edits, **alike, **own}


# fmt: off
_MINI = _each(
    4, 64,
    {"finetune": 3e-3, "neg_grad": 5e-4, "random_label": 1e-3, "salun": 1e-3, "bad_teaching": 1e-3, "scrub": 2e-3,
     "eu_k": 3e-3, "lotus": 3e-3, "sfron": 5e-2},
    neg_grad={"per_device_train_batch_size": 16}, scrub={"alpha": 0.1}, l1_sparse={"gamma": 3e-3},
    noise_ft={"sigma": 0.08}, neg_grad_plus={"alpha": 0.97}, lotus={"alpha": 4.0}, unsir={"num_train_epochs": 1},
    npo={"num_train_epochs": 8, "beta": 1.0}, wga={"num_train_epochs": 8},
    simnpo={"num_train_epochs": 8, "learning_rate": 1e-3, "gamma": 1.0},
    rmu={"num_train_epochs": 8, "learning_rate": 2e-3, "alpha": 10.0, "layer": -1},
    task_vector={"alpha": 2.0}, undo={"first_rate": 1e-3},
    ssd={"alpha": 2.0}, fisher={"alpha": 6e-7}, influence={"alpha": 10.0}, sfron={"alpha": 50.0},
    msg={"share": 0.5}, ct={"num_train_epochs": 6}, amun={"learning_rate": 3e-3, "steps": 10},
    boundary_shrink={"learning_rate": 2e-4}, boundary_expand={"learning_rate": 2e-4},
)
# Of videos; what resembles `finetune` stays at the rate that its own trials started from.
_MINI_VIDEO: Arguments = {
    **_MINI,
    "finetune": {**_MINI["finetune"], "learning_rate": 6e-3},
    "undo": {**_MINI["undo"], "learning_rate": 6e-3, "alpha": 0.4, "first_rate": 1e-4},
}
# Models that read words are trained with small steps, and unlearn with such.
_MINI_READER = _each(
    4, 32,
    {"finetune": 5e-4, "neg_grad": 2e-5, "random_label": 1e-4, "salun": 3e-4, "bad_teaching": 3e-4, "scrub": 5e-4,
     "eu_k": 5e-4, "lotus": 5e-4, "sfron": 5e-3},
    neg_grad={"per_device_train_batch_size": 16}, scrub={"alpha": 0.1}, l1_sparse={"gamma": 3e-3},
    noise_ft={"learning_rate": 2e-3, "sigma": 0.15}, neg_grad_plus={"alpha": 0.97}, lotus={"alpha": 4.0},
    unsir={"num_train_epochs": 1},
    npo={"learning_rate": 5e-5, "num_train_epochs": 8, "beta": 1.0},
    wga={"learning_rate": 5e-5, "num_train_epochs": 8},
    simnpo={"learning_rate": 5e-5, "num_train_epochs": 8, "gamma": 1.0}, kl_min={"learning_rate": 5e-5},
    rmu={"learning_rate": 5e-5, "num_train_epochs": 8, "alpha": 10.0, "layer": -1},
    task_vector={"learning_rate": 5e-5, "alpha": 2.0}, undo={"first_rate": 1e-4, "alpha": 0.55},
    ssd={"alpha": 2.0}, fisher={"alpha": 6e-7}, influence={"alpha": 1.0, "samples": 500},
    sfron={"alpha": 50.0},
    msg={"share": 0.5}, ct={"num_train_epochs": 6}, amun={"learning_rate": 5e-4, "steps": 10},
    boundary_shrink={"learning_rate": 1e-5}, boundary_expand={"learning_rate": 2e-5},
)
_RESNET = _each(
    20, 128,
    {"finetune": 1e-5, "neg_grad": 5e-5, "random_label": 1e-3, "salun": 1e-3, "bad_teaching": 8e-4, "scrub": 1e-5,
     "eu_k": 1e-4, "sfron": 1e-2},
)
_TRANSFORMER = _each(
    20, 128,
    {"finetune": 1e-5, "neg_grad": 5e-5, "random_label": 5e-5, "salun": 1e-4, "bad_teaching": 5e-4, "scrub": 1e-5,
     "eu_k": 1e-4, "sfron": 1e-2},
)
_TEXT = _each(
    6, 32,
    {"finetune": 5e-5, "neg_grad": 5e-6, "random_label": 5e-5, "salun": 5e-5, "bad_teaching": 1e-4, "scrub": 5e-5,
     "eu_k": 5e-4, "sfron": 1e-2},
    neg_grad={"num_train_epochs": 12}, bad_teaching={"num_train_epochs": 10},
)
# What resembles `finetune` stays at the rate that its own trials started from.
_MINI_LM = _each(
    3, 48,
    {"finetune": 2.5e-2, "neg_grad": 3e-4, "random_label": 1e-2, "salun": 1e-2, "bad_teaching": 1e-3, "scrub": 1e-3,
     "eu_k": 2e-3, "sfron": 3e-2},
    neg_grad={"per_device_train_batch_size": 16}, scrub={"alpha": 0.1},
    undo={"learning_rate": 1.2e-2, "alpha": 0.4, "first_rate": 3e-4},
    neg_grad_plus={"learning_rate": 2e-3}, cf_k={"learning_rate": 2e-3}, l1_sparse={"learning_rate": 2e-3},
    noise_ft={"learning_rate": 2e-3},
)
# Summaries are learned with steps nearly three times those of the other mini language models.
_MINI_SUMMARY = _each(
    4, 48,
    {"finetune": 2.1e-2, "neg_grad": 2e-3, "random_label": 1.6e-2, "salun": 1.6e-2, "bad_teaching": 4e-3,
     "scrub": 8e-3, "eu_k": 1.6e-2, "sfron": 5e-2},
    finetune={"num_train_epochs": 8}, neg_grad={"per_device_train_batch_size": 16}, scrub={"alpha": 0.02},
    l1_sparse={"learning_rate": 1.6e-2, "num_train_epochs": 4}, npo={"num_train_epochs": 8},
    noise_ft={"learning_rate": 1.6e-2, "num_train_epochs": 4, "sigma": 0.2},
    neg_grad_plus={"learning_rate": 3e-3, "num_train_epochs": 4, "alpha": 0.9}, task_vector={"alpha": 2.0},
    wga={"learning_rate": 8e-3, "num_train_epochs": 8},
    kl_min={"learning_rate": 6e-3, "num_train_epochs": 8, "alpha": 10.0},
    undo={"learning_rate": 1.6e-2, "num_train_epochs": 4, "first_rate": 1e-3},
)
_LM = _each(
    5, 16,
    {"finetune": 1e-5, "neg_grad": 1e-5, "random_label": 1e-5, "salun": 1e-5, "bad_teaching": 1e-5, "scrub": 1e-5,
     "eu_k": 1e-4, "sfron": 1e-3},
)
# EpochEvaluationCallback, batch and rates of MU-Bench's public code.
_AUDIO = _each(
    5, 32,
    {"finetune": 5e-5, "neg_grad": 1e-5, "random_label": 5e-5, "salun": 5e-5, "bad_teaching": 5e-5, "scrub": 5e-5,
     "eu_k": 5e-4, "sfron": 1e-2},
)
_VIDEO = _each(
    3, 32,
    {"finetune": 5e-5, "neg_grad": 1e-5, "random_label": 5e-5, "salun": 5e-5, "bad_teaching": 5e-5, "scrub": 5e-5,
     "eu_k": 5e-4, "sfron": 1e-2},
)
_VILT = _each(
    6, 32,
    {"finetune": 1e-5, "neg_grad": 1e-5, "random_label": 1e-5, "salun": 1e-5, "bad_teaching": 1e-5, "scrub": 1e-5,
     "eu_k": 1e-4, "sfron": 1e-2},
)
_SUMMARY = _each(
    3, 32,
    {"finetune": 5e-5, "neg_grad": 1e-5, "random_label": 5e-5, "salun": 5e-5, "bad_teaching": 5e-5, "scrub": 5e-5,
     "eu_k": 5e-4, "sfron": 1e-3},
)
_DRAWING = _each(
    5, 8,
    {"finetune": 1e-5, "neg_grad": 1e-5, "random_label": 1e-5, "salun": 1e-5, "bad_teaching": 1e-5, "scrub": 1e-5,
     "eu_k": 1e-4, "sfron": 1e-3},
)
_MINI_DRAWING = _each(
    4, 64,
    {"finetune": 2e-3, "neg_grad": 2e-4, "random_label": 2e-3, "salun": 2e-3, "bad_teaching": 2e-3, "scrub": 6e-3,
     "eu_k": 4e-3, "sfron": 3e-2},
    neg_grad={"per_device_train_batch_size": 16}, scrub={"num_train_epochs": 12}, eu_k={"num_train_epochs": 24},
)
_TABLES: dict[tuple[Kind, str], Arguments] = {
    ("image_classification", "mini-resnet"): _MINI,
    ("image_classification", "mini-vit"): _MINI,
    ("image_classification", "mini-convnext"): _MINI,
    ("image_classification", "mini-swin"): _MINI,
    ("image_classification", "mini-mobilenet"): _MINI,
    ("image_classification", "resnet"): _RESNET,
    ("image_classification", "mobilenet"): _RESNET,
    ("image_classification", "convnext"): _TRANSFORMER,
    ("image_classification", "swin"): _TRANSFORMER,
    ("image_classification", "vit"): _TRANSFORMER,
    ("text_classification", "mini-bert"): _MINI_READER,
    ("text_classification", "mini-roberta"): _MINI_READER,
    ("text_classification", "mini-deberta"): _MINI_READER,
    ("text_classification", "mini-electra"): _MINI_READER,
    ("text_classification", "mini-distilbert"): _MINI_READER,
    ("text_classification", "mini-albert"): _MINI_READER,
    ("text_classification", "bert"): _TEXT,
    ("text_classification", "roberta"): _TEXT,
    ("text_classification", "distilbert"): _TEXT,
    ("text_classification", "electra"): _TEXT,
    ("text_classification", "deberta"): _TEXT,
    ("text_classification", "albert"): _TEXT,
    ("text_generation", "mini-llama"): _MINI_LM,
    ("text_generation", "mini-gpt2"): _MINI_LM,
    ("text_generation", "mini-phi"): _MINI_LM,
    ("text_generation", "phi"): _LM,
    ("text_generation", "llama"): _LM,
    ("audio_classification", "mini-wav2vec2"): _MINI,
    ("audio_classification", "mini-hubert"): _MINI,
    ("audio_classification", "mini-whisper"): _MINI,
    ("audio_classification", "wav2vec2"): _AUDIO,
    ("audio_classification", "hubert"): _AUDIO,
    ("audio_classification", "whisper"): _AUDIO,
    ("video_classification", "mini-videomae"): _MINI_VIDEO,
    ("video_classification", "mini-timesformer"): _MINI_VIDEO,
    ("video_classification", "videomae"): _VIDEO,
    ("image_pair_classification", "mini-vilt"): _MINI_READER,
    ("image_pair_classification", "vilt"): _VILT,
    ("summarization", "mini-t5"): _MINI_SUMMARY,
    ("summarization", "mini-bart"): _MINI_SUMMARY,
    ("summarization", "t5"): _SUMMARY,
    ("text_to_image", "mini-unet"): _MINI_DRAWING,
    ("text_to_image", "stable-diffusion"): _DRAWING,
}
# fmt: on
# A table may be shared by kinds of task of which a method is not made for all.
DEFAULTS: dict[tuple[Kind, str], Arguments] = {
    key: {
        method: {**table.get(method, {}), **(TUNED[key][method].arguments if method in TUNED.get(key, {}) else {})}
        for method in (*table, *(found for found in TUNED.get(key, {}) if found not in table))
        if key[0] in method_table()[method].kinds
    }
    for key, table in _TABLES.items()
}


def default_arguments(kind: Kind, family: str, method: str) -> Mapping[str, Any]:
    """Return a method's default arguments, empty where the dataclass defaults hold."""
    return DEFAULTS.get((kind, family), {}).get(method, {})
