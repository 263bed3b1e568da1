"""`TaskTrainer`: per-example losses, exact averaging, exact resume and the non-finite stop that all training shares.

Letters: ``B`` rows of a batch, ``K`` classes, ``N`` rows of a dataset.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import SaveStrategy, TrainOutput

from mubench.hub_builders.batch_norm import synchronized
from mubench.hub_builders.checkpoints import mark_complete, names_in_memory
from mubench.hub_builders.denoising import KEY, spoiled_for_training
from mubench.hub_builders.lora import LoraArguments, adapted, bare, merged
from mubench.hub_builders.plan import PlannedLoader, StepPlan
from mubench.hub_builders.processes import world_size
from mubench.hub_builders.terms import (
    NonFiniteError,
    Term,
    aligned,
    check_finite,
    model_inputs,
    per_example_loss,
    trainable,
)

# Of a checkpoint under LoRA: what is no parameter.
BUFFERS = "buffers.safetensors"


@dataclass
class TaskArguments(LoraArguments, TrainingArguments):
    """`transformers.TrainingArguments` with defaults that fit custom losses.

    Changed defaults: no column removal (batches carry more than the model's inputs), no NaN filter in the logs (it
    hides diverged runs), and at most two checkpoints kept.
    """

    remove_unused_columns: bool = field(default=False, metadata={"help": "Kept off: batches carry extra columns."})
    logging_nan_inf_filter: bool = field(default=False, metadata={"help": "Kept off: it would hide a diverged run."})
    label_names: list[str] | None = field(
        default_factory=lambda: ["labels"], metadata={"help": "Columns that are labels, whatever forward() names."}
    )
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints kept."})

    def __post_init__(self) -> None:
        """Refuse the settings under which losses would silently mean something else."""
        if world_size() > 1 and not torch.cuda.is_available():
            self.use_cpu = True  # unless told so, every process would train by itself
        super().__post_init__()
        self.check_lora()
        self.check_length()
        if self.label_smoothing_factor:
            raise ValueError(f"label_smoothing_factor must be 0 here, got {self.label_smoothing_factor}")
        if (asked := "fp16" if self.fp16 else "bf16" if self.bf16 else "no") != self.mixed_precision:
            raise ValueError(
                f"expected the precision as an argument of the run (bf16, fp16), where it is recorded; got a launcher "
                f"that says {self.mixed_precision} and arguments that say {asked}"
            )
        if self.remove_unused_columns or self.logging_nan_inf_filter:
            raise ValueError("remove_unused_columns and logging_nan_inf_filter must be off, got one that is on")

    def check_length(self) -> None:
        """Refuse runs without an end, a step or a row."""
        for name in ("num_train_epochs", "per_device_train_batch_size", "gradient_accumulation_steps"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be more than 0 and finite, got {getattr(self, name)}")
        if self.max_steps == 0:
            raise ValueError("max_steps must be more than 0, or -1 for whole epochs, got 0")


class _Bookkeeping(TrainerCallback):
    """Marks finished checkpoints and tells the trainer that an optimizer step is over."""

    def __init__(self, trainer: TaskTrainer) -> None:
        self.trainer = trainer

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        self.trainer.after_step()

    def on_epoch_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        if self.trainer.after_epoch():
            control.should_training_stop = True

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        # Where epochs differ in length, transformers sees one long epoch: its ends are ours to tell.
        if args.save_strategy == SaveStrategy.EPOCH and state.global_step in self.trainer.epoch_ends:
            control.should_save = True

    def on_save(self, args: TrainingArguments, state: Any, *_: Any, **__: Any) -> None:
        spent = self.trainer.spent()  # asks all processes, so that the mark comes after what each of them writes
        if state.is_world_process_zero:
            folder = Path(args.output_dir or ".", f"checkpoint-{state.global_step}")
            self.trainer.keep(folder)
            mark_complete(folder, spent)


class TaskTrainer(Trainer):
    """Trains on per-example losses; base models use it as it is, unlearning methods subclass it.

    What differs from `transformers.Trainer`:

    - the loss is computed from the logits, one value an example, and averaged over the whole optimizer step: gradient
      accumulation and data parallelism change nothing but speed;
    - batches are a pure function of ``(seed, epoch)``, see `StepPlan`, so that a resumed run is the uninterrupted one;
    - checkpoints keep the parameter names that are in memory, since transformers restores renamed ones not at all;
    - a non-finite loss or weight raises `NonFiniteError`.

    Subclasses may override `phases`, `terms`, `penalty`, `after_backward`, `after_step` and `after_epoch`.
    """

    loss_is_scaled_for_ga = True
    model: torch.nn.Module

    def __init__(self, model: torch.nn.Module, args: TrainingArguments | None = None, **kwargs: Any) -> None:
        args = TaskArguments() if args is None else args
        model = synchronized(model, args)
        self._adapts = isinstance(args, TaskArguments) and args.lora_rank is not None
        if isinstance(args, TaskArguments) and args.lora_rank is not None:
            self.check_adaptable()
            model = adapted(model, args, args.seed)
        super().__init__(model=model, args=args, **kwargs)
        self.remove_callback(PrinterCallback)  # it prints raw log lines where progress bars are off
        self.add_callback(_Bookkeeping(self))
        self.spent_before: dict[str, float] = {}
        self.epoch_ends: frozenset[int] = frozenset()
        self._started: float | None = None
        self._aside = 0.0
        self._sums: dict[str, torch.Tensor] = {}
        self._rows: dict[str, int] = {}

    # What a method may say

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return the rows of each phase of an epoch, in order, shape ``(n,)``; they are shuffled within a phase.

        Rows that belong together, such as pairs, come as ``(n, m)``, and a batch counts them as one.
        """
        return [np.arange(len(self.train_dataset))]  # type: ignore[arg-type]

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        """Return the summands of the loss of one micro-batch."""
        return [Term("all", per_example_loss(self.logits(model, batch), batch["labels"]))]

    def penalty(self, model: torch.nn.Module) -> torch.Tensor | None:
        """Return a term that depends on the weights alone; it is computed once an optimizer step."""
        return None

    def after_backward(self) -> None:
        """Run when the gradients of an optimizer step are complete, before they are clipped."""

    def after_step(self) -> None:
        """Run right after the optimizer has moved the weights."""

    def after_epoch(self) -> bool:
        """Run after an epoch, where all are of one length, and say whether training is to end."""
        return False

    def keep(self, checkpoint: Path) -> None:
        """Write what else a resumed run needs into a checkpoint."""

    def check_adaptable(self) -> None:
        """Raise ``ValueError`` if it makes no sense to train adapters in place of weights."""

    def logits(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
        """Run a forward pass and return its logits, shape ``(B, K)`` or ``(B, T, V)``."""
        output: torch.Tensor = model(**model_inputs(batch)).logits
        return output

    def costs(self) -> dict[str, float]:
        """Return what this process has spent on the run."""
        running = time.perf_counter() - self._started if self._started is not None else 0.0
        return {"seconds": max(running - self._aside, 0.0)}

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Leave what is done within the block out of what the run costs."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._aside += time.perf_counter() - began

    def history(self) -> list[dict[str, Any]]:
        """Return what a run tells of its epochs beside the result."""
        return []

    def start_clock(self) -> None:
        """Start counting seconds, unless they are counted already."""
        self._started = time.perf_counter() if self._started is None else self._started

    def spent(self) -> dict[str, float]:
        """Return what the run has cost in all processes, with what it had cost before it was resumed.

        Every process has to ask. Counts are summed; seconds are those of the slowest process.
        """
        costs = self.costs()
        if self.args.world_size > 1:
            own = torch.tensor([list(costs.values())], dtype=torch.float64, device=self.args.device)
            everyone = self.accelerator.gather(own)  # (processes, costs)
            costs = {
                name: float(values.max()) if name == "seconds" else int(values.sum())
                for name, values in zip(costs, everyone.unbind(1), strict=True)
            }
        return {name: value + self.spent_before.get(name, 0) for name, value in costs.items()}

    # How it is computed

    def step_plan(self) -> StepPlan:
        """Lay out this process's micro-batches of the whole run."""
        args = self.args
        return StepPlan(
            self.phases,
            epochs=args.num_train_epochs,
            rows_per_step=args.train_batch_size * args.gradient_accumulation_steps * args.world_size,
            micro_batches=args.gradient_accumulation_steps,
            rank=args.process_index,
            world_size=args.world_size,
            seed=self.data_seed,
        )

    @property
    def data_seed(self) -> int:
        """The seed of the order of rows and of what is drawn for them."""
        return self.args.data_seed if self.args.data_seed is not None else self.args.seed

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the loader of this process; the plan has split rows over processes already."""
        plan = self.step_plan()
        self.epoch_ends = plan.ends
        return PlannedLoader(
            self.train_dataset,  # type: ignore[arg-type]
            batch_sampler=plan,
            collate_fn=self.train_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory and torch.cuda.is_available(),
        )

    def train_collator(self, items: Sequence[Any]) -> dict[str, Any]:
        """Collate training rows."""
        batch: dict[str, Any] = self.data_collator(list(items))
        return batch

    def set_initial_training_values(self, args: TrainingArguments, dataloader: DataLoader[Any]) -> Any:
        """Count one long epoch where the plan's epochs differ in length."""
        if dataloader.batch_sampler.flat:  # type: ignore[union-attr]
            args = copy.copy(args)
            args.num_train_epochs = 1
        return super().set_initial_training_values(args, dataloader)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """Return the micro-batches of one optimizer step and its rows per stream, over all processes."""
        batches = list(itertools.islice(epoch_iterator, num_batches))
        forget = sum(int(batch["forget"].sum()) for batch in batches if "forget" in batch)
        rows = sum(len(batch["labels"]) for batch in batches)
        counts = torch.tensor([forget, rows], device=device)
        if self.args.world_size > 1:
            counts = self.accelerator.reduce(counts, "sum")
        forget, rows = (int(count) for count in counts)
        return batches, {"forget": forget, "retain": rows - forget, "all": rows}

    def _prepare_inputs(self, inputs: Any) -> dict[str, Any]:
        """Move a batch to the device, its labels where the logits predict them; spoil pictures that are to be told."""
        prepared = super()._prepare_inputs(inputs)
        model = self.accelerator.unwrap_model(self.model)
        if KEY in prepared:
            prepared = spoiled_for_training(model, prepared, seed=self.data_seed, step=self.state.global_step)
        return aligned(model, prepared)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a micro-batch, scaled so that summing over the step gives the exact mean."""
        if return_outputs:  # evaluation: the plain loss of the task, never an unlearning objective
            outputs = model(**model_inputs(inputs))
            return per_example_loss(outputs.logits, inputs["labels"]).mean(), {"logits": outputs.logits}
        loss = torch.zeros((), device=self.args.device)
        for place, term in enumerate(self.terms(model, inputs)):
            self._note(term.stream, term.values)
            mean = self.weighed(place, term).sum() / max(num_items_in_batch[term.stream], 1)
            loss = loss + term.weight * self.args.world_size * mean
        return loss

    def weighed(self, place: int, term: Term) -> torch.Tensor:
        """Return the values of one of the terms, ``(b,)``, as they count in the loss."""
        return term.values

    def forward_backward(self, model: Any, inputs: Any, num_items_in_batch: Any) -> torch.Tensor:
        """Run one micro-batch forward and backward, and return its loss."""
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        return loss

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Run one micro-batch and stop the run if its loss is not finite."""
        loss = self.forward_backward(model, inputs, num_items_in_batch)
        if self.accelerator.sync_gradients:
            loss = loss + self._add_penalty(self.accelerator.unwrap_model(model))
        if not torch.isfinite(loss):
            raise NonFiniteError(f"expected a finite loss, got {loss.item()} at step {self.state.global_step + 1}")
        if self.accelerator.sync_gradients:
            self.after_backward()
        return loss

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """Train, and check every weight at the end.

        Raises:
            NonFiniteError: If the loss or a weight became NaN or infinite.
        """
        self.start_clock()
        output = super().train(*args, **kwargs)
        check_finite(self.model)
        if self._adapts:
            self.model = self.model_wrapped = merged(self.model)
        return output

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log, beside the loss, the mean value of every term since the last log."""
        means = {f"loss_{name}": float(total) / max(self._rows[name], 1) for name, total in self._sums.items()}
        self._sums, self._rows = {}, {}
        super().log({**logs, **means}, *args, **kwargs)

    def _add_penalty(self, model: torch.nn.Module) -> torch.Tensor:
        """Add the penalty's gradient to the step's, and return its value."""
        penalty = self.penalty(model)
        if penalty is None:
            return torch.zeros((), device=self.args.device)
        # Apart from the loss: a backward pass would reach weights that the forward pass does not use, which data
        # parallelism does not wait for.
        weights = trainable(model)
        scale = self.accelerator.scaler.get_scale() if self.accelerator.scaler is not None else 1.0
        gradients = torch.autograd.grad(scale * penalty, weights, allow_unused=True)
        for weight, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:
                weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
        self._note("penalty", penalty.detach()[None])
        return penalty.detach()

    def _note(self, name: str, values: torch.Tensor) -> None:
        total = values.detach().sum()
        self._sums[name] = self._sums.get(name, torch.zeros_like(total)) + total
        self._rows[name] = self._rows.get(name, 0) + len(values)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        check_finite(self.model)
        with names_in_memory(self.accelerator.unwrap_model(self.model)):
            super()._save(output_dir, state_dict)
        if self._adapts and self.args.should_save:  # a checkpoint of adapters holds no statistics of BatchNorm
            save_file(dict(bare(self.model).named_buffers()), Path(output_dir or ".", BUFFERS))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self._adapts:
            kept = load_file(Path(resume_from_checkpoint, BUFFERS))
            for name, buffer in bare(self.model).named_buffers():
                buffer.copy_(kept[name])
