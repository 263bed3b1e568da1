"""The task table: one frozen row per task, the only place that knows a task's columns, labels and score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Tier = Literal["full", "partial", "mini"]
Kind = Literal["image_classification", "text_classification"]
Column = Literal["image", "string", "label"]
TIERS: tuple[Tier, ...] = get_args(Tier)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How base *and* retrained models of one (task, backbone) are trained; the two share it by construction.

    Attributes:
        learning_rate: Peak learning rate of the optimizer.
        epochs: Passes over the training rows.
        batch_size: Rows per optimizer step, over all devices.
        warmup: Share of the steps spent on a linear warm-up, in [0, 1).
        weight_decay: Decoupled weight decay.
        max_length: Tokens per text; ``None`` where there is no text.
        optim: A ``TrainingArguments.optim`` name.
        scheduler: A ``TrainingArguments.lr_scheduler_type`` name.
    """

    learning_rate: float
    epochs: int
    batch_size: int
    warmup: float = 0.0
    weight_decay: float = 0.0
    max_length: int | None = None
    optim: str = "adamw_torch"
    scheduler: str = "linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """An architecture to start from.

    Attributes:
        family: Name of the architecture family, the key of tuned method defaults.
        hub_id: Pretrained weights on the Hub; ``None`` builds the mini backbone of the modality from its config.
    """

    family: str
    hub_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the rows of a split family come from.

    Attributes:
        hub_id: Dataset id on the Hub.
        revision: Pinned commit of that repository; ``None`` means the default branch and is said so in the card.
        files: Names, in order of preference, under which ``--raw DIR`` may hold the original files.
        id_rule: How ``example_id`` is derived, in words.
    """

    hub_id: str
    revision: str | None
    files: tuple[str, ...]
    id_rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task of the suite.

    Attributes:
        key: Name used on the command line, in configs and in repository names.
        title: Name for people.
        kind: Names the modality that turns rows into model input.
        columns: Feature columns in order, by type; the label column is called ``label``.
        labels: Class names of the full and partial tiers.
        mini_labels: Class names of the mini tier where they differ.
        grouped: Whether rows carry a ``group``.
        primary_family: The deletion family results are ranked on.
        reported: Metrics shown beside ``score`` (accuracy for classification).
        source: Where train and test come from.
        ood_source: Where the out-of-distribution split comes from, if the task has one.
        licence: SPDX-like name, or ``"unknown"`` where the distributor states none.
        redistributable: Whether the rows may be pushed.
        gated: Whether the source asks for terms to be accepted.
        citation: BibTeX.
        counts: Rows per tier and split, as built.
        mini: How the mini rows come about, in words.
        recipes: Training recipe per backbone key; its keys are the task's backbones, the first is the default.
    """

    key: str
    title: str
    kind: Kind
    columns: Mapping[str, Column]
    labels: tuple[str, ...]
    mini_labels: tuple[str, ...] | None = None
    grouped: bool = False
    primary_family: str = "canonical"
    reported: tuple[str, ...] = ()
    source: Source
    ood_source: Source | None = None
    licence: str
    redistributable: bool
    gated: bool = False
    citation: str
    counts: Mapping[Tier, Mapping[str, int]]
    mini: str
    recipes: Mapping[str, Recipe] = field(default_factory=dict)

    def label_names(self, tier: Tier) -> tuple[str, ...]:
        """Return the class names of a tier."""
        return self.mini_labels if tier == "mini" and self.mini_labels else self.labels

    @property
    def chance(self) -> float:
        """Score of a uniform guess, in [0, 1]."""
        return 1 / len(self.labels)

    @property
    def default_backbone(self) -> str:
        """The backbone used where none is named."""
        return next(iter(self.recipes))


# fmt: off
BACKBONES: dict[str, Backbone] = {
    "resnet":          Backbone(family="mini-resnet"),
    "vit":             Backbone(family="mini-vit"),
    "bert":            Backbone(family="mini-bert"),
    "resnet-34":       Backbone(family="resnet", hub_id="microsoft/resnet-34"),
    "resnet-50":       Backbone(family="resnet", hub_id="microsoft/resnet-50"),
    "swin-tiny":       Backbone(family="swin", hub_id="microsoft/swin-tiny-patch4-window7-224"),
    "swin-base":       Backbone(family="swin", hub_id="microsoft/swin-base-patch4-window7-224"),
    "vit-base":        Backbone(family="vit", hub_id="google/vit-base-patch16-224-in21k"),
    "bert-base":       Backbone(family="bert", hub_id="google-bert/bert-base-uncased"),
    "bert-large":      Backbone(family="bert", hub_id="google-bert/bert-large-uncased"),
    "roberta-base":    Backbone(family="roberta", hub_id="FacebookAI/roberta-base"),
    "roberta-large":   Backbone(family="roberta", hub_id="FacebookAI/roberta-large"),
    "distilbert-base": Backbone(family="distilbert", hub_id="distilbert/distilbert-base-uncased"),
    "electra-base":    Backbone(family="electra", hub_id="google/electra-base-discriminator"),
}

_IMAGE_HUB = Recipe(learning_rate=5e-5, epochs=10, batch_size=128, warmup=0.1, weight_decay=1e-4)
_TEXT_HUB = Recipe(learning_rate=2e-5, epochs=3, batch_size=32, warmup=0.1, weight_decay=0.01, max_length=256)

TASKS: dict[str, Task] = {
    "cifar10": Task(
        key="cifar10", title="CIFAR-10", kind="image_classification",
        columns={"image": "image", "label": "label"},
        labels=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        mini_labels=tuple("0123456789"),
        source=Source(
            hub_id="uoft-cs/cifar10", revision=None, files=("cifar10.tar.xz", "cifar10"),
            id_rule="sha256 of split, label and picture (pixels of a lossless file, bytes of a lossy one)"),
        licence="unknown", redistributable=False,
        citation="@techreport{krizhevsky2009learning,\n"
                 "  title={Learning Multiple Layers of Features from Tiny Images},\n"
                 "  author={Krizhevsky, Alex},\n  institution={University of Toronto},\n  year={2009}\n}",
        counts={
            "full": {"train": 50_000, "validation": 2_000, "test": 8_000},
            "mini": {"train": 1_200, "validation": 200, "test": 397},
        },
        mini="scikit-learn's digits (real 8x8 scans, labels \"0\" to \"9\") under sensor noise, as 32x32 RGB",
        recipes={
            "resnet": Recipe(learning_rate=3e-3, epochs=12, batch_size=64, warmup=0.1, weight_decay=0.1),
            "vit": Recipe(learning_rate=3e-3, epochs=18, batch_size=64, warmup=0.1, weight_decay=0.5),
            "resnet-34": _IMAGE_HUB, "resnet-50": _IMAGE_HUB, "swin-tiny": _IMAGE_HUB, "swin-base": _IMAGE_HUB,
            "vit-base": _IMAGE_HUB,
        },
    ),
    "imdb": Task(
        key="imdb", title="IMDB", kind="text_classification",
        columns={"text": "string", "label": "label"},
        labels=("neg", "pos"),
        source=Source(
            hub_id="stanfordnlp/imdb", revision=None, files=("aclImdb.tar.xz", "aclImdb_v1.tar.gz", "aclImdb"),
            id_rule="sha256 of split, label and text, and a counter among equal rows"),
        ood_source=Source(
            hub_id="cornell-movie-review-data/rotten_tomatoes", revision=None,
            files=("rt-polaritydata.tar.xz", "rt-polaritydata.tar.gz", "rt-polaritydata"),
            id_rule="sha256 of split, label and text, and a counter among equal rows"),
        licence="unknown", redistributable=False,
        citation="@inproceedings{maas2011learning,\n  title={Learning Word Vectors for Sentiment Analysis},\n  "
                 "author={Maas, Andrew L. and Daly, Raymond E. and Pham, Peter T. and Huang, Dan and Ng, Andrew Y. "
                 "and Potts, Christopher},\n  booktitle={ACL},\n  year={2011}\n}",
        counts={
            "full": {"train": 25_000, "validation": 5_000, "test": 20_000, "ood": 10_662},
            "mini": {"train": 1_200, "validation": 200, "test": 400, "ood": 400},
        },
        mini="generated reviews: opinion words from two overlapping mixtures, and unique names of films and people",
        recipes={
            "bert": Recipe(learning_rate=1e-3, epochs=15, batch_size=64, warmup=0.1, max_length=48),
            "bert-base": _TEXT_HUB, "bert-large": _TEXT_HUB, "roberta-base": _TEXT_HUB, "roberta-large": _TEXT_HUB,
            "distilbert-base": _TEXT_HUB, "electra-base": _TEXT_HUB,
        },
    ),
}
# fmt: on


def get_task(key: str) -> Task:
    """Return a row of the table.

    Raises:
        ValueError: If there is no such task; the message names those there are.
    """
    if key not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}, got {key!r}")
    return TASKS[key]


def get_recipe(task: Task, backbone: str) -> Recipe:
    """Return the shared recipe of a task and backbone.

    Raises:
        ValueError: If the task has no recipe for the backbone.
    """
    if backbone not in task.recipes:
        raise ValueError(f"backbone of {task.key} must be one of {', '.join(task.recipes)}, got {backbone!r}")
    return task.recipes[backbone]
