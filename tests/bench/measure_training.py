"""Milliseconds of an optimizer step beside `transformers.Trainer`, rows a second of a pass, and seconds of judging."""

from __future__ import annotations

import tempfile
import time
from typing import Any

import torch
from transformers import Trainer

from mubench.trainers import METHODS
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.engine.task_trainer import TaskTrainer
from mubench.trainers.evaluation.judge import judge
from mubench.trainers.inference.predict import predict
from tests.fixtures import toy

STEPS, ROUNDS = 60, 3


def _step_ms(make: Any) -> float:
    """Return the mean milliseconds of a step, the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            trainer = make(folder)
            start = time.perf_counter()
            trainer.train()
            best = min(best, 1000 * (time.perf_counter() - start) / STEPS)
    return best


def _arguments(kind: Any, folder: str) -> Any:
    return kind(
        output_dir=folder, max_steps=STEPS, per_device_train_batch_size=8, learning_rate=1e-4, report_to="none",
        save_strategy="no", use_cpu=True, disable_tqdm=True,
    )  # fmt: skip


def measure() -> dict[str, float]:
    """Return the cost of training, prediction and judging on small models."""
    rows = toy.rows("vit")
    split = {"forget": rows[: toy.FORGET], "retain": rows[toy.FORGET :]}
    collate = toy.collator("vit")

    def plain(kind: type[Trainer]) -> Any:
        def make(folder: str) -> Trainer:
            arguments = _arguments(TaskArguments, folder)
            return kind(toy.build("vit"), arguments, train_dataset=rows, data_collator=collate)

        return make

    def method(key: str) -> Any:
        def make(folder: str) -> Trainer:
            kind = METHODS[key]
            return kind(
                toy.build("vit"), _arguments(kind.arguments, folder), train_dataset=split, data_collator=collate
            )

        return make

    found = {
        "step_transformers_ms": _step_ms(plain(Trainer)),
        "step_task_trainer_ms": _step_ms(plain(TaskTrainer)),
        "step_finetune_ms": _step_ms(method("finetune")),
        "step_scrub_ms": _step_ms(method("scrub")),
    }
    model, many = toy.build("vit"), list(rows) * 64
    start = time.perf_counter()
    with torch.no_grad():
        predict(model, many, collate)
    found["feed_rows_a_second"] = len(many) / (time.perf_counter() - start)
    return {**found, "judge_s": _judging()}


def _judging() -> float:
    """Return the seconds of one judged row of made-up outputs."""
    from tests.trainers.conftest import ROWS, World, make_run_info  # noqa: PLC0415

    world = World({name: 10 * count for name, count in ROWS.items()})
    model = world.views(saw=0.5, seed=1)
    start = time.perf_counter()
    judge(make_run_info(), model, world.retrained(5), world.bases(3), chance=0.1)
    return time.perf_counter() - start


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name} {value:.3f}")  # noqa: T201
