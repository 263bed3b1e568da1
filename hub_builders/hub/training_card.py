"""Cards of models that a trainer pushes, which need not be of a task of the suite: they state what is known."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

from mubench.hub_builders.hub.model_folder import RUN_FILE, Run, read_run
from mubench.hub_builders.tasks.definition import resolve_task
from mubench.hub_builders.utils.tables import code_span, escape_markdown, markdown_table

_LOAD = 'from transformers import {architecture}\n\nmodel = {architecture}.from_pretrained("{repository}")\n'
_LOAD_WEIGHTS = (
    "from huggingface_hub import hf_hub_download\nfrom safetensors.torch import load_file\n\n"
    'weights = load_file(hf_hub_download("{repository}", "model.safetensors"))  # of a {architecture}\n'
)
_VERSIONED = ("torch", "transformers", "datasets", "accelerate", "numpy", "mubench")
_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def listed(value: str | Sequence[str] | None) -> list[str]:
    """Return a text, or several, or none, as a list."""
    return [] if value is None else [value] if isinstance(value, str) else [*value]


@dataclass(frozen=True)
class UsedRows:
    """Rows that a model was trained on or has unlearned.

    Attributes:
        split: What they were for.
        count: Their number.
        source: Dataset, config and split that they are from, in markdown; empty where that is unknown.
    """

    split: str
    count: int
    source: str = ""

    @classmethod
    def of(cls, split: str, rows: Any, ids: Sequence[str] = (), stated: str = "") -> UsedRows:
        """Return what is known of rows.

        Args:
            split: What they were for.
            rows: The rows; those that `datasets` has loaded carry the name of their dataset, config and split.
            ids: Hub ids of datasets; such rows carry that id without its namespace.
            stated: Where other rows are from.
        """
        info = getattr(rows, "info", None)
        if info is None or not getattr(info, "dataset_name", None):
            return cls(split, len(rows), stated)
        name = next((one for one in ids if one.rpartition("/")[2] == info.dataset_name), info.dataset_name)
        known = [
            f"{key} {code_span(str(value))}" for key, value in (("config", info.config_name), ("split", rows.split))
        ]
        return cls(split, len(rows), ", ".join([code_span(name), *known]))


@dataclass(frozen=True)
class Start:
    """The model that training started from.

    Attributes:
        hub_id: Its Hub id; ``None`` where that is unknown.
        run: Its record, where it is a model folder of the suite.
    """

    hub_id: str | None = None
    run: Run | None = None

    @classmethod
    def of(cls, config: Any, hub_id: str | None = None) -> Start:
        """Return what a config of transformers and its user state; as there, a name that is no path is a Hub id."""
        name = getattr(config, "name_or_path", None) or ""
        if hub_id is None and _HUB_ID.fullmatch(name) and not Path(name).exists():
            hub_id = name
        return cls(hub_id, read_run(Path(name)) if name and (Path(name) / RUN_FILE).is_file() else None)

    def describe(self, architecture: str) -> str:
        """Return the model in words."""
        if self.run:
            title = escape_markdown(resolve_task(self.run.task, self.run.definition).title)
            what = f"the model of `{self.run.method}`" if self.run.method else "the base model"
            facts = f"tier {self.run.tier}, `{self.run.backbone}`, seed {self.run.base_seed}"
            return f"{what} of MU-Bench for {title} ({facts})"
        return f"`{self.hub_id}`" if self.hub_id else f"a `{architecture}` of unknown training"


@dataclass(frozen=True, kw_only=True)
class TrainingCard:
    """What is known of a model that a trainer pushes.

    Attributes:
        name: Title of the card.
        repository: Repository of the model.
        model: Its class.
        start: The model that training started from.
        method: Unlearning method; ``None`` for plain training.
        is_custom: Whether it is a custom method.
        starts_fresh: Whether the method trains from scratch.
        paper: Paper of the method, in markdown.
        addons: Papers of its addons, in markdown.
        rows: Rows by what they were for.
        scores: Title, value and value of the retrained models of each metric; empty for a model that was not judged.
        remarks: Interval of S, and why a model is not ranked.
        settings: Arguments of the run.
        metadata: Other fields of the card's YAML.
    """

    name: str
    repository: str
    model: type
    start: Start
    method: str | None = None
    is_custom: bool = False
    starts_fresh: bool = False
    paper: str | None = None
    addons: Sequence[str] = ()
    rows: Sequence[UsedRows] = ()
    scores: Sequence[tuple[str, str, str]] = ()
    remarks: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_transformers(self) -> bool:
        """Whether transformers has the model's class."""
        return self.model.__module__.startswith("transformers.")

    def markdown(self) -> str:
        """Return the card, with its YAML."""
        parts = [f"---\n{self._yaml()}\n---", f"# {escape_markdown(self.name)}", self._summary()]
        parts += [f"Method: {self.paper}"] if self.paper else []
        parts += [f"With: {one}" for one in self.addons]
        parts += ["## How to load it", f"```python\n{self._usage()}```", "## Rows", self._rows_table()]
        parts += ["## Scores", *self._scores(), "## Recipe", self._recipe()]
        return "\n\n".join(parts) + "\n"

    def _yaml(self) -> str:
        given = {key: value for key, value in self.metadata.items() if value}
        tags = given.pop("tags", [])
        ours = ["machine-unlearning", "mu-bench", self.method] if self.method else ["mu-bench"]
        known = {
            "base_model": self.start.hub_id,
            "library_name": "transformers" if self.is_transformers else None,
            "tags": [*dict.fromkeys([*ours, *tags])],
        }
        return ModelCardData(**{**known, **given}).to_yaml()

    def _summary(self) -> str:
        counts = {one.split: one.count for one in self.rows}
        architecture = self.model.__name__
        if self.method is None:
            known = self.start.hub_id or self.start.run
            start = f", starting from {self.start.describe(architecture)}" if known else ""
            rows = f"{counts['train']:,}" if "train" in counts else "unknown"
            return f"A `{architecture}` trained on {rows} rows{start}."
        custom = f" `{self.method}` is a custom method, no part of MU-Bench." if self.is_custom else ""
        if self.starts_fresh:
            what = f"A `{architecture}` trained from scratch without {counts['forget']:,} deleted rows"
        else:
            start = self.start.describe(architecture)
            what = f"{start[0].upper()}{start[1:]} after unlearning {counts['forget']:,} rows"
        return f"{what} by `{self.method}`.{custom}"

    def _usage(self) -> str:
        text = _LOAD if self.is_transformers else _LOAD_WEIGHTS
        return text.format(architecture=self.model.__name__, repository=self.repository)

    def _rows_table(self) -> str:
        lines = [[one.split, f"{one.count:,}", one.source or "not known"] for one in self.rows]
        return markdown_table(["rows", "number", "from"], lines, left=(0, 2))

    def _scores(self) -> list[str]:
        table = [markdown_table(["metric", "value", "retrained"], self.scores)] if self.scores else []
        return [*table, *self.remarks] or ["Not judged."]

    def _recipe(self) -> str:
        versions = {name: importlib.metadata.version(name) for name in _VERSIONED}
        settings = {**self.settings, **versions}
        lines = [[key, escape_markdown(str(value))] for key, value in settings.items()]
        return markdown_table(["setting", "value"], lines, left=(0, 1))
