"""How fast rows reach a model: full CIFAR-10 on one core; processor seconds. ``MUBENCH_DATA`` has the original files.

Measured are whole shuffled batches alone, steps of training beside those of the same model on random tensors that lie
in memory, in turn, and an optimizer step of scrub on a model that costs nothing.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import TrainerCallback

from mubench.hub_builders.dataset.build import build
from mubench.trainers.engine.batches import EpochDataLoader
from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.engine.task_trainer import TaskTrainer
from mubench.trainers.methods import METHODS
from mubench.trainers.models.setting import Setting, load_setting

RAW = Path(os.environ.get("MUBENCH_DATA", Path(__file__).parents[2] / "../shared/data")) / "raw"
ROWS, BATCH, CLASSES, RATIO = 50_000, 512, 10, 10


class RandomTensors(TaskTrainer):
    """Trains on the same random batch in every step of one size."""

    def get_train_dataloader(self) -> Any:
        """Return a loader of batches that are made already."""
        sampler = self.batch_sampler()
        made = {
            size: {"pixel_values": torch.randn(size, 3, 32, 32), "labels": torch.randint(CLASSES, (size,))}
            for size in {len(rows) for rows in sampler}
        }
        return EpochDataLoader(
            range(ROWS),  # type: ignore[arg-type]
            batch_sampler=sampler,
            collate_fn=lambda rows: made[len(rows)],
        )


class Free(torch.nn.Module):
    """A model that costs nothing: the same logits for every image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.linspace(0, 1, CLASSES))

    def forward(self, pixel_values: torch.Tensor) -> Any:
        return SimpleNamespace(logits=self.weight.expand(len(pixel_values), -1))


def _seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _arguments(kind: Any, folder: str, **changes: Any) -> Any:
    return kind(
        output_dir=folder, per_device_train_batch_size=BATCH, learning_rate=1e-3, report_to="none",
        save_strategy="no", use_cpu=True, disable_tqdm=True, **changes,
    )  # fmt: skip


class Clock(TrainerCallback):
    """Notes the processor seconds at which every step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.process_time())


def _steps_ms(trainer: TaskTrainer) -> npt.NDArray[np.float64]:
    """Train, and return the milliseconds of every step but the first."""
    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    return 1000 * np.diff(clock.ends)


def _training_ms(kind: type[TaskTrainer], setting: Setting, rows: Any, folder: str) -> npt.NDArray[np.float64]:
    """Return the milliseconds of the steps of half an epoch of base training."""
    model, processor = setting.fresh_model(0)
    arguments = _arguments(TaskArguments, folder, max_steps=ROWS // BATCH // 2)
    collator = setting.modality.collator(processor)
    return _steps_ms(kind(model=model, args=arguments, train_dataset=rows, data_collator=collator))


def _scrub_step_ms(setting: Setting, processor: Any, folder: str) -> float:
    kind = METHODS["scrub"]
    trainer = kind(
        Free(),
        _arguments(kind.arguments, folder, num_train_epochs=3),
        train_dataset=setting.forget_retain_sets(RATIO, processor),
        data_collator=setting.modality.collator(processor),
    )
    return float(np.median(_steps_ms(trainer)))


def measure() -> dict[str, float]:
    """Return rows a second (``_rows_s``), seconds, milliseconds, and the rate of training over that on random rows."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = build("cifar10", out=Path(folder), tier="full", raw=RAW)
        setting = load_setting("cifar10", "resnet", data=str(data))
        _, processor = setting.fresh_model(0)
        start = time.process_time()
        rows = setting.encode("train", processor)
        found = {"feed_encode_s": time.process_time() - start}
        loader = TaskTrainer(
            model=Free(),
            args=_arguments(TaskArguments, folder),
            train_dataset=rows,
            data_collator=setting.modality.collator(processor),
        ).get_train_dataloader()
        rates = [ROWS / _seconds(lambda: [None for _ in loader]) for _ in range(3)]
        steps = [_scrub_step_ms(setting, processor, folder) for _ in range(2)]
        turns = [_training_ms(kind, setting, rows, folder) for kind in (RandomTensors, TaskTrainer) * 2]
        random, real = (float(np.median(np.concatenate(turns[first::2]))) for first in (0, 1))
    return {
        **found,
        "feed_scrub_step_ms": min(steps),
        "feed_training_rows_s": 1000 * BATCH / real,
        "feed_training_to_random_tensors": random / real,
        "feed_batches_rows_s": max(rates),
    }


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name} {value:.3f}")  # noqa: T201
