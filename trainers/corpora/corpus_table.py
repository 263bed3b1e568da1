"""`corpus_numbers`: MUSE's numbers of every model of a group, as a table and as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np

from mubench.hub_builders.dataset.task_info import find_task
from mubench.hub_builders.tasks.names import base_model, check_ratio
from mubench.hub_builders.utils.atomic import write_json
from mubench.hub_builders.utils.hints import command
from mubench.hub_builders.utils.tables import align_columns
from mubench.trainers.corpora.knowledge import TEMPLATE, answer_questions, check_template
from mubench.trainers.corpora.questions import PARTS, Question, read_examples, read_questions
from mubench.trainers.evaluation.group import Group, find_group
from mubench.trainers.metrics.corpus_numbers import corpus_numbers
from mubench.trainers.models.backbones import find_backbone
from mubench.trainers.models.setting import load_setting

# Names of the numbers, with their digits after the point.
NUMBERS = {"verbatim_memorisation": 3, "knowledge_memorisation": 3, "utility": 3, "priv_leak": 1}
HEAD = ["model", "verbatim", "knowledge", "utility", "PrivLeak"]
LEGEND = (
    "verbatim: ROUGE-L F1 of what a model writes after the first half of forget rows (verbatim memorisation).",
    "knowledge, utility: the same of answers to questions about documents of the forget set, and of the retain set.",
    "PrivLeak: in %, by min-k of 40 % on forget and test rows; 0 is the first retrained model.",
)


def list_corpus_numbers(options: argparse.Namespace) -> list[str]:
    """Write the numbers of all models as JSON, and return the path, counts and a table as lines.

    Raises:
        FileNotFoundError: If there is no base or no retrained model; the message names the command that trains one.
        ValueError: If the task has prompts, or a question is about none of its documents or one that is deleted in
            part.
    """
    task = find_task(options.task, data=options.data, family=options.family)
    if not task.prefix_free:
        raise ValueError(
            f"expected a task of texts without prompts (columns: {{text: ...}}), got {task.key} of "
            f"{', '.join(task.columns)}"
        )
    template = check_template(TEMPLATE if options.question_template is None else options.question_template)
    ratio, models = check_ratio(options.ratio, options.family), Path(options.models)
    backbone = find_backbone(options.backbone, task, models)
    setting = load_setting(options.task, backbone, data=options.data, family=options.family)
    questions = read_questions(options.questions, setting, ratio)
    examples = read_examples(options.examples) if options.examples else []
    group = find_group(setting, ratio, models)
    _require(group)
    numbers = _measure(group, questions, template=template, examples=examples, cache=options.out / "answers")
    given = {"questions": {part: len(questions[part]) for part in PARTS}, "examples": len(examples)}
    path = _write(group, numbers, {**given, "question_template": template}, options.out)
    return [f"numbers: {path}", *summary_lines(group, questions), "", *_table(numbers), "", *LEGEND]


def _require(group: Group) -> None:
    """Raise ``FileNotFoundError`` without a base and a retrained model."""
    setting, ratio = group.setting, group.ratio
    about = {"task": setting.task.key, "backbone": setting.backbone}
    place = {"data": setting.data, "family": setting.info.family, "models": group.models}
    makes = {
        "base model": (group.bases, command("base", **about, **place)),
        f"model retrained at {ratio} %": (group.retrained, command("retrain", **about, ratio=ratio, **place)),
    }
    for name, (found, make) in makes.items():
        if not found:
            raise FileNotFoundError(
                f"expected a {name} of {setting.task.key} {setting.backbone}, got none; make it with: {make}"
            )


def _measure(
    group: Group,
    questions: Mapping[str, Sequence[Question]],
    *,
    template: str,
    examples: Sequence[Question],
    cache: Path,
) -> dict[str, dict[str, float]]:
    """Return the numbers of every model, base models first, by the name of its folder."""
    retrained = group.outputs(group.retrained[min(group.retrained)])
    references = (folder for folders in (group.bases, group.retrained) for _, folder in sorted(folders.items()))
    found = {}
    for folder in (*references, *group.unlearned):
        answers = None
        if any(questions.values()):
            answers = answer_questions(
                group.setting, folder, group.runs[folder], questions, template=template, examples=examples, cache=cache
            )
        outputs = group.outputs(folder)
        judged = {split: outputs[split] for split in ("forget", "test")}
        found[folder.name] = corpus_numbers(judged, retrained, answers)
    return found


def _write(group: Group, numbers: Mapping[str, Mapping[str, float]], given: Mapping[str, Any], out: Path) -> Path:
    info = group.setting.info
    name = base_model(info.task, info.tier, group.setting.backbone, family=info.family)
    about = {"task": info.task, "family": info.family, "ratio": group.ratio, "backbone": group.setting.backbone}
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}-del{group.ratio}.json"
    write_json(path, {**about, "split": info.split, **given, "models": numbers})
    return path


def summary_lines(group: Group, questions: Mapping[str, Sequence[Question]]) -> list[str]:
    """Return the counts of rows and questions, and the documents of the forget set if no question is about one."""
    mask = group.setting.forget_mask(group.ratio)
    counts = ", ".join(f"{len(questions[part])} about {part} documents" for part in PARTS)
    lines = [f"{group.setting.task.title}: {mask.sum()} forget rows; questions: {counts}"]
    if any(questions.values()) and not questions["forget"]:
        documents = sorted({*np.asarray(group.setting.rows["train"]["group"], dtype=np.str_)[mask].tolist()})
        lines.append(f"documents of the forget set: {shorten(', '.join(documents), 200, placeholder=' ...')}")
    return lines


def _table(numbers: Mapping[str, Mapping[str, float]]) -> list[str]:
    lines = [HEAD]
    for name, found in numbers.items():
        lines.append([name, *(f"{found[key]:.{digits}f}" if key in found else "-" for key, digits in NUMBERS.items())])
    return align_columns(lines)
