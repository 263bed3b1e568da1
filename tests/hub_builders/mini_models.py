"""Base and retrained models of a mini task, as the rules of a good one want them: a way to train in, models out."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np

from mubench.hub_builders.families import Wish
from mubench.hub_builders.raw.rows import Row, Splits
from mubench.hub_builders.rules import deletion_rule
from mubench.hub_builders.tasks import TASKS, Task
from tests.hub_builders.mini_rules import Answers, Model

RATIO = 5
BASE_SEEDS, RETRAIN_SEEDS = (0, 1), (2, 3, 4)
# Trains on rows from a seed and returns what says something about any rows.
Fit = Callable[[list[Row], int], Callable[[list[Row]], Answers]]


def trained(task: Task, splits: Splits, fit: Fit, *, family: str = "canonical") -> tuple[list[Model], list[Model]]:
    """Return two base models, trained on all rows, and three retrained ones."""
    deletion = deletion_rule(task, Wish(family=family))(splits)
    train = [splits["train"][row] for row in np.argsort(deletion.ranks).tolist()]
    size = deletion.forget[RATIO]
    parts = {"forget": train[:size], "retain": train[size:], "test": splits["test"]}

    def said(rows: list[Row], seed: int) -> Model:
        answer = fit(rows, seed)
        return {split: answer(part) for split, part in parts.items()}

    return [said(train, seed) for seed in BASE_SEEDS], [said(parts["retain"], seed) for seed in RETRAIN_SEEDS]


def answers(logits: np.ndarray, labels: np.ndarray) -> Answers:
    """Return the answers of a classifier."""
    odds = np.exp(logits - logits.max(1, keepdims=True))
    right = (odds / odds.sum(1, keepdims=True))[np.arange(len(labels)), labels]
    return Answers((logits.argmax(1) == labels).astype(float), right.astype(float))


def by_recipe(key: str, backbone: str) -> Fit:
    """Return a function that trains a backbone of a task's modality by the recipe of the table."""
    from mubench.hub_builders.arguments import TaskArguments  # noqa: PLC0415
    from mubench.hub_builders.base_models import recipe_arguments  # noqa: PLC0415  loads transformers
    from mubench.hub_builders.modalities import MODALITIES  # noqa: PLC0415
    from mubench.hub_builders.prediction import predict  # noqa: PLC0415
    from mubench.hub_builders.shards import features  # noqa: PLC0415
    from mubench.hub_builders.training import TaskTrainer  # noqa: PLC0415

    task = TASKS[key]
    recipe, modality, labels = task.recipes[backbone], MODALITIES[task.kind], task.label_names("mini")
    kinds = {name: kind for name, kind in features(task, "mini").items() if name in task.columns}

    def table(rows: list[Row]) -> datasets.Dataset:
        columns = {name: [row[name] for row in rows] for name in kinds}
        return datasets.Dataset.from_dict(columns, features=datasets.Features(kinds))

    def fit(rows: list[Row], seed: int) -> Callable[[list[Row]], Answers]:
        train = table(rows)
        model, processor = modality.create(backbone, labels, {"train": train}, seed)
        with tempfile.TemporaryDirectory() as folder:
            arguments = TaskArguments(
                **recipe_arguments(recipe), seed=seed, output_dir=str(Path(folder)), save_strategy="no",
                report_to="none", disable_tqdm=True,
            )  # fmt: skip
            encoded = modality.encode(train, processor, recipe.max_length)
            TaskTrainer(
                model=model, args=arguments, train_dataset=encoded, data_collator=modality.collator(processor)
            ).train()

        def answer(asked: list[Row]) -> Answers:
            encoded = modality.encode(table(asked), processor, recipe.max_length)
            logits = predict(model, encoded, modality.collator(processor))
            return answers(logits, np.array([row["label"] for row in asked]))

        return answer

    return fit
