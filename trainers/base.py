"""`UnlearningTrainer`: the contract between a method and everything around it.

Letters: ``B`` rows of a batch, ``K`` classes, ``T`` tokens, ``D`` features, ``N`` rows of a dataset.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset
from transformers.trainer_utils import TrainOutput
from transformers.training_args import OptimizerNames

from mubench.hub_builders.arguments import TaskArguments
from mubench.hub_builders.processes import of_all
from mubench.hub_builders.tasks import Kind
from mubench.hub_builders.terms import Term, check_finite
from mubench.hub_builders.training import TaskTrainer
from mubench.trainers.epochs import EpochArguments, Epochs, check_epochs
from mubench.trainers.pairs import STREAMS, ForgetRetain, collate_sides
from mubench.trainers.papers import Paper
from mubench.trainers.recall import Memory
from mubench.trainers.sides import Sides
from mubench.trainers.teachers import frozen_copy
from mubench.trainers.views import Look, plain_look
from mubench.trainers.wrappers import WrapperArguments, sophia, wrappers_on
from mubench.trainers.wrappers.superloss import SuperLoss

if TYPE_CHECKING:
    from mubench.trainers.counter import Counter

__all__ = ["CLASSIFICATION", "DRAWING", "WRITING", "Paper", "Term", "UnlearningArguments", "UnlearningTrainer"]

CLASSIFICATION: tuple[Kind, ...] = (
    "image_classification", "text_classification", "image_pair_classification", "audio_classification",
    "video_classification",
)  # fmt: skip
WRITING: tuple[Kind, ...] = ("summarization", "text_generation")
DRAWING: tuple[Kind, ...] = ("text_to_image",)


@dataclass
class UnlearningArguments(WrapperArguments, EpochArguments, TaskArguments):
    """Arguments every method takes; a method's own dataclass adds its hyper-parameters."""

    # A plain word: of transformers' own type the command line would take none but its own optimizers.
    optim: str = field(
        default=str(TaskArguments.optim), metadata={"help": "Optimizer: one that transformers knows, or sophia."}
    )
    remember: bool = field(
        default=True, metadata={"help": "Ask frozen teachers about a row once; turn off if the collator is random."}
    )

    def __post_init__(self) -> None:
        """Refuse options without a meaning."""
        ours = self.optim == sophia.NAME
        self.optim = OptimizerNames.SGD if ours else self.optim  # transformers knows no Sophia
        super().__post_init__()
        self.optim = sophia.NAME if ours else self.optim
        self.check_wrappers()
        self.check_keep()


class UnlearningTrainer(TaskTrainer):
    """Changes a trained model so that it forgets some of its training rows.

    A method is a subclass with a ``paper``, the ``kinds`` of task it is defined for (and those of them to which it is
    ``adapted``, being made for others), an ``arguments`` dataclass, the
    ``streams`` it needs, ``needs_validation`` where it reads rows that the model never saw, ``from_scratch`` where it
    starts from a fresh model, ``is_control`` where it is never ranked, ``per_weight`` where it works on
    weights or blocks themselves and LoRA has no place, and some of these hooks, nothing else:
    `prepare` (once, at the original weights), `phases` (rows of an epoch), `logits` (the forward pass), `terms` (the
    loss), `penalty`, `edit` (one-shot weight edits instead of training), `after_backward`, `after_step`,
    `after_epoch` and `finish` (after training). Weights that `prepare` freezes can be trained again afterwards. Where
    a kind of task is not all it takes, ``families`` names the backbone families that a method is made for, and
    ``whole_classes`` says that it forgets whole classes only.

    Args:
        model: The trained model; it is changed in place.
        args: Arguments of the method's own class.
        train_dataset: ``{"forget": rows, "retain": rows}``; rows are model-ready dicts with ``labels``.
        eval_dataset: As in `transformers.Trainer`; evaluation reports the plain loss of the task. Methods that need
            validation rows take those called ``"validation"``, or all of them if they have no names.
        teacher: A model to distil from in place of a frozen copy of ``model``; methods without a teacher refuse it.
        data_collator: Collates rows; sees no column that the rows do not have.
        processing_class: Saved beside the model; tells methods that perturb pixels how those were normalised.
        **kwargs: Passed to `transformers.Trainer`.

    Raises:
        ValueError: If a side or the validation rows that the method needs are missing or empty.

    Attributes:
        forget_rows: Positions of the forget rows in ``self.train_dataset``, shape ``(n_f,)``.
        retain_rows: Positions of the retain rows, shape ``(n_r,)``.
        validation: Validation rows, where the method needs them.
        counter: Counts examples forward and backward, if one is attached.
        teachers: Frozen models by name, made by `prepare`; kept here, outside the student's module tree.
        memory: What the teachers have said, see `ask`.
        look: What is looked at after every epoch; ``None`` for the trainer's own rows, of classes or tokens.
        inner: A trainer of another method that `prepare` sets to work on the same model; its teachers are counted too.
        curriculum: Weighs rows by their loss, if asked for.
        sides: Runs forget and retain rows apart, if a wrapper needs it.
    """

    paper: ClassVar[Paper]
    kinds: ClassVar[tuple[Kind, ...]]
    adapted: ClassVar[tuple[Kind, ...]] = ()
    arguments: ClassVar[type[UnlearningArguments]] = UnlearningArguments
    streams: ClassVar[tuple[str, ...]] = STREAMS
    uses_teacher: ClassVar[bool] = False
    needs_validation: ClassVar[bool] = False
    from_scratch: ClassVar[bool] = False
    is_control: ClassVar[bool] = False
    coupled: ClassVar[bool] = False
    families: ClassVar[tuple[str, ...] | None] = None
    whole_classes: ClassVar[bool] = False
    args: UnlearningArguments
    per_weight: ClassVar[bool] = False
    train_dataset: ForgetRetain

    def __init__(
        self,
        model: torch.nn.Module,
        args: UnlearningArguments | None = None,
        *,
        train_dataset: Mapping[str, Any],
        eval_dataset: Any = None,
        teacher: torch.nn.Module | None = None,
        data_collator: Any = None,
        processing_class: Any = None,
        **kwargs: Any,
    ) -> None:
        rows = ForgetRetain(train_dataset)
        sizes = {"forget": len(rows.forget_rows), "retain": len(rows.retain_rows)}
        if not all(sizes[stream] for stream in self.streams):
            got = ", ".join(f"{count} {side}" for side, count in sizes.items())
            raise ValueError(f"{type(self).__name__} needs {' and '.join(self.streams)} rows, got {got} rows")
        validation = eval_dataset.get("validation") if isinstance(eval_dataset, Mapping) else eval_dataset
        if self.needs_validation and not (validation is not None and len(validation)):
            raise ValueError(f"{type(self).__name__} needs validation rows in eval_dataset, got none")
        if teacher is not None and not self.uses_teacher:
            raise ValueError(f"{type(self).__name__} has no teacher, got one")
        args = args if args is not None else self.arguments()
        if getattr(args, "optim", None) == sophia.NAME:
            kwargs["optimizer_cls_and_kwargs"] = sophia.sophia(args)
        super().__init__(
            model=model,
            args=args,
            train_dataset=rows,
            eval_dataset=eval_dataset,
            data_collator=data_collator,
            processing_class=processing_class,
            **kwargs,
        )
        if not isinstance(self.args, self.arguments):
            raise ValueError(f"expected args of {self.arguments.__name__}, got {type(self.args).__name__}")  # noqa: TRY004
        check_epochs(type(self), self.args)
        self.forget_rows, self.retain_rows = rows.forget_rows, rows.retain_rows
        self.validation, self.teacher = validation, teacher
        self.teachers: dict[str, torch.nn.Module] = {}
        self.memory = Memory(on=self.args.remember)
        self.inner: UnlearningTrainer | None = None
        self.counter: Counter | None = None
        self.check_wrappable()
        self.curriculum = SuperLoss(self.args.curriculum_lambda) if self.args.curriculum else None
        apart = any(wrapper.sides for wrapper in wrappers_on(self.args))
        self.sides = Sides(self, super().forward_backward) if apart else None
        self.look: Look | None = None
        self.epochs: Epochs | None = None

    @classmethod
    def changes_once(cls) -> bool:
        """Whether weights are changed outside training, so that no epoch's model is the result."""
        return cls.edit is not UnlearningTrainer.edit or cls.finish is not UnlearningTrainer.finish

    def prepare(self) -> None:
        """Make what the method derives from the original weights: teachers, labels, masks."""

    def frozen_original(self) -> torch.nn.Module:
        """Return a frozen copy of the model as it is now, or of the teacher that was given, on the run's device."""
        return frozen_copy(self.model if self.teacher is None else self.teacher).to(self.args.device)

    def finish(self, model: torch.nn.Module) -> None:
        """Change the weights once more, in place, after they have been trained."""

    def edit(self, model: torch.nn.Module) -> None:
        """Edit the weights once, in place; a method that overrides this is not trained."""

    def phases(self, epoch: int) -> list[np.ndarray]:
        """Return one phase with the rows of every side the method needs."""
        sides = {"forget": self.forget_rows, "retain": self.retain_rows}
        return [np.concatenate([sides[stream] for stream in self.streams])]

    def check_adaptable(self) -> None:
        """Refuse LoRA where the method works on weights or blocks themselves.

        Raises:
            ValueError: If it does.
        """
        if self.per_weight or type(self).edit is not UnlearningTrainer.edit:
            raise ValueError(
                f"expected no lora_rank, since {type(self).__name__} works on weights or blocks themselves; got one"
            )

    def check_wrappable(self) -> None:
        """Refuse wrappers where there is no training, and weights of rows where rows interact.

        Raises:
            ValueError: If that is so.
        """
        names, kind = ", ".join(wrapper.switch for wrapper in wrappers_on(self.args)), type(self)
        if names and kind.edit is not UnlearningTrainer.edit:
            raise ValueError(f"expected no {names}, since {kind.__name__} edits weights and trains none; got it")
        if self.args.curriculum and self.coupled:
            raise ValueError(f"expected no curriculum, since the rows of {kind.__name__} weigh each other; got one")

    def generator(self, purpose: str) -> np.random.Generator:
        """Return a generator of its own for one purpose, seeded by the run's seed; global state is not touched."""
        return np.random.default_rng((self.args.seed, zlib.crc32(purpose.encode())))

    def batches(
        self, dataset: Any, rows: np.ndarray | None = None, size: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yield batches as `terms` gets them, in order; nothing random is touched.

        Args:
            dataset: Items of row, index and side, such as ``self.train_dataset``.
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

    def costs(self) -> dict[str, float]:
        """Return what this process has spent on the run: seconds, and examples where a counter is attached."""
        return {**super().costs(), **(self.counter.counts() if self.counter else {})}

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Leave what is done within the block out of the costs: its seconds and its examples."""
        with super().aside(), self.counter.paused() if self.counter else contextlib.nullcontext():
            yield

    def history(self) -> list[dict[str, Any]]:
        """Return what was found after every epoch, if anybody looked."""
        return self.epochs.history() if self.epochs else []

    def train_collator(self, items: Sequence[Any]) -> dict[str, Any]:
        """Collate rows and add their index and side, and their prints where teachers are asked about them."""
        return collate_sides(items, self.data_collator, prints=bool(self.teachers) and self.args.remember)

    def ask(self, teacher: str, batch: Mapping[str, Any], rows: torch.Tensor | None = None) -> torch.Tensor:
        """Return a teacher's logits for a batch, or for some of its rows, asking about a row once a run.

        Args:
            teacher: Key of ``self.teachers``.
            batch: A collated batch of ``B`` rows.
            rows: Which rows, bool, shape ``(B,)``; ``None`` for all.

        Returns:
            Logits, shape ``(b, K)`` or ``(b, T, V)``; of the latter those at answer tokens are meant.
        """
        with self.accelerator.autocast():
            return self.memory.logits(self.teachers[teacher], batch, rows)

    def ask_nll(self, teacher: str, batch: Mapping[str, Any], rows: torch.Tensor | None = None) -> torch.Tensor:
        """Return ``-log p(y)`` of whole answers under a teacher, shape ``(b,)``, asking as `ask` does."""
        with self.accelerator.autocast():
            return self.memory.nll(self.teachers[teacher], batch, rows)

    def weighed(self, place: int, term: Term) -> torch.Tensor:
        """Return the values of one of the terms, ``(b,)``, weighed by the curriculum if there is one."""
        if self.curriculum is None:
            return term.values
        return self.curriculum.weigh(place, term, note=self.sides is None or not self.sides.repeating)

    def forward_backward(self, model: Any, inputs: Any, num_items_in_batch: Any) -> torch.Tensor:
        """Run one micro-batch forward and backward, its two sides apart where a wrapper asks for it."""
        if self.sides is None:
            loss = super().forward_backward(model, inputs, num_items_in_batch)
        else:
            loss = self.sides.add(model, inputs, num_items_in_batch)
        if wrappers_on(self.args) and self.accelerator.sync_gradients and torch.isfinite(loss):
            if self.sides is not None:
                self.sides.finish(model, num_items_in_batch)
            if self.curriculum is not None:
                self.curriculum.advance(of_all)
        return loss

    def _note(self, name: str, values: torch.Tensor) -> None:
        if self.sides is None or not self.sides.repeating:
            super()._note(name, values)

    def keep(self, checkpoint: Path) -> None:
        """Keep what teachers have said beside a checkpoint, and what wrappers remember."""
        self.memory.save(checkpoint)
        if self.curriculum is not None:
            self.curriculum.save(checkpoint)
        if self.sides is not None and self.args.dual_optim:
            self.sides.dual.save(checkpoint)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, *args: Any, **kwargs: Any) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, *args, **kwargs)
        self.memory.load(Path(resume_from_checkpoint))
        if self.curriculum is not None:
            self.curriculum.load(Path(resume_from_checkpoint))
        if self.sides is not None and self.args.dual_optim:
            self.sides.dual.load(Path(resume_from_checkpoint))

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """Prepare at the original weights, then train, or edit the weights once."""
        self.start_clock()
        if self.args.watches and self.epochs is None:
            self.epochs = Epochs(self, self.look or plain_look(self))
            self.add_callback(self.epochs)
        trainable = [weight for weight in self.model.parameters() if weight.requires_grad]
        output = TrainOutput(global_step=0, training_loss=0.0, metrics={})
        try:
            self.prepare()
            if self.sides is not None:
                self.sides.check()
            if type(self).edit is UnlearningTrainer.edit:
                output = super().train(*args, **kwargs)
                self.finish(self.model)
            else:
                self.edit(self.model)
        finally:
            for weight in trainable:
                weight.requires_grad_(True)
        check_finite(self.model)
        return output
