"""Renders cards as markdown: pure functions that read only the templates, without clock or network."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, FunctionLoader, StrictUndefined

from mubench.cards.leaderboard import Table
from mubench.cards.leaderboard.formats import as_markdown, legend
from mubench.cards.report.generated_texts import GeneratedTexts
from mubench.cards.usage import OUTPUTS, model_kind, model_usage, usage
from mubench.hub_builders.dataset.manifest import Manifest, is_own, task_of
from mubench.hub_builders.dataset.readme import example_config, percentages
from mubench.hub_builders.deletion.families import FAMILY_TEXTS
from mubench.hub_builders.deletion.published_lists import PAPER_LISTS
from mubench.hub_builders.hub.model_folder import Run
from mubench.hub_builders.hub.restricted import NAMESPACE
from mubench.hub_builders.tasks import BACKBONES, TABLE_TIERS, Kind, Task
from mubench.hub_builders.tasks.definition import resolve_task
from mubench.hub_builders.tasks.names import RATIOS, config_name, dataset_folder, published_dataset
from mubench.hub_builders.utils.tables import code_span, escape_markdown
from mubench.trainers.engine.paper import Paper
from mubench.trainers.evaluation.audit import weak_metrics
from mubench.trainers.evaluation.controls import CONTROLS
from mubench.trainers.evaluation.result import Result, Value
from mubench.trainers.metrics import DESCRIPTIONS, Description
from mubench.trainers.runs.method_table import addon_table

# Pipeline tags of the Hub; it has none for statements about two images, and questions about one are nearest.
_PIPELINES: dict[Kind, str] = {
    "image_classification": "image-classification",
    "text_classification": "text-classification",
    "image_pair_classification": "visual-question-answering",
    "audio_classification": "audio-classification",
    "video_classification": "video-classification",
    "summarization": "summarization",
    "text_generation": "text-generation",
    "text_to_image": "text-to-image",
}
_MANY_LABELS = 20


def _render(template: str, **values: Any) -> str:
    environment = Environment(
        loader=FunctionLoader(lambda name: files("mubench.cards").joinpath(name).read_text(encoding="utf-8")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"text": escape_markdown, "code": code_span}  # titles and sources of a user's tasks
    environment.filters["cell"] = lambda text: escape_markdown(" ".join(text.split()))
    return environment.get_template(template).render(**values)


def dataset_body(manifests: Sequence[Manifest], *, repository: str, pictures: Mapping[str, str] | None = None) -> str:
    """Return a dataset repository's card, without its YAML.

    Args:
        manifests: The tasks in the repository, all of one family.
        repository: Its name.
        pictures: Path within the repository of each task's picture of sample rows.

    Raises:
        ValueError: If there is no task.
    """
    if not manifests:
        raise ValueError(f"expected at least 1 task in {repository}, got 0")
    ordered = sorted(manifests, key=lambda one: str(one["task"]))
    tasks = [_task(one) for one in ordered]
    tiers = sorted({one["tier"] for one in ordered})
    ratios = sorted({ratio for one in ordered for ratio in one["forget"]})
    family, seed = ordered[0]["family"], ordered[0]["deletion_seed"]
    return _render(
        "dataset.md.jinja",
        tasks=tasks,
        tiers=tiers,
        qualifiers=[*([family] if family != "canonical" else []), *(tiers if tiers != ["full"] else [])],
        repository=repository,
        example=example_config(ordered[0]),
        has_ood=any("ood" in one["counts"] for one in ordered),
        family=family,
        families=[_family(name) for name in FAMILY_TEXTS],
        namespace=NAMESPACE,
        published=published_dataset(family, seed, tiers[0]),
        description=FAMILY_TEXTS[family].summary,
        reach="for every ratio from 1 % to 10 %" if ratios == list(RATIOS) else f"at {', '.join(map(str, ratios))} %",
        rule=FAMILY_TEXTS[family].rule.format(seed=seed),
        ratios=ratios,
        sizes={one["task"].key: _sizes(one) for one in tasks},
        usages=_usages(ordered, repository),
        pictures=pictures or {},
        faults={one["task"].title: PAPER_LISTS[one["task"].key].fault for one in tasks} if family == "paper" else {},
    )


def _task(manifest: Manifest) -> dict[str, Any]:
    """Return the template values of a task."""
    task, tier, labels = task_of(manifest), manifest["tier"], manifest["labels"]
    return {
        **manifest,
        "task": task,
        "counts": {"validation": 0, "test": 0, "ood": 0, **manifest["counts"]},
        "labels": ", ".join(labels) if len(labels) <= _MANY_LABELS else f"{len(labels)} classes",
        "licence": "that of the files given" if is_own(manifest) else task.licence_of(tier),
        "own": is_own(manifest),
        "doubt": _licence_notice(task) if is_own(manifest) else "",
        "primary": task.family_of(tier),
        "revision": _revision(task.source.revision),
    }


def _family(family: str) -> dict[str, Any]:
    """Return description, folder and repositories (one per tier) of a deletion family."""
    tiers = ("full",) if family == "paper" else TABLE_TIERS
    return {
        "folder": dataset_folder(family),
        "published": [published_dataset(family, 0, tier) for tier in tiers],
        "description": FAMILY_TEXTS[family].summary.partition(": ")[2],
    }


def _revision(name: str | None) -> str:
    """Return a source's revision or branch; a branch pins nothing."""
    if name is None:
        return "default branch"
    return f"revision `{name}`" if re.fullmatch("[0-9a-f]{40}", name) else f"branch `{name}`"


def _sizes(manifest: Mapping[str, Any]) -> dict[int, str]:
    """Return the forget size of every ratio and, except in the canonical family, its exact percentage."""
    exact = manifest["family"] == "canonical"
    return {
        ratio: str(manifest["forget"][ratio]) if exact else f"{manifest['forget'][ratio]} ({percentage:.2f} %)"
        for ratio, percentage in percentages(manifest).items()
    }


def _usages(manifests: Sequence[Manifest], repository: str) -> dict[str, str]:
    """Return how to read a row, by kind of task."""
    examples: dict[str, str] = {}
    for one in manifests:
        kind = task_of(one).kind
        title = kind.replace("_", " ").capitalize()
        examples.setdefault(title, usage(kind, repository=repository, config=example_config(one)))
    return examples


def _range(metric: Description) -> str:
    low, high = ("any" if math.isinf(end) else f"{end:.4g}" for end in metric.range)
    return "any number" if low == high == "any" else f"{low} and above" if high == "any" else f"{low} to {high}"


def _reading(metric: Description) -> str:
    """Return a metric's title, unit, direction and range."""
    unit = f"{metric.unit}, " if metric.unit else ""
    return f"{metric.title} ({unit}better: {metric.better}, range: {_range(metric)})"


def _published(run: Run) -> str | None:
    """Return the repository of a run's backbone; ``None`` for a custom one, or one without published weights."""
    return BACKBONES[run.backbone].hub_id if run.backbone in BACKBONES else None


def _licence_notice(task: Task) -> str:
    """Return the notice about rows of a partial build, which may not be the original ones."""
    known = task.licence if task.licence != "unknown" else "unknown: its distributor states none"
    return (
        f"These rows may not be those of {task.title}. Where they are, its licence ({known}) and citation apply; "
        "otherwise those of the source of the files."
    )


def _licence(run: Run) -> str:
    """Return the licence of the rows of a run; those of a partial build may be data of one's own."""
    return "other" if run.tier == "partial" else resolve_task(run.task, run.definition).licence_of(run.tier)


def _model_yaml(name: str, run: Run, parent: str | None, scores: Mapping[str, Value]) -> str:
    kind = model_kind(resolve_task(run.task, run.definition), run.backbone)
    repository, config = dataset_folder(run.family, run.deletion_seed), config_name(run.task, run.ratio, run.family)
    evaluations = [
        EvalResult(
            task_type=_PIPELINES[kind],
            dataset_type=repository,
            dataset_name=f"{config} ({run.tier})",
            dataset_config=config,
            metric_type=key,
            metric_name=_reading(DESCRIPTIONS[key]),
            metric_value=round(score.value, 6),
        )
        for key, score in scores.items()
    ]
    data = ModelCardData(
        base_model=parent or (None if run.parent else _published(run)),
        library_name="diffusers" if kind == "text_to_image" else "transformers",
        license=_licence(run),
        pipeline_tag=_PIPELINES[kind],
        datasets=[repository],
        tags=["machine-unlearning", "mu-bench", run.tier, *([run.method] if run.method else [])],
        model_name=name if evaluations else None,
        eval_results=evaluations or None,
    )
    return data.to_yaml()


def model_card(
    name: str,
    run: Run,
    *,
    parent: str | None = None,
    metrics: Mapping[str, Value] | None = None,
    result: Result | None = None,
    paper: Paper | None = None,
    generated: Sequence[GeneratedTexts] = (),
    folder: str = "",
) -> str:
    """Return the card of a base, retrained or unlearned model.

    ``name`` and ``parent`` are the repositories of the model and of the one that it started from, ``metrics`` the
    scores of a model that was not judged, ``generated`` texts for forget rows, and ``folder`` where the example loads
    the model from, if not by its name.
    """
    scores, task = result.metrics if result else metrics or {}, resolve_task(run.task, run.definition)
    body = _render(
        "model.md.jinja",
        name=name,
        run=run,
        task=task,
        licence=_licence(run),
        doubt=_licence_notice(task) if run.tier == "partial" else "",
        parent=parent,
        scores=[(DESCRIPTIONS[key], _range(DESCRIPTIONS[key]), score) for key, score in scores.items()],
        weak=[DESCRIPTIONS[key].title for key in scores if key in weak_metrics()],
        result=result,
        paper=paper,
        generated=generated,
        addons=[one.paper for one in addon_table().values() if set(one.arguments) & set(run.arguments)],
        example=model_usage(task, run, folder=folder or name, pretrained=bool(run.backbone_files or _published(run))),
        outputs=OUTPUTS.get(model_kind(task, run.backbone), "logits"),
        repository=dataset_folder(run.family, run.deletion_seed),
        config=config_name(run.task, run.ratio, run.family),
    )
    return f"---\n{_model_yaml(name, run, parent, scores)}\n---\n\n{body}"


def results_card(
    tables: Sequence[Table],
    *,
    picture: str | None = None,
    audit: str | None = None,
    audit_picture: str | None = None,
    report: str = "",
) -> str:
    """Return the card of the results: every table, the picture, the legend, the audit of the metrics and the report.

    Args:
        tables: The tables.
        picture: File name of the leaderboard's picture.
        audit: The audit in markdown, or why there is none.
        audit_picture: File name of the audit's picture.
        report: Analyses and ledger of claims in markdown.
    """
    words = {"legend": "\n".join(legend(tables)), "controls": CONTROLS, "audit": audit, "audit_picture": audit_picture}
    return _render("results.md.jinja", tables=tables, picture=picture, as_markdown=as_markdown, report=report, **words)
