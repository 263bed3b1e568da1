"""Evaluation after every epoch of unlearning, and the choice of the epoch whose weights are kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_model, save_model
from torch.utils.data import Subset
from tqdm import tqdm
from transformers import TrainerCallback

from mubench.hub_builders.utils.atomic import atomic_file
from mubench.trainers.engine.distributed import on_main_process
from mubench.trainers.engine.errors import EVALUATION, NonFiniteError, explain_out_of_memory
from mubench.trainers.engine.rows import PART, fetch_parts, fetch_rows, read_labels
from mubench.trainers.inference.outputs import ClassOutputs, Outputs
from mubench.trainers.inference.predict import Collate, predict, predict_tokens
from mubench.trainers.metrics.accuracy import accuracy
from mubench.trainers.metrics.case import NoSignal
from mubench.trainers.metrics.evidence import SplitOutputs
from mubench.trainers.metrics.proxy import proxy
from mubench.trainers.unlearning.unlearning_arguments import ORACLE

if TYPE_CHECKING:
    from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

OutputFunction = Callable[[torch.nn.Module], SplitOutputs]
# Retain rows that are evaluated after every epoch.
RETAIN_SAMPLE = 500
BEST = "best.safetensors"
EVALUATED_SPLITS = ("forget", "retain", "validation")


class SelectionScore(Protocol):
    """The score of an epoch beside retrained models, such as `mubench.trainers.evaluation.validation_score`."""

    @property
    def seeds(self) -> Mapping[str, list[int]]:
        """Seeds of the reference models."""

    def __call__(self, model: SplitOutputs, /) -> float:
        """Return the score of a model's outputs; higher is better."""


class EpochEvaluationCallback(TrainerCallback):
    """Evaluates a model after every epoch, and loads the weights of the best one in the end.

    Of several processes the main one evaluates and writes while the others wait. The run's cost does not include it,
    and nothing random is touched. The best weights so far lie in ``output_dir/best.safetensors``, under the names in
    memory; of epochs that are equally good the last one counts.

    Args:
        trainer: Whose epochs; its model has not been changed yet.
        output_function: Computes a model's outputs on forget, retain and validation rows.
        validation_score: Scores an epoch beside retrained models; used where the trainer's ``keep`` is ``oracle``.

    Raises:
        ValueError: If ``keep`` is ``oracle`` and there is no score.

    Attributes:
        base: Outputs of the unchanged model; ``None`` in other processes, and where training starts from scratch.
    """

    def __init__(
        self,
        trainer: UnlearningTrainer,
        output_function: OutputFunction,
        validation_score: SelectionScore | None = None,
    ) -> None:
        self.trainer, self.output_function = trainer, output_function
        self.base: SplitOutputs | None = None
        self.chooses = trainer.args.keep != "last"
        self.validation_score = validation_score if trainer.args.keep == ORACLE else None
        if trainer.args.keep == ORACLE and validation_score is None:
            raise ValueError(
                "keep oracle needs the retrained models of a task, got none: set the trainer's validation_score"
            )
        self.evaluated_step = -1
        self._run_on_main_process(self._evaluate_base)

    @property
    def file(self) -> Path:
        """The file of the best weights so far, with their step and score."""
        return Path(self.trainer.args.output_dir or ".", BEST)

    @property
    def model(self) -> torch.nn.Module:
        return self.trainer.accelerator.unwrap_model(self.trainer.model)

    def _run_on_main_process(self, action: Callable[[], None]) -> None:
        with self.trainer.exclude_from_cost():
            on_main_process(action)

    def _outputs(self) -> SplitOutputs:
        with explain_out_of_memory("the evaluation after an epoch", EVALUATION):
            outputs = self.output_function(self.model)
        if not all(split.is_finite() for split in outputs.values()):
            raise NonFiniteError(f"expected finite outputs after step {self.trainer.state.global_step}, got others")
        return outputs

    def _evaluate_base(self) -> None:
        """Evaluate the unchanged model, and check that the score to choose by is defined."""
        if self.trainer.from_scratch:
            return
        self.base = self._outputs()
        if self.chooses:
            _ = self.validation_score(self.base) if self.validation_score else proxy(self.base, self.base)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Continue a checkpoint's evaluations, or start anew."""
        self.evaluated_step = max((entry["step"] for entry in evaluations(state)), default=-1)
        if not state.global_step and state.is_world_process_zero:
            self.file.unlink(missing_ok=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Evaluate where epochs differ in length, which transformers counts as a single one."""
        if state.global_step in self.trainer.epoch_ends:
            self.evaluate()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.evaluate()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.chooses:
            load_model(self.model, self.file)

    def evaluate(self) -> None:
        """Evaluate the model as it is, unless it was evaluated at this step already."""
        step = self.trainer.state.global_step
        if step != self.evaluated_step:
            self.evaluated_step = step
            self._run_on_main_process(self._evaluate)

    def _evaluate(self) -> None:
        state, ends = self.trainer.state, self.trainer.epoch_ends
        outputs = self._outputs()
        scores = {split: accuracy(outputs, split) for split in EVALUATED_SPLITS}
        entry: dict[str, Any] = {
            "step": state.global_step,
            "epoch": sum(end <= state.global_step for end in ends) if ends else round(float(state.epoch or 0), 2),
            **{f"{split}_score": score for split, score in scores.items()},
            **self._selection_scores(outputs),
        }
        state.log_history.append(entry)
        shown = {**scores, **{name: entry[name] for name in SELECTION if entry.get(name) is not None}}
        tqdm.write(f"epoch {entry['epoch']:g}: {', '.join(f'{name} {score:.3f}' for name, score in shown.items())}")
        if self.chooses:
            self._save_if_best(entry)

    def _selection_scores(self, outputs: SplitOutputs) -> dict[str, Any]:
        """Return the proxy, ``None`` where it is undefined (only where nothing is chosen), and the oracle's score."""
        scores: dict[str, Any] = {"proxy": None}
        if self.base is not None:
            with contextlib.suppress(NoSignal):
                scores["proxy"] = proxy(outputs, self.base)
        if self.validation_score is None:
            return scores
        return {**scores, ORACLE: self.validation_score(outputs), **self.validation_score.seeds}

    def _save_if_best(self, entry: dict[str, Any]) -> None:
        """Save the weights unless better ones are saved."""
        best, score = self.best(), entry[ORACLE if self.validation_score else "proxy"]
        if best is not None and best["worth"] > score:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(self.file) as fresh:
            save_model(self.model, str(fresh), metadata={"step": str(entry["step"]), "worth": repr(score)})

    def best(self) -> dict[str, float] | None:
        """Return step and score (``worth``) of the best weights so far."""
        if not self.file.is_file():
            return None
        with safe_open(self.file, framework="pt") as file:
            metadata = file.metadata()
        return {"step": int(metadata["step"]), "worth": float(metadata["worth"])}

    def history(self) -> list[dict[str, Any]]:
        """Return the evaluations of all epochs, and where one was chosen, which was kept."""
        keys = (*ENTRY, ORACLE, *(self.validation_score.seeds if self.validation_score else ()))
        entries = [{key: entry[key] for key in keys if key in entry} for entry in evaluations(self.trainer.state)]
        best = self.best() if self.chooses else None
        return [{**entry, "kept": entry["step"] == best["step"]} for entry in entries] if best else entries


SELECTION = ("proxy", ORACLE)
ENTRY = ("step", "epoch", *(f"{split}_score" for split in EVALUATED_SPLITS), "proxy")


def evaluations(state: Any) -> list[dict[str, Any]]:
    """Return the evaluations after epochs in a trainer's logs."""
    return [entry for entry in state.log_history if set(ENTRY) <= set(entry)]


def sample_retain_rows(rows: np.ndarray) -> np.ndarray:
    """Return at most `RETAIN_SAMPLE` positions in ascending order, always the same ones."""
    return np.sort(np.random.default_rng(0).permutation(rows)[:RETAIN_SAMPLE])


def trainer_output_function(trainer: UnlearningTrainer) -> OutputFunction:
    """Return the output function of a trainer's own rows, whose labels are classes or tokens.

    Raises:
        ValueError: If there are no forget, retain or validation rows.
    """
    data = trainer.train_dataset
    retain = Subset(data.retain, sample_retain_rows(np.arange(len(data.retain))).tolist())
    splits = {"forget": data.forget, "retain": retain, "validation": trainer.validation}
    for split, rows in splits.items():
        if rows is None or not len(rows):
            raise ValueError(f"evaluation after every epoch needs {split} rows, got none")
    return lambda model: {split: compute_outputs(model, rows, trainer.data_collator) for split, rows in splits.items()}


def compute_outputs(model: torch.nn.Module, rows: Any, collate: Collate) -> Outputs:
    """Return a model's outputs on model-ready rows; their positions are their ids.

    Raises:
        ValueError: If labels are neither classes nor tokens.
    """
    ids = np.arange(len(rows)).astype(np.str_)
    shape = torch.as_tensor(read_labels(fetch_rows(rows, [0]))[0]).shape
    if len(shape) == 1:
        return predict_tokens(model, rows, collate, ids.tolist())
    if shape:
        raise ValueError(f"expected labels that are classes or tokens, got shape {tuple(shape)}")
    labels = np.array([int(one) for part in fetch_parts(rows, PART) for one in read_labels(part)], dtype=np.int64)
    return ClassOutputs(ids, predict(model, rows, collate), labels)
