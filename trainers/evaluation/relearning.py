"""Relearning: what fine-tuning on forget rows brings back of an unlearned model. The model's weights are needed.

`omega` fine-tunes on one half of the forget set and compares the confidence on the other half: a model that never saw
those rows gains little. `anamnesis` compares the optimizer steps until the whole forget set is known again
(arXiv:2201.05629).
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import torch
from transformers import TrainerCallback

from mubench.trainers.engine.task_arguments import TaskArguments
from mubench.trainers.engine.task_trainer import TaskTrainer
from mubench.trainers.metrics import NoSignal
from mubench.trainers.models.base_models import recipe_arguments
from mubench.trainers.models.modalities.modality import EncodedRows
from mubench.trainers.models.setting import Setting

STEPS = 10
# Mini classifiers learn in few steps at this rate; all others are fine-tuned at the rate of their recipe.
MINI_CLASSIFIER: dict[str, Any] = {"optim": "adamw_torch", "learning_rate": 1e-3, "weight_decay": 0.0}
SEED = 0
# The accuracy that counts as known again is so much below the base models', and is waited for so many steps.
TOLERANCE, LIMIT = 0.05, 100


def halves(ids: Sequence[str]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the positions of the rows to relearn and of those to test on, by hash of the example id."""
    order = np.argsort([hashlib.sha256(f"relearn:{one}".encode()).hexdigest() for one in ids])
    middle = len(order) // 2
    return np.sort(order[:middle]), np.sort(order[middle:])


def arguments(setting: Setting) -> dict[str, Any]:
    """Return the training arguments of relearning: the recipe's at a constant rate, plain rows and a fixed seed."""
    mini = setting.info.tier == "mini" and setting.task.kind.endswith("_classification")
    return {
        **recipe_arguments(setting.recipe),
        **(MINI_CLASSIFIER if mini else {}),
        "warmup_steps": 0,
        "lr_scheduler_type": "constant",
        "augment": False,
        "seed": SEED,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def fine_tune(
    setting: Setting,
    model: torch.nn.Module,
    processor: Any,
    rows: EncodedRows,
    *,
    steps: int,
    callbacks: Sequence[TrainerCallback] = (),
) -> None:
    """Train a model, in place, on some rows for so many optimizer steps; all models see the same batches."""
    with tempfile.TemporaryDirectory() as scratch:
        trainer = TaskTrainer(
            model=model,
            args=TaskArguments(**arguments(setting), max_steps=steps, output_dir=scratch),
            train_dataset=rows,
            data_collator=setting.modality.collator(processor),
            callbacks=list(callbacks),
        )
        trainer.train()


def _encode(setting: Setting, processor: Any, rows: datasets.Dataset) -> EncodedRows:
    return setting.modality.encode(rows, processor, setting.recipe.max_length)


def relearn(setting: Setting, model: Any, processor: Any, forget: datasets.Dataset) -> float:
    """Fine-tune a model, in place, on half of the forget set; return its mean confidence ``s`` on the other half."""
    seen, unseen = (forget.select(rows) for rows in halves(forget["example_id"]))
    fine_tune(setting, model, processor, _encode(setting, processor, seen), steps=STEPS)
    outputs = setting.modality.predict(model, processor, unseen, _encode(setting, processor, unseen))
    return float(outputs.true_probability.mean())


def steps_to_relearn(
    setting: Setting, model: Any, processor: Any, forget: datasets.Dataset, *, base_score: float
) -> int:
    """Return the optimizer steps on the forget set until its score is within 5 % of the base models', or `LIMIT`.

    Args:
        setting: Task and backbone.
        model: The model; it is changed in place.
        processor: Its processor.
        forget: Rows of the forget set.
        base_score: Mean score of the base models on them.
    """
    rows = _encode(setting, processor, forget)
    stop = StopAtScore(
        lambda: float(setting.modality.predict(model, processor, forget, rows).correct.mean()), base_score
    )
    if not stop.reached():
        fine_tune(setting, model, processor, rows, steps=LIMIT, callbacks=[stop])
    return stop.steps


def omega(unlearned: float, retrained: Sequence[float], bases: Sequence[float]) -> float:
    """Return the share of what only base models know that relearning brings back, 0 for retrained, 1 for base models.

    Args:
        unlearned: Confidence of the judged model after `relearn`.
        retrained: The same of the retrained models.
        bases: The same of the base models.

    Raises:
        NoSignal: If base models are not more confident than retrained ones.
    """
    target = float(np.mean(retrained))
    signal = float(np.mean(bases)) - target
    if signal <= 0:
        raise NoSignal("no signal for 'relearn': retrained models relearn as much as base models know")
    return max(unlearned - target, 0.0) / signal


def anamnesis(unlearned: int, retrained: Sequence[int]) -> float:
    """Return the steps to relearn as a multiple of the retrained models': below 1 something was left.

    Raises:
        NoSignal: If retrained models know the forget set without a step.
    """
    if not sum(retrained):
        raise NoSignal("no signal for 'ain': retrained models need no step to relearn")
    return unlearned / float(np.mean(retrained))


class StopAtScore(TrainerCallback):
    """Stops training when a score is reached; ``steps`` counts the steps before."""

    def __init__(self, score: Callable[[], float], base_score: float) -> None:
        self.score, self.target, self.steps = score, (1 - TOLERANCE) * base_score, 0

    def reached(self) -> bool:
        return self.score() >= self.target

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.steps = state.global_step
        if self.reached():
            control.should_training_stop = True
