"""Evaluation after every epoch of unlearning, and the choice of the epoch whose weights are kept."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from safetensors import safe_open
from safetensors.torch import load_model, save_model
from tqdm import tqdm
from transformers import TrainerCallback

from mubench.trainers.engine.distributed import on_main_process
from mubench.trainers.engine.losses import NonFiniteError
from mubench.trainers.engine.oom import EVALUATION, explain_out_of_memory
from mubench.trainers.metrics.accuracy import accuracy
from mubench.trainers.metrics.case import NoSignal, SplitOutputs
from mubench.trainers.metrics.proxy import proxy

if TYPE_CHECKING:
    from mubench.trainers.evaluation.validation_score import ValidationScore
    from mubench.trainers.unlearning.output_functions import OutputFunction
    from mubench.trainers.unlearning.unlearning_trainer import UnlearningTrainer

Keep = Literal["last", "best", "oracle"]
ORACLE = "oracle"
BEST = "best.safetensors"
LOOKED_AT = ("forget", "retain", "validation")


@dataclass
class EpochArguments:
    """Arguments of evaluation after every epoch."""

    eval_each_epoch: bool = field(
        default=False, metadata={"help": "Print the scores on forget, retain and validation rows after every epoch."}
    )
    keep: Keep = field(
        default="last",
        metadata={
            "help": "Epoch whose weights are kept: last, best by forget, retain and validation rows, or oracle: the "
            "nearest to the retrained models, which ranks apart."
        },
    )

    @property
    def watches(self) -> bool:
        """Whether there is anything to evaluate between epochs."""
        return self.eval_each_epoch or self.keep != "last"

    def check_keep(self) -> None:
        """Refuse a way to choose that is none.

        Raises:
            ValueError: If it is none.
        """
        if self.keep not in get_args(Keep):
            raise ValueError(f"keep must be one of {', '.join(get_args(Keep))}, got {self.keep!r}")


def check_epochs(trainer: type[UnlearningTrainer], args: EpochArguments) -> None:
    """Refuse evaluation between epochs where a method's result is no epoch's model, and a choice where it may not be.

    Raises:
        ValueError: If so.
    """
    if not args.watches:
        return
    asked = "keep last" if args.keep != "last" else "no eval_each_epoch"
    if trainer.changes_once():
        why = "changes the weights once more, or only then, outside its epochs"
        got = f"keep {args.keep}" if args.keep != "last" else "it"
        raise ValueError(f"expected {asked} for {trainer.__name__}, which {why}; got {got}")
    if trainer.from_scratch and args.keep != "last":
        raise ValueError(
            f"expected keep last for {trainer.__name__}, which is the recipe to its end; got keep {args.keep}"
        )


class EpochEvaluationCallback(TrainerCallback):
    """Evaluates a model after every epoch, and gives it back the weights of the best one in the end.

    Of several processes the first evaluates and writes while the others wait. What it takes is no cost of the run,
    and nothing random is touched. The best weights so far lie in ``output_dir/best.safetensors``, under the names in
    memory; of epochs that are equally good the last one counts.

    Args:
        trainer: Whose epochs; its model has not been changed yet.
        look: What a model says about the three kinds of rows.
        oracle: What an epoch is worth beside retrained models; read where the trainer's ``keep`` is ``oracle``.

    Raises:
        ValueError: If the retrained models are to choose and there are none.

    Attributes:
        base: What the model said before it was changed; ``None`` in other processes, and where it starts fresh.
    """

    def __init__(
        self, trainer: UnlearningTrainer, look: OutputFunction, oracle: ValidationScore | None = None
    ) -> None:
        self.trainer, self.look = trainer, look
        self.base: SplitOutputs | None = None
        self.chooses = trainer.args.keep != "last"
        self.oracle = oracle if trainer.args.keep == ORACLE else None
        if trainer.args.keep == ORACLE and oracle is None:
            raise ValueError("keep oracle needs the retrained models of a task, got none: set the trainer's oracle")
        self.seen = -1
        self._first(self._begin)

    @property
    def file(self) -> Path:
        """Where the best weights so far are kept, with their step and what was said of them."""
        return Path(self.trainer.args.output_dir or ".", BEST)

    @property
    def model(self) -> torch.nn.Module:
        """The model itself."""
        model: torch.nn.Module = self.trainer.accelerator.unwrap_model(self.trainer.model)
        return model

    def _first(self, action: Any) -> None:
        with self.trainer.aside():
            on_main_process(action)

    def _views(self) -> SplitOutputs:
        with explain_out_of_memory("a look at rows after an epoch", EVALUATION):
            views = self.look(self.model)
        if not all(answers.is_finite() for answers in views.values()):
            raise NonFiniteError(f"expected finite outputs after step {self.trainer.state.global_step}, got others")
        return views

    def _begin(self) -> None:
        """Look at the model before it is changed, and see to it that what is to choose is defined."""
        if self.trainer.from_scratch:
            return
        self.base = self._views()
        if self.chooses:
            _ = self.oracle(self.base) if self.oracle else proxy(self.base, self.base)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Go on from a checkpoint's evaluations, or begin anew."""
        self.seen = max((entry["step"] for entry in evaluations(state)), default=-1)
        if not state.global_step and state.is_world_process_zero:
            self.file.unlink(missing_ok=True)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Evaluate where epochs differ in length, which transformers takes for a single one."""
        if state.global_step in self.trainer.epoch_ends:
            self.evaluate()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Evaluate."""
        self.evaluate()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take the best weights."""
        if self.chooses:
            load_model(self.model, self.file)

    def evaluate(self) -> None:
        """Evaluate the model as it is, unless that was done after this very step."""
        step = self.trainer.state.global_step
        if step != self.seen:
            self.seen = step
            self._first(self._evaluate)

    def _evaluate(self) -> None:
        state, ends = self.trainer.state, self.trainer.epoch_ends
        views = self._views()
        scores = {name: accuracy(views, name) for name in LOOKED_AT}
        entry: dict[str, Any] = {
            "step": state.global_step,
            "epoch": sum(end <= state.global_step for end in ends) if ends else round(float(state.epoch or 0), 2),
            **{f"{name}_score": score for name, score in scores.items()},
            **self._worths(views),
        }
        state.log_history.append(entry)
        told = {**scores, **{name: entry[name] for name in WORTHS if entry.get(name) is not None}}
        tqdm.write(f"epoch {entry['epoch']:g}: {', '.join(f'{name} {score:.3f}' for name, score in told.items())}")
        if self.chooses:
            self._keep(entry)

    def _worths(self, views: SplitOutputs) -> dict[str, Any]:
        """Return P, ``None`` where it is undefined (only where it chooses nothing), and what an oracle says."""
        found: dict[str, Any] = {"proxy": None}
        if self.base is not None:
            with contextlib.suppress(NoSignal):
                found["proxy"] = proxy(views, self.base)
        return {**found, ORACLE: self.oracle(views), **self.oracle.seeds} if self.oracle else found

    def _keep(self, entry: dict[str, Any]) -> None:
        """Keep the weights if there are no better ones."""
        kept, worth = self.kept(), entry[ORACLE if self.oracle else "proxy"]
        if kept is not None and kept["worth"] > worth:
            return
        fresh = self.file.with_name(f".{BEST}")
        fresh.parent.mkdir(parents=True, exist_ok=True)
        save_model(self.model, str(fresh), metadata={"step": str(entry["step"]), "worth": repr(worth)})
        fresh.replace(self.file)

    def kept(self) -> dict[str, float] | None:
        """Return step and worth of the best weights so far."""
        if not self.file.is_file():
            return None
        with safe_open(self.file, framework="pt") as file:
            said = file.metadata()
        return {"step": int(said["step"]), "worth": float(said["worth"])}

    def history(self) -> list[dict[str, Any]]:
        """Return what was found after every epoch, and which one was kept where there was a choice."""
        shown = (*ENTRY, ORACLE, *(self.oracle.seeds if self.oracle else ()))
        found = [{key: entry[key] for key in shown if key in entry} for entry in evaluations(self.trainer.state)]
        kept = self.kept() if self.chooses else None
        return [{**entry, "kept": entry["step"] == kept["step"]} for entry in found] if kept else found


WORTHS = ("proxy", ORACLE)
ENTRY = ("step", "epoch", *(f"{name}_score" for name in LOOKED_AT), "proxy")


def evaluations(state: Any) -> list[dict[str, Any]]:
    """Return the evaluations among what a trainer has logged."""
    return [entry for entry in state.log_history if set(ENTRY) <= set(entry)]
