"""`UnlearningTrainer`: the contract between a method and everything around it.

Letters: ``B`` rows of a batch, ``b`` some of them, ``K`` classes, ``T`` tokens, ``V`` words of the vocabulary, ``D``
features, ``N`` rows of a dataset.
"""

from __future__ import annotations

import contextlib
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset
from transformers.trainer_utils import TrainOutput

from mubench.hub_builders.tasks import Kind
from mubench.trainers.addons import sophia
from mubench.trainers.addons.superloss import SuperLoss
from mubench.trainers.engine.batches import select_rows
from mubench.trainers.engine.checkpointing import Checkpointed
from mubench.trainers.engine.distributed import all_gather
from mubench.trainers.engine.losses import Term
from mubench.trainers.engine.paper import Paper
from mubench.trainers.engine.parameters import check_finite, uses_batch_statistics
from mubench.trainers.engine.rows import drop_unused_columns
from mubench.trainers.engine.task_trainer import TaskTrainer
from mubench.trainers.unlearning.epoch_evaluation import (
    EpochEvaluationCallback,
    OutputFunction,
    SelectionScore,
    trainer_output_function,
)
from mubench.trainers.unlearning.forget_retain import SPLITS, ForgetRetain, collate_with_split, pair_rows
from mubench.trainers.unlearning.judgement_facts import judgement_facts
from mubench.trainers.unlearning.split_gradients import SplitGradients
from mubench.trainers.unlearning.teachers import TeacherCache, frozen_copy
from mubench.trainers.unlearning.unlearning_arguments import UnlearningArguments, check_epochs, enabled_addons

if TYPE_CHECKING:
    from mubench.trainers.evaluation.judge import Judgement
    from mubench.trainers.evaluation.result import Result
    from mubench.trainers.unlearning.cost_counter import CostCounter

__all__ = ["Paper", "Term", "UnlearningArguments", "UnlearningTrainer"]


def _drop_unused(data: Any, model: torch.nn.Module) -> Any:
    """Return rows, or rows by name, without columns that the model does not take."""
    if isinstance(data, Mapping):
        return {name: drop_unused_columns(rows, model) for name, rows in data.items()}
    return drop_unused_columns(data, model)


class UnlearningTrainer(TaskTrainer):
    """Changes a trained model so that it forgets some of its training rows.

    A method is a subclass with the class attributes below and some of these hooks, nothing else: `prepare` (once, at
    the original weights), `phases` (rows of an epoch), `logits` (the forward pass), `terms` (the loss), `penalty`,
    `edit` (one-shot weight edits instead of training), `after_backward`, `after_step`, `after_epoch` and `finish`
    (after training). Weights that `prepare` freezes can be trained again afterwards.

    Teachers are frozen models outside the student's module tree. `teacher_logits` and `teacher_nll` run each on a row
    once per run, resumed runs included; where rows are augmented, on every augmented row.

    Losses of sequences are means of row means: every row counts the same, however long its answer. `transformers`,
    TOFU and open-unlearning average over all answer tokens of a batch, so that long answers weigh more, and learning
    rates and coefficients that were chosen there do not carry over.

    Args:
        model: The trained model; it is changed in place.
        args: Arguments of the method's own class.
        train_dataset: ``{"forget": rows, "retain": rows}``; rows are model-ready dicts with ``labels``. Columns that
            the model's forward pass does not name are dropped, as by `transformers.Trainer`.
        eval_dataset: As in `transformers.Trainer`; evaluation reports the plain loss of the task. Methods that need
            validation rows take those called ``"validation"``, or all of them if they have no names.
        teacher: A model to distil from in place of a frozen copy of ``model``; methods without a teacher refuse it.
        **kwargs: Passed to `TaskTrainer`: ``data_collator``, which sees no column that the rows do not have,
            ``processing_class``, by which methods that perturb pixels know their normalisation, ``transform`` and all
            else.

    Raises:
        ValueError: If a split or the validation rows that the method needs are missing or empty, or if an option has
            no place in the method.

    Attributes:
        paper: Where the method was published.
        kinds: Kinds of task that it is defined for.
        adapted_kinds: Those of them to which it is adapted, being made for others.
        families: Backbone families that it is made for; ``None`` for all.
        arguments: The dataclass of its arguments.
        like: Key of the method whose default arguments it takes where it has none of its own.
        splits: The splits that it needs, of ``"forget"`` and ``"retain"``.
        needs_validation: Whether it reads validation rows, which the model never saw.
        needs_prompts: Whether it trains other answers to prompts, which texts without prompts do not have.
        whole_classes: Whether it forgets whole classes only.
        from_scratch: Whether it starts from a fresh model.
        is_control: Whether it is a control, which is never ranked.
        paired: Whether an epoch is one pass over the forget set, each example paired with a sampled retain example; a
            batch size then counts pairs.
        uses_teacher: Whether it takes a ``teacher``, by default a frozen copy of the base model called ``"original"``.
        teacher_splits: By teacher, the splits on whose rows it runs, on each for one kind of output; where no row ever
            changes, a teacher that is listed is dropped once the outputs of all of them are cached.
        per_weight: Whether it works on weights or blocks themselves, where LoRA has no place.
        coupled: Whether the loss of a row depends on other rows, so that a curriculum cannot weight it.
        forget_rows: Positions of the forget rows in ``self.train_dataset``, shape ``(n_f,)``.
        retain_rows: Positions of the retain rows, shape ``(n_r,)``.
        validation: Validation rows.
        teachers: Frozen models by name, made by `prepare`.
        teacher_cache: Outputs of the teachers by row.
        inner: A trainer of another method that `prepare` runs on the same model; its teachers are counted too.
        curriculum: Weights rows by their loss, where ``curriculum`` is on.
        split_gradients: Runs forget and retain rows apart, where an addon needs it.
        cost_counter: Counts examples forward and backward, if one is attached.
        vectorized_rows: Rows that one row of a forward pass represents under `torch.func.vmap`; 1 otherwise.
        output_function: Computes the outputs that are evaluated after every epoch; ``None`` for those of the trainer's
            own rows, whose labels are classes or tokens.
        encode_answer: Returns the tokens of an answer of the method's own, its end token among them, as they follow a
            prompt; ``None`` for a space, the answer and the end token of ``processing_class``.
        encode_prompt: Returns the tokens of a prompt of the method's own, up to where the model writes; ``None`` for
            those of the text itself.
        validation_score: Scores an epoch beside retrained models, for ``keep oracle``.
        epoch_evaluation: Evaluates after every epoch, where an argument asks for it and training has begun.
        judgement: What `judge` has found, for the card; ``push_to_hub(judgement=found)`` sets it.
    """

    paper: ClassVar[Paper]
    kinds: ClassVar[tuple[Kind, ...]]
    adapted_kinds: ClassVar[tuple[Kind, ...]] = ()
    families: ClassVar[tuple[str, ...] | None] = None
    arguments: ClassVar[type[UnlearningArguments]] = UnlearningArguments
    like: ClassVar[str | None] = None
    splits: ClassVar[tuple[str, ...]] = SPLITS
    needs_validation: ClassVar[bool] = False
    needs_prompts: ClassVar[bool] = False
    whole_classes: ClassVar[bool] = False
    from_scratch: ClassVar[bool] = False
    is_control: ClassVar[bool] = False
    paired: ClassVar[bool] = False
    uses_teacher: ClassVar[bool] = False
    teacher_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    per_weight: ClassVar[bool] = False
    coupled: ClassVar[bool] = False
    encode_answer: Callable[[str], list[int]] | None = None
    encode_prompt: Callable[[str], list[int]] | None = None
    vectorized_rows: int = 1
    args: UnlearningArguments
    train_dataset: ForgetRetain
    teachers: dict[str, torch.nn.Module]

    # Hooks: what a method may override, beside those of `TaskTrainer`

    def prepare(self) -> None:
        """Make what the method derives from the original weights: teachers, labels, masks."""
        if self.uses_teacher:
            self.teachers = {"original": self.frozen_original()}

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase: pairs, or the rows of every split the method needs."""
        if self.paired:
            return [pair_rows(self.forget_rows, self.retain_rows, self.generator(f"pairs {epoch}"))]
        rows = {"forget": self.forget_rows, "retain": self.retain_rows}
        return [np.concatenate([rows[split] for split in self.splits])]

    def edit(self, model: torch.nn.Module) -> None:
        """Edit the weights once, in place; a method that overrides this is not trained."""

    def finish(self, model: torch.nn.Module) -> None:
        """Change the weights once more, in place, after they have been trained."""

    @classmethod
    def edits(cls) -> bool:
        """Whether weights are edited once in place of training."""
        return cls.edit is not UnlearningTrainer.edit

    @classmethod
    def changes_once(cls) -> bool:
        """Whether weights are changed outside training, so that no epoch's model is the result."""
        return cls.edits() or cls.finish is not UnlearningTrainer.finish

    # Construction

    def __init__(
        self,
        model: torch.nn.Module,
        args: UnlearningArguments | None = None,
        *,
        train_dataset: Mapping[str, Any],
        eval_dataset: Any = None,
        teacher: torch.nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        args = args if args is not None else self.arguments()
        if not isinstance(args, self.arguments):
            raise ValueError(f"expected args of {self.arguments.__name__}, got {type(args).__name__}")  # noqa: TRY004
        check_epochs(type(self), args)
        if teacher is not None and not self.uses_teacher:
            raise ValueError(f"{type(self).__name__} has no teacher, got one")
        is_by_split = isinstance(train_dataset, Mapping)  # else it is refused here
        rows = ForgetRetain(_drop_unused(train_dataset, model) if is_by_split else train_dataset)
        eval_dataset = _drop_unused(eval_dataset, model)
        self.forget_rows, self.retain_rows = rows.forget_rows, rows.retain_rows
        self.validation = eval_dataset.get("validation") if isinstance(eval_dataset, Mapping) else eval_dataset
        self.check_rows()
        if args.optim == sophia.NAME:
            kwargs["optimizer_cls_and_kwargs"] = sophia.sophia(args)
        super().__init__(model, args, train_dataset=rows, eval_dataset=eval_dataset, **kwargs)
        self.check_addons()
        self.teacher = teacher
        self.teachers = {}
        self.teacher_cache = TeacherCache(on=args.remember and self.transform is None, device=args.device)
        self._rows_of_teacher: dict[str, torch.Tensor] = {}
        self._passes_before: dict[str, int] = {}
        self.inner: UnlearningTrainer | None = None
        self.curriculum = SuperLoss(args.curriculum_lambda) if args.curriculum else None
        split = any(addon.splits_gradients for addon in enabled_addons(args))
        self.split_gradients = SplitGradients(self, super().forward_backward) if split else None
        self.cost_counter: CostCounter | None = None
        self.output_function: OutputFunction | None = None
        self.validation_score: SelectionScore | None = None
        self.epoch_evaluation: EpochEvaluationCallback | None = None
        self.judgement: Judgement | Result | None = None

    def check_rows(self) -> None:
        """Raise ``ValueError`` if a split or the validation rows that the method needs are missing or empty."""
        sizes = {"forget": len(self.forget_rows), "retain": len(self.retain_rows)}
        if not all(sizes[split] for split in self.splits):
            got = ", ".join(f"{count} {split}" for split, count in sizes.items())
            raise ValueError(f"{type(self).__name__} needs {' and '.join(self.splits)} rows, got {got} rows")
        if self.needs_validation and not (self.validation is not None and len(self.validation)):
            raise ValueError(f"{type(self).__name__} needs validation rows in eval_dataset, got none")

    def check_adaptable(self) -> None:
        if self.per_weight or self.edits():
            raise ValueError(
                f"expected no lora_rank, since {type(self).__name__} works on weights or blocks themselves; got one"
            )

    def check_addons(self) -> None:
        """Raise ``ValueError`` if addons or augment come without training, or a curriculum where rows interact."""
        on = [*(addon.switch for addon in enabled_addons(self.args)), *(["augment"] if self.args.augment else [])]
        names, method = ", ".join(on), type(self).__name__
        if names and self.edits():
            raise ValueError(f"expected no {names}, since {method} edits weights and trains none; got it")
        if self.args.curriculum and self.coupled:
            raise ValueError(f"expected no curriculum, since the rows of {method} weigh each other; got one")

    # Data and teachers

    def generator(self, purpose: str) -> np.random.Generator:
        """Return a generator of its own for one purpose, seeded by the run's seed; global state is not touched."""
        return np.random.default_rng((self.args.seed, zlib.crc32(purpose.encode())))

    def train_collator(self, items: Sequence[Any]) -> dict[str, Any]:
        """Collate rows and add their index and split, and the hash of their content where teachers are cached."""
        return collate_with_split(
            items,
            self.data_collator,
            hashes=bool(self.teachers) and self.teacher_cache.on,
            fixed=self.train_dataset.fixed,
            device=self.batch_device,
        )

    def batches(
        self, dataset: Any, rows: np.ndarray | None = None, size: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield batches as `terms` gets them, in order; nothing random is touched.

        Args:
            dataset: Items of row, index and whether the row is a forget row, such as ``self.train_dataset``.
            rows: Positions of those to go through; ``None`` takes all.
            size: Rows of a batch; ``None`` takes training's.
        """
        for batch in DataLoader(
            dataset if rows is None else Subset(dataset, rows.tolist()),
            batch_size=size or self.args.train_batch_size,
            collate_fn=self.train_collator,
            generator=torch.Generator(),  # its own, or iterating would move the global random state
        ):
            yield self._prepare_inputs(batch)

    def frozen_original(self) -> torch.nn.Module:
        """Return a frozen copy of the model as it is now, or of the given teacher, on the run's device."""
        return frozen_copy(self.model if self.teacher is None else self.teacher).to(self.args.device)

    def logits_of_splits(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> torch.Tensor:
        """Return the logits of a batch, shape ``(B, K)`` or ``(B, T, V)``, as if its splits were batches of their own.

        Where BatchNorm takes its statistics from the batch, retain rows go through the model first, and forget rows
        after them; elsewhere rows do not depend on each other, and all go through it at once.
        """
        forget = batch["forget"]
        if forget.all() or not forget.any() or not uses_batch_statistics(model):
            return self.logits(model, batch)
        retain_logits, forget_logits = (self.logits(model, select_rows(batch, rows)) for rows in (~forget, forget))
        logits = retain_logits.new_empty(len(forget), *retain_logits.shape[1:])
        logits[~forget], logits[forget] = retain_logits, forget_logits
        return logits

    def teacher_logits(self, teacher: str, batch: Mapping[str, Any], rows: torch.Tensor | None = None) -> torch.Tensor:
        """Return a teacher's logits for a batch, or for some of its rows, from the cache where it holds them.

        Args:
            teacher: Key of ``self.teachers``.
            batch: A collated batch of ``B`` rows.
            rows: Which rows, bool, shape ``(B,)``; ``None`` for all.

        Returns:
            Logits, shape ``(b, K)`` or ``(b, T, V)``; of the latter those at answer tokens are valid.
        """
        with self.accelerator.autocast():
            logits = self.teacher_cache.logits(self.teachers[teacher], batch, rows)
        self._drop_known_teacher(teacher)
        return logits

    def teacher_nll(self, teacher: str, batch: Mapping[str, Any], rows: torch.Tensor | None = None) -> torch.Tensor:
        """Return ``-log p(y)`` of whole answers under a teacher, shape ``(b,)``; arguments as in `teacher_logits`."""
        with self.accelerator.autocast():
            losses = self.teacher_cache.nll(self.teachers[teacher], batch, rows)
        self._drop_known_teacher(teacher)
        return losses

    def _teacher_rows(self, teacher: str) -> torch.Tensor:
        """Return the rows of its splits that training gives to a teacher, each once, ``(n,)``."""
        epochs = range(max(math.ceil(self.args.num_train_epochs), int(self.state.num_train_epochs)))
        rows = np.concatenate([part.ravel() for epoch in epochs for part in self.phases(epoch)])
        splits = {"forget": self.forget_rows, "retain": self.retain_rows}
        own = np.concatenate([splits[split] for split in self.teacher_splits[teacher]])
        return torch.from_numpy(np.intersect1d(rows, own)).to(self.args.device)

    def _drop_known_teacher(self, name: str) -> None:
        """Drop a teacher once the outputs of all its rows are known, where rows never change."""
        passes = self.teacher_cache.passes
        droppable = name in self.teacher_splits and self.train_dataset.fixed and self.is_in_train
        if not droppable or self._passes_before.get(name) == passes:
            return
        self._passes_before[name] = passes
        if name not in self._rows_of_teacher:
            self._rows_of_teacher[name] = self._teacher_rows(name)
        self.teachers[name] = self.teacher_cache.drop_if_known(self.teachers[name], self._rows_of_teacher[name])

    # Losses and steps under addons

    def forward_backward(self, model: Any, inputs: Any, num_items_in_batch: Any) -> torch.Tensor:
        """Run one micro-batch forward and backward, forget and retain rows apart where an addon needs it."""
        if self.split_gradients is None:
            loss = super().forward_backward(model, inputs, num_items_in_batch)
        else:
            loss = self.split_gradients.accumulate(model, inputs, num_items_in_batch)
        addons = self.split_gradients is not None or self.curriculum is not None
        if addons and self.accelerator.sync_gradients and torch.isfinite(loss):
            if self.split_gradients is not None:
                self.split_gradients.finish(model, num_items_in_batch)
            if self.curriculum is not None:
                self.curriculum.advance(all_gather)
        return loss

    @property
    def _repeats_pass(self) -> bool:
        """Whether the forward pass repeats an earlier one of the step, whose values are recorded already."""
        return self.split_gradients is not None and self.split_gradients.repeats_pass

    def weight_values(self, position: int, term: Term) -> torch.Tensor:
        if self.curriculum is None:
            return term.values
        return self.curriculum.weigh(position, term, note=not self._repeats_pass)

    def record_values(self, name: str, values: torch.Tensor) -> None:
        """Add values to the mean that the next log reports, once per step."""
        if not self._repeats_pass:
            super().record_values(name, values)

    # Checkpoints, costs and history

    def checkpoint_states(self) -> list[Checkpointed]:
        found: list[Checkpointed] = [*super().checkpoint_states(), self.teacher_cache]
        if self.curriculum is not None:
            found.append(self.curriculum)
        if self.split_gradients is not None and self.args.dual_optim:
            found.append(self.split_gradients.forget_optimizer)
        return found

    def process_cost(self) -> dict[str, float]:
        return {**super().process_cost(), **(self.cost_counter.counts() if self.cost_counter else {})}

    @contextlib.contextmanager
    def exclude_from_cost(self) -> Iterator[None]:
        counting = self.cost_counter.pause() if self.cost_counter else contextlib.nullcontext()
        with super().exclude_from_cost(), counting:
            yield

    def history(self) -> list[dict[str, Any]]:
        return self.epoch_evaluation.history() if self.epoch_evaluation else []

    # Card

    def used_rows(self) -> dict[str, Any]:
        return {"forget": self.train_dataset.forget, "retain": self.train_dataset.retain}

    @property
    def is_custom(self) -> bool:
        """Whether this is a custom method."""
        return type(self).__module__.rpartition(".")[0] != "mubench.trainers.methods"

    @property
    def title(self) -> str:
        return type(self).__name__ if self.is_custom else type(self).__module__.rpartition(".")[2]

    def card_facts(self) -> dict[str, Any]:
        paper = getattr(self, "paper", None)
        return {
            "method": self.title,
            "is_custom": self.is_custom,
            "starts_fresh": self.from_scratch,
            "paper": paper.citation if paper else None,
            "addons": [addon.paper.citation for addon in enabled_addons(self.args)],
            **(judgement_facts(self.judgement) if self.judgement else {}),
        }

    def create_model_card(self, *args: Any, judgement: Judgement | Result | None = None, **kwargs: Any) -> None:
        """Write what is known of the run as ``README.md`` into ``output_dir``; `push_to_hub` calls this.

        Args:
            *args: As in `transformers.Trainer`.
            judgement: What `judge` has found, or a result row, for this card and later ones.
            **kwargs: As in `transformers.Trainer`.
        """
        self.judgement = judgement or self.judgement
        super().create_model_card(*args, **kwargs)

    # Training

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """Prepare at the original weights, then train, or edit the weights once.

        Raises:
            NonFiniteError: If the loss or a weight became NaN or infinite.
        """
        self.start_clock()
        if self.args.evaluates_epochs and self.epoch_evaluation is None:
            output_function = self.output_function or trainer_output_function(self)
            self.epoch_evaluation = EpochEvaluationCallback(self, output_function, self.validation_score)
            self.add_callback(self.epoch_evaluation)
        trained = [weight for weight in self.model.parameters() if weight.requires_grad]
        output = TrainOutput(global_step=0, training_loss=0.0, metrics={})
        try:
            self.prepare()
            if self.split_gradients is not None:
                self.split_gradients.check()
            if self.edits():
                self.edit(self.model)
            else:
                output = super().train(*args, **kwargs)
                self.finish(self.model)
        finally:
            for weight in trained:
                weight.requires_grad_(True)
        check_finite(self.model)
        return output
