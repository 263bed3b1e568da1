"""Types of the tables: tasks, their sources, backbones and training recipes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from mubench.hub_builders.utils.cli import did_you_mean

# "custom": the rows of a custom task, see `definition`.
Tier = Literal["full", "partial", "mini", "custom"]
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
TABLE_TIERS: tuple[Tier, ...] = ("full", "partial", "mini")  # of tasks of the table
MEDIA: tuple[Column, ...] = ("image", "audio", "video")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Training recipe of one (task, backbone), shared by base *and* retrained models.

    Attributes:
        learning_rate: Peak learning rate of the optimizer.
        epochs: Passes over the training rows.
        batch_size: Rows per optimizer step, over all devices.
        warmup: Share of the steps with linear warm-up, in [0, 1).
        weight_decay: Decoupled weight decay.
        max_length: Maximum tokens per text; ``None`` without text.
        optim: A ``TrainingArguments.optim`` name.
        scheduler: A ``TrainingArguments.lr_scheduler_type`` name.
        precision: ``"bf16"`` trains by autocast on fp32 weights, base and retrained models and methods alike; outputs
            are predicted in fp32 in either case.
        momentum: Nesterov momentum of SGD.
        augment: Whether base and retrained models are trained on rows that the modality changes at random; methods
            read them as they are unless ``--augment`` is given.
        template: Of causal language models, ``"chat"`` for prompts and answers as turns in the tokenizer's chat
            template, without examples of other turns; ``"none"`` for the prompt, a space and the answer.
        system_prompt: Of a chat template, its system turn; ``None`` for what the template itself begins with.
    """

    learning_rate: float
    epochs: int
    batch_size: int
    warmup: float = 0.0
    weight_decay: float = 0.0
    max_length: int | None = None
    optim: str = "adamw_torch"
    scheduler: str = "linear"
    precision: Literal["fp32", "bf16"] = "fp32"
    momentum: float = 0.0
    augment: bool = False
    template: Literal["none", "chat"] = "none"
    system_prompt: str | None = None

    def record(self) -> dict[str, Any]:
        """Return what a run records of its recipe; what older runs lack is left out where it has its default."""
        later = {"precision": "fp32", "momentum": 0.0, "augment": False, "template": "none", "system_prompt": None}
        return {name: value for name, value in asdict(self).items() if (name, value) not in later.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """An architecture or pretrained model that base models start from.

    Attributes:
        family: Architecture family, the key of tuned method defaults.
        hub_id: Pretrained weights on the Hub; ``None`` builds the backbone from the modality's config.
        revision: Pinned commit of that repository; ``None`` is the default branch.
        millions: Parameters in millions, as its authors state where it is published; ``None`` for mini backbones.
        package: Python package that ships these weights, perhaps quantized, and replaces the Hub as their source.
        files: The files that are read of the package, and the SHA-256 of each.
    """

    family: str
    hub_id: str | None = None
    revision: str | None = None
    millions: float | None = None
    package: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_mini(self) -> bool:
        """Whether it is made for mini tasks; others without published weights are made for real rows."""
        return self.family.startswith("mini-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Source of rows.

    Attributes:
        hub_id: Dataset id on the Hub, or name of the repository on another host if the Hub lacks the rows; ``None`` if
            neither has them.
        host: Host of that repository.
        revision: Pinned commit of that repository; ``None`` is the default branch, which the card states.
        files: Names of the original files in ``--raw DIR``, in order of preference.
        id_rule: Definition of ``example_id``, for cards.
    """

    hub_id: str | None = None
    host: Literal["hub", "github"] = "hub"
    revision: str | None = None
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
        title: Display name.
        kind: Kind of task, the key of the modality.
        columns: Feature columns in order, by type; the label column is called ``label``.
        labels: Class names of the full and partial tiers; empty if rows have no label.
        label_words: First word of each class where class names are ids.
        mini_labels: Class names of the mini tier where they differ.
        group: Meaning of a ``group`` of rows, such as ``"speaker"``; ``None`` if rows have no groups.
        primary_family: The deletion family to report: ``"group"`` if single deletions would leave related rows.
        mini_family: That of the mini tier where it differs.
        reported: Metrics shown beside ``score`` (accuracy for classification).
        source: Source of the training and test rows.
        ood_source: Source of the out-of-distribution split, if the task has one.
        licence: SPDX-like name, or ``"unknown"`` if the distributor states none.
        redistributable: Whether the rows of the full and partial tiers may be pushed.
        mini_licence: Licence of the mini rows, which may always be pushed.
        gated: Whether the source requires that terms are accepted.
        citation: BibTeX.
        counts: Rows per tier and split, as built; for the full tier those of its main release. A task that was never
            released has no full tier.
        releases: Rows per split of other known releases, by name; a full build must match one of them.
        note: Remarks on the rows of the full and partial tiers, for cards.
        mini: Description of the mini rows, for cards.
        recipes: Training recipe by backbone; the first backbone is the default.
        classifiers: For text-to-image tasks, training recipe by backbone of the classifier of generated images: a mini
            backbone for the mini tier and custom tasks, the first of the others for the other tiers.
    """

    key: str
    title: str
    kind: Kind
    columns: Mapping[str, Column]
    labels: tuple[str, ...] = ()
    label_words: Mapping[str, str] = field(default_factory=dict)
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
        """Return the deletion family to report on a tier."""
        return self.mini_family if tier == "mini" and self.mini_family else self.primary_family

    def licence_of(self, tier: str) -> str:
        """Return the licence of a tier's rows."""
        return self.mini_licence if tier == "mini" else self.licence

    @property
    def known_releases(self) -> list[Mapping[str, int]]:
        """Rows per split of every release, one of which a full build must match."""
        return [*([self.counts["full"]] if "full" in self.counts else []), *self.releases.values()]

    @property
    def media(self) -> tuple[str, ...]:
        """Columns of media files."""
        return tuple(name for name, kind in self.columns.items() if kind in MEDIA)

    @property
    def prefix_free(self) -> bool:
        """Whether rows are texts without prompts."""
        return self.kind == "text_generation" and len(self.columns) == 1

    @property
    def default_backbone(self) -> str:
        """The backbone used by default."""
        return next(iter(self.recipes))


def get_recipe(task: Task, backbone: str) -> Recipe:
    """Return the recipe of a task and backbone.

    Raises:
        ValueError: If the task has no recipe for the backbone.
    """
    if backbone not in task.recipes:
        closest = did_you_mean(backbone, task.recipes)
        raise ValueError(f"backbone of {task.key} must be one of {', '.join(task.recipes)}, got {backbone!r}{closest}")
    return task.recipes[backbone]
