"""What a row of the tables is: tasks, where their rows come from, backbones and training recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Tier = Literal["full", "partial", "mini"]
Kind = Literal[
    "image_classification",
    "text_classification",
    "image_pair_classification",
    "audio_classification",
    "video_classification",
    "summarization",
    "text_generation",
    "text_to_image",
]
Column = Literal["image", "audio", "video", "string", "strings", "label"]
TIERS: tuple[Tier, ...] = get_args(Tier)
MEDIA: tuple[Column, ...] = ("image", "audio", "video")


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
        revision: Pinned commit of that repository; ``None`` means the default branch, where no commit is known.
        millions: How many million parameters its authors say it has; ``None`` for mini backbones.
        package: Python package that ships these weights, some of them quantized; they are taken from there.
    """

    family: str
    hub_id: str | None = None
    revision: str | None = None
    millions: float | None = None
    package: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the rows of a split family come from.

    Attributes:
        hub_id: Dataset id on the Hub, or name of the repository where another host has the rows and the Hub has not;
            ``None`` if neither has.
        host: Where that is.
        revision: Pinned commit of that repository; ``None`` means the default branch and is said so in the card.
        files: Names, in order of preference, under which ``--raw DIR`` may hold the original files.
        id_rule: How ``example_id`` is derived, in words.
    """

    hub_id: str | None
    host: Literal["hub", "github"] = "hub"
    revision: str | None
    files: tuple[str, ...]
    id_rule: str

    @property
    def url(self) -> str:
        """Page of the repository."""
        site = {"hub": "https://huggingface.co/datasets", "github": "https://github.com"}[self.host]
        return f"{site}/{self.hub_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task of the suite.

    Attributes:
        key: Name used on the command line, in configs and in repository names.
        title: Name for people.
        kind: Names the modality that turns rows into model input.
        columns: Feature columns in order, by type; the label column is called ``label``.
        labels: Class names of the full and partial tiers; none where rows have no label.
        mini_labels: Class names of the mini tier where they differ.
        group: What a ``group`` of rows is, such as ``"speaker"``; ``None`` where rows have none.
        primary_family: The deletion family that results are to be about: ``"group"`` where kin of a deleted row would
            stay.
        mini_family: That of the mini tier where it differs.
        reported: Metrics shown beside ``score`` (accuracy for classification).
        source: Where train and test come from.
        ood_source: Where the out-of-distribution split comes from, if the task has one.
        licence: SPDX-like name, or ``"unknown"`` where the distributor states none.
        redistributable: Whether the rows of the full and partial tiers may be pushed.
        mini_licence: Licence of the mini rows, which may always be pushed.
        gated: Whether the source asks for terms to be accepted.
        citation: BibTeX.
        counts: Rows per tier and split, as built; of the full tier those of its best-known release. Where nothing was
            ever released there is no full tier.
        releases: Rows per split of other known releases, by name; a full build has those of one of them.
        note: What a reader has to know about the rows of the full and partial tiers, in a sentence or two.
        mini: How the mini rows come about, in words.
        recipes: Training recipe per backbone key; its keys are the task's backbones, the first is the default.
        classifiers: Where models draw, training recipe per image backbone that looks at their drawings: a mini
            backbone at those of the mini tier, the first of the others at those of the other tiers.
    """

    key: str
    title: str
    kind: Kind
    columns: Mapping[str, Column]
    labels: tuple[str, ...] = ()
    mini_labels: tuple[str, ...] | None = None
    group: str | None = None
    primary_family: str = "canonical"
    mini_family: str | None = None
    reported: tuple[str, ...] = ()
    source: Source
    ood_source: Source | None = None
    licence: str
    redistributable: bool
    gated: bool = False
    mini_licence: str = "apache-2.0"
    citation: str
    counts: Mapping[Tier, Mapping[str, int]]
    releases: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    note: str = ""
    mini: str
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    classifiers: Mapping[str, Recipe] = field(default_factory=dict)

    def label_names(self, tier: str) -> tuple[str, ...]:
        """Return the class names of a tier."""
        return self.mini_labels if tier == "mini" and self.mini_labels else self.labels

    def family_of(self, tier: str) -> str:
        """Return the deletion family that results on a tier are to be about."""
        return self.mini_family if tier == "mini" and self.mini_family else self.primary_family

    def licence_of(self, tier: str) -> str:
        """Return the licence of a tier's rows."""
        return self.mini_licence if tier == "mini" else self.licence

    @property
    def known_releases(self) -> list[Mapping[str, int]]:
        """Rows per split of every release, one of which a full build has; none where nothing was ever released."""
        return [*([self.counts["full"]] if "full" in self.counts else []), *self.releases.values()]

    @property
    def media(self) -> tuple[str, ...]:
        """Columns that hold a file's bytes."""
        return tuple(name for name, kind in self.columns.items() if kind in MEDIA)

    @property
    def default_backbone(self) -> str:
        """The backbone used where none is named."""
        return next(iter(self.recipes))
