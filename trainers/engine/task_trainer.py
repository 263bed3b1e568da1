"""`TaskTrainer`: `transformers.Trainer` on per-example losses, with exact averaging and exact resume.

Letters: ``B`` rows of a batch, ``b`` some of them, ``K`` classes, ``T`` tokens, ``V`` words of the vocabulary.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import ProgressCallback
from transformers.trainer_utils import SaveStrategy, TrainOutput

from mubench.hub_builders.hub.training_card import Start, TrainingCard, UsedRows, listed
from mubench.hub_builders.utils.atomic import write_text
from mubench.hub_builders.utils.tables import code_span
from mubench.trainers.engine.augmentation import NUMBERS_PER_ROW, Transform
from mubench.trainers.engine.batches import RANDOM_NUMBERS, EpochDataLoader, StepBatchSampler, model_inputs
from mubench.trainers.engine.checkpointing import (
    AdapterBuffers,
    Checkpointed,
    keep_parameter_names,
    last_checkpoint,
    mark_complete,
)
from mubench.trainers.engine.distributed import leave_group_at_exit
from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.engine.losses import Term, per_example_loss, shift_labels
from mubench.trainers.engine.noise import KEY, add_training_noise
from mubench.trainers.engine.parameters import (
    add_adapters,
    check_finite,
    check_loaded,
    layers_to_adapt,
    merge_adapters,
    synchronize_batch_norm,
    trainable_weights,
)
from mubench.trainers.engine.rows import CPU, collate_rows
from mubench.trainers.engine.task_arguments import TaskArguments, stated_settings

_AUGMENT = zlib.crc32(b"augment")
# `TaskTrainer.check_every` on a GPU, where each check waits for the device.
CHECK_EVERY = 16


class TaskTrainer(Trainer):
    """Trains on per-example losses; base models use it as it is, unlearning methods subclass it.

    What differs from `transformers.Trainer`:

    - the loss is computed from the logits, one value per example, and averaged over the whole optimizer step: gradient
      accumulation and data parallelism change nothing but speed;
    - batches come from a `StepBatchSampler`, a pure function of ``(seed, epoch)``, so that a resumed run is the
      uninterrupted one;
    - where ``augment`` is on, ``transform`` changes the rows of training steps, and no others, by random numbers that
      are a pure function of the seed, the step and the row's place in the step;
    - checkpoints keep the parameter names in memory, since transformers does not restore renamed ones, and are marked
      as complete when everything is written;
    - a non-finite loss or weight raises `NonFiniteError`, and non-finite weights are never saved.

    Args:
        model: The model; it is changed in place.
        args: Training arguments.
        transform: Changes a batch by the random numbers of its rows, such as a modality's ``train_transform``; used
            where ``augment`` is on.
        **kwargs: Passed to `transformers.Trainer`.

    Raises:
        ValueError: If ``augment`` is on and there is no transform.

    Attributes:
        transform: The transform, where it is used.
        epoch_ends: Steps after which an epoch is over, where epochs differ in length.
        cost_before_resume: What the run had cost when the checkpoint was written that it resumes from.
        check_every: Micro-batches between two checks that losses are finite, beside those before anything is logged,
            saved or evaluated.
    """

    model: torch.nn.Module
    loss_is_scaled_for_ga = True

    # Hooks: what a subclass may override

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return the rows of each phase of an epoch, in order, shape ``(n,)``; they are shuffled within a phase.

        Rows that belong together, such as pairs, come as ``(n, m)``, and a batch counts them as one.
        """
        return [np.arange(len(self.train_dataset))]  # type: ignore[arg-type]

    def logits(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
        """Run a forward pass and return its logits, shape ``(B, K)`` or ``(B, T, V)``."""
        return model(**model_inputs(batch)).logits

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
        """Run after an epoch, where all epochs have one length, and return whether training ends here."""
        return False

    def check_adaptable(self) -> None:
        """Raise ``ValueError`` if it makes no sense to train adapters in place of weights."""

    def adapted_layers(self, model: torch.nn.Module, args: TaskArguments) -> Sequence[str]:
        """Return the names of the layers that get an adapter under LoRA."""
        return layers_to_adapt(model, args.lora_targets)

    def history(self) -> list[dict[str, Any]]:
        """Return the records of a run's epochs, which are kept beside its result."""
        return []

    @property
    def title(self) -> str:
        """What the progress bar says is running."""
        return "training"

    # Construction

    def __init__(
        self,
        model: torch.nn.Module,
        args: TrainingArguments | None = None,
        *,
        transform: Transform | None = None,
        **kwargs: Any,
    ) -> None:
        args = TaskArguments() if args is None else args
        model = synchronize_batch_norm(model, args)
        if isinstance(args, TaskArguments):
            check_loaded(model, args)
        self.uses_lora = False
        if isinstance(args, TaskArguments) and args.lora_rank is not None:
            self.uses_lora = True
            self.check_adaptable()
            model = add_adapters(model, args, args.seed, self.adapted_layers(model, args))
        super().__init__(model=model, args=args, **kwargs)
        augment = isinstance(args, TaskArguments) and args.augment
        if augment and transform is None:
            raise ValueError("expected transform= to augment training batches with, got none")
        self.transform = transform if augment else None
        self.epoch_ends: frozenset[int] = frozenset()
        self.cost_before_resume: dict[str, float] = {}
        self._start: float | None = None
        self._excluded_seconds = 0.0
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: dict[str, int] = {}
        self._unwrapped = (self.model, self.model)
        self._unchecked: list[tuple[int, torch.Tensor]] = []
        self.check_every = 1 if args.device.type == "cpu" else CHECK_EVERY
        leave_group_at_exit()
        self.remove_callback(PrinterCallback)  # it prints raw log lines where progress bars are off
        self.add_callback(_Events(self))

    # Data and batches

    @property
    def data_seed(self) -> int:
        """The seed of the order of rows and of their random numbers."""
        return self.args.data_seed if self.args.data_seed is not None else self.args.seed

    def batch_sampler(self) -> StepBatchSampler:
        """Return the micro-batches of this process over the whole run."""
        args = self.args
        return StepBatchSampler(
            self.phases,
            epochs=args.num_train_epochs,
            rows_per_step=args.train_batch_size * args.gradient_accumulation_steps * args.world_size,
            micro_batches=args.gradient_accumulation_steps,
            rank=args.process_index,
            world_size=args.world_size,
            seed=self.data_seed,
        )

    @property
    def batch_device(self) -> torch.device:
        """Where batches are made of rows that lie in one array: on the run's device, unless other processes do it."""
        return self.args.device if not self.args.dataloader_num_workers else CPU

    def train_collator(self, items: Sequence[Any]) -> dict[str, Any]:
        return collate_rows(items, self.data_collator, self.batch_device)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the loader of this process; the batch sampler has split rows over processes already."""
        sampler, workers = self.batch_sampler(), self.args.dataloader_num_workers
        self.epoch_ends = sampler.ends
        return EpochDataLoader(
            self.train_dataset,  # type: ignore[arg-type]
            batch_sampler=sampler,
            collate_fn=self.train_collator,
            num_workers=workers,
            # Without workers, pinning only adds a copy; and a batch may lie on the device already.
            pin_memory=self.args.dataloader_pin_memory and workers > 0 and torch.cuda.is_available(),
        )

    def set_initial_training_values(self, args: TrainingArguments, dataloader: DataLoader[Any]) -> Any:
        """Count one long epoch where epochs differ in length."""
        if dataloader.batch_sampler.flat:  # type: ignore[union-attr]
            args = copy.copy(args)
            args.num_train_epochs = 1
        return super().set_initial_training_values(args, dataloader)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """Return the micro-batches of one optimizer step, and its rows per split over all processes."""
        batches = list(itertools.islice(epoch_iterator, num_batches))
        if unlabelled := [sorted(batch) for batch in batches if "labels" not in batch]:
            raise ValueError(f"expected batches with labels, got {', '.join(unlabelled[0])}")
        sizes = [len(batch["labels"]) for batch in batches]
        forget = sum(int(batch["forget"].sum()) for batch in batches if "forget" in batch)
        rows = sum(sizes)
        if self.args.world_size > 1:
            forget, rows = self.accelerator.reduce(torch.tensor([forget, rows], device=device), "sum").tolist()
        if self.transform is not None:
            numbers = self._random_numbers(sizes, device)
            batches = [{**batch, RANDOM_NUMBERS: own} for batch, own in zip(batches, numbers, strict=True)]
        return batches, {"forget": forget, "retain": rows - forget, "all": rows}

    def _random_numbers(self, sizes: list[int], device: torch.device) -> list[torch.Tensor]:
        """Return the random numbers of each micro-batch, ``(b, NUMBERS_PER_ROW)``, given the number of its rows.

        A step's rows are shared out in order: micro-batch by micro-batch, and of each of these process by process.
        """
        all_sizes = torch.tensor([sizes])  # (processes, micro-batches)
        if self.args.world_size > 1:
            all_sizes = self.accelerator.gather(all_sizes.to(device))
        ends = all_sizes.T.flatten().cumsum(0).view(len(sizes), -1)[:, self.args.process_index].tolist()
        source = np.random.default_rng((self.data_seed, _AUGMENT, self.state.global_step))
        numbers = torch.from_numpy(source.random((ends[-1], NUMBERS_PER_ROW), dtype=np.float32))
        return [numbers[end - size : end] for size, end in zip(sizes, ends, strict=True)]

    def _prepare_inputs(self, inputs: Any) -> dict[str, Any]:
        """Move a batch to the device, augment rows with random numbers, add diffusion noise, and shift labels."""
        prepared: dict[str, Any] = super()._prepare_inputs(inputs)
        if self.transform is not None and RANDOM_NUMBERS in prepared:
            prepared = self.transform(prepared, prepared[RANDOM_NUMBERS])
        model = self.unwrapped(self.model)
        if KEY in prepared:
            prepared = add_training_noise(model, prepared, seed=self.data_seed, step=self.state.global_step)
        return shift_labels(model, prepared)

    def unwrapped(self, model: torch.nn.Module) -> torch.nn.Module:
        """Return the model within data parallelism and compilation, which takes a third of a millisecond to find."""
        if self._unwrapped[0] is not model:
            self._unwrapped = (model, self.accelerator.unwrap_model(model))
        return self._unwrapped[1]

    # Losses and steps

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Return the loss of a micro-batch, scaled so that summing over the step gives the exact mean."""
        if return_outputs:  # evaluation: the plain loss of the task, never an unlearning objective
            outputs = model(**model_inputs(inputs))
            return per_example_loss(outputs.logits, inputs["labels"]).mean(), {"logits": outputs.logits}
        loss = torch.zeros((), device=self.args.device)
        for position, term in enumerate(self.terms(model, inputs)):
            self.record_values(term.split, term.values)
            mean = self.weight_values(position, term).sum() / max(num_items_in_batch[term.split], 1)
            loss = loss + term.weight * self.args.world_size * mean
        return loss

    def weight_values(self, position: int, term: Term) -> torch.Tensor:
        """Return the values of the term at a position of `terms`, ``(b,)``, as they count in the loss."""
        return term.values

    def record_values(self, name: str, values: torch.Tensor) -> None:
        """Add values, ``(b,)``, to the mean that the next log reports as ``loss_<name>``."""
        total = values.detach().sum()
        self._sums[name] = self._sums.get(name, torch.zeros_like(total)) + total
        self._counts[name] = self._counts.get(name, 0) + len(values)

    def forward_backward(self, model: Any, inputs: Any, num_items_in_batch: Any) -> torch.Tensor:
        """Run one micro-batch forward and backward, and return its loss."""
        return super().training_step(model, inputs, num_items_in_batch)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Run one micro-batch; a loss that is not finite stops the run, on a GPU some steps later."""
        loss = self.forward_backward(model, inputs, num_items_in_batch)
        if self.accelerator.sync_gradients:
            loss = loss + self._add_penalty(self.unwrapped(model))
        self._unchecked.append((self.state.global_step + 1, loss.detach()))
        if len(self._unchecked) >= self.check_every:
            self.check_losses()
        if self.accelerator.sync_gradients:
            self.after_backward()
        return loss

    def check_losses(self) -> None:
        """Raise `NonFiniteError` if one of the losses since the last check is not finite."""
        unchecked, self._unchecked = self._unchecked, []
        if not unchecked:
            return
        losses = torch.stack([loss for _, loss in unchecked]).tolist()  # waits for the device
        for (step, _), loss in zip(unchecked, losses, strict=True):
            if not math.isfinite(loss):
                raise NonFiniteError(f"expected a finite loss, got {loss} at step {step}")

    def _add_penalty(self, model: torch.nn.Module) -> torch.Tensor:
        """Add the penalty's gradient to the step's, and return its value."""
        penalty = self.penalty(model)
        if penalty is None:
            return torch.zeros((), device=self.args.device)
        # Apart from the loss: a backward pass would reach weights that the forward pass does not use, which data
        # parallelism does not wait for.
        weights = trainable_weights(model)
        scale = self.accelerator.scaler.get_scale() if self.accelerator.scaler is not None else 1.0
        gradients = torch.autograd.grad(scale * penalty, weights, allow_unused=True)
        for weight, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:
                weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
        self.record_values("penalty", penalty.detach()[None])
        return penalty.detach()

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Log, beside the loss, the mean value of every term since the last log."""
        self.check_losses()
        means = {f"loss_{name}": float(total) / max(self._counts[name], 1) for name, total in self._sums.items()}
        self._sums, self._counts = {}, {}
        super().log({**logs, **means}, *args, **kwargs)

    # Checkpoints

    def checkpoint_states(self) -> list[Checkpointed]:
        """Return what a checkpoint holds beside weights, optimizer and schedule."""
        return [AdapterBuffers(self.model)] if self.uses_lora else []

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        self.check_losses()
        check_finite(self.model)
        with keep_parameter_names(self.accelerator.unwrap_model(self.model)):
            super()._save(output_dir, state_dict)

    def complete_checkpoint(self) -> None:
        """Write what `transformers.Trainer` leaves out of the checkpoint of this step, and mark it as complete."""
        cost = self.total_cost()  # gathers over processes, so that the mark comes after what each of them writes
        if self.is_world_process_zero():
            folder = Path(self.args.output_dir or ".", f"checkpoint-{self.state.global_step}")
            for state in self.checkpoint_states():
                state.save(folder)
            mark_complete(folder, cost)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        for state in self.checkpoint_states():
            state.load(Path(resume_from_checkpoint))

    # Card

    def used_rows(self) -> dict[str, Any]:
        """Return the rows that the card lists, by what they are for."""
        return {} if self.train_dataset is None else {"train": self.train_dataset}

    def card_facts(self) -> dict[str, Any]:
        """Return the fields of `TrainingCard` that are known of this run, beside those of every run."""
        return {}

    def create_model_card(  # noqa: PLR0917  (those of transformers)
        self,
        language: str | None = None,
        license: str | None = None,
        tags: str | list[str] | None = None,
        model_name: str | None = None,
        finetuned_from: str | None = None,
        tasks: str | list[str] | None = None,
        dataset_tags: str | list[str] | None = None,
        dataset: str | list[str] | None = None,
        dataset_args: str | list[str] | None = None,
    ) -> None:
        """Write what is known of the run as ``README.md`` into ``output_dir``; `push_to_hub` calls this.

        The arguments are those of `transformers.Trainer`. Of rows that `datasets` has loaded the card states
        their dataset, config and split; of others ``dataset`` (by default ``dataset_tags``, a Hub id) and
        ``dataset_args``.
        """
        if not self.is_world_process_zero():
            return
        folder = Path(self.args.output_dir or ".")
        name, ids = model_name or folder.resolve().name, listed(dataset_tags)
        configs = [f"config {code_span(one)}" for one in listed(dataset_args)]
        stated = ", ".join([*map(code_span, listed(dataset) or ids), *configs])
        metadata = {"language": language, "license": license, "tags": listed(tags), "datasets": ids}
        card = TrainingCard(
            name=name,
            repository=self.hub_model_id or name,
            model=type(self.accelerator.unwrap_model(self.model)),
            start=Start.of(getattr(self.model, "config", None), finetuned_from),
            rows=[UsedRows.of(split, rows, ids, stated) for split, rows in self.used_rows().items()],
            settings=stated_settings(self.args),
            metadata={**metadata, "pipeline_tag": next(iter(listed(tasks)), None)},
            **self.card_facts(),
        )
        write_text(folder / "README.md", card.markdown())

    # Costs

    def start_clock(self) -> None:
        """Start counting seconds, unless they are counted already."""
        self._start = time.perf_counter() if self._start is None else self._start

    @contextlib.contextmanager
    def exclude_from_cost(self) -> Iterator[None]:
        """Leave what is done within the block out of what the run costs."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._excluded_seconds += time.perf_counter() - start

    def process_cost(self) -> dict[str, float]:
        """Return what this process has spent on the run since it was started or resumed."""
        seconds = time.perf_counter() - self._start if self._start is not None else 0.0
        return {"seconds": max(seconds - self._excluded_seconds, 0.0)}

    def total_cost(self) -> dict[str, float]:
        """Return what the run has cost in all processes, with what it had cost before it was resumed.

        Every process has to call this. Counts are summed; seconds are those of the slowest process.
        """
        cost = self.process_cost()
        if self.args.world_size > 1:
            own = torch.tensor([list(cost.values())], dtype=torch.float64, device=self.args.device)
            gathered = self.accelerator.gather(own)  # (processes, costs)
            cost = {
                name: float(values.max()) if name == "seconds" else int(values.sum())
                for name, values in zip(cost, gathered.unbind(1), strict=True)
            }
        return {name: value + self.cost_before_resume.get(name, 0) for name, value in cost.items()}

    # Training

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> TrainOutput:
        """Train, check every weight at the end, and merge adapters into the weights.

        Args:
            resume_from_checkpoint: As in `transformers.Trainer`; ``True`` takes the newest checkpoint in
                ``output_dir`` that was written to its end. The model given is the one that the run started with.
            *args: As in `transformers.Trainer`.
            **kwargs: As in `transformers.Trainer`.

        Raises:
            NonFiniteError: If the loss or a weight became NaN or infinite.
            ValueError: If there is no whole checkpoint to resume from.
        """
        self.start_clock()
        if resume_from_checkpoint is True:
            folder = Path(self.args.output_dir or ".")
            if (found := last_checkpoint(folder)) is None:
                raise ValueError(f"expected a whole checkpoint in {folder} to resume from, got none")
            resume_from_checkpoint = str(found)
        output = super().train(resume_from_checkpoint, *args, **kwargs)
        self.check_losses()
        check_finite(self.model)
        if self.uses_lora:
            self.model = self.model_wrapped = merge_adapters(self.model)
        return output


class _Events(TrainerCallback):
    """Calls a trainer's hooks, names its progress bar and completes its checkpoints."""

    def __init__(self, trainer: TaskTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        for one in self.trainer.callback_handler.callbacks:
            if isinstance(one, ProgressCallback) and one.training_bar is not None:
                one.training_bar.set_description(self.trainer.title)

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        self.trainer.after_step()

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        # Where epochs differ in length transformers counts a single one, at whose end alone it would save.
        if state.global_step in self.trainer.epoch_ends:
            self.trainer.check_losses()  # before anything evaluates the model
            if args.save_strategy == SaveStrategy.EPOCH:
                control.should_save = True

    def on_epoch_end(self, args: TrainingArguments, state: Any, control: Any, **_: Any) -> None:
        self.trainer.check_losses()
        if self.trainer.after_epoch():
            control.should_training_stop = True

    def on_save(self, *_: Any, **__: Any) -> None:
        self.trainer.complete_checkpoint()
