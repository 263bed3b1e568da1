"""`UnlearningTrainer`: the contract between a method and everything around it.

Letters: ``B`` rows of a batch, ``K`` classes, ``T`` tokens, ``D`` features, ``N`` rows of a dataset.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from transformers.trainer_utils import TrainOutput

from mubench.hub_builders.tasks import Kind
from mubench.trainers.engine.losses import Term, check_finite
from mubench.trainers.engine.paper import Paper
from mubench.trainers.unlearning.asking import AskingTrainer
from mubench.trainers.unlearning.epoch_evaluation import EpochEvaluationCallback, check_epochs
from mubench.trainers.unlearning.observed import ObservedTrainer
from mubench.trainers.unlearning.output_functions import trainer_output_function
from mubench.trainers.unlearning.unlearning_arguments import UnlearningArguments
from mubench.trainers.unlearning.wrapped import WrappedTrainer

__all__ = ["CLASSIFICATION", "DRAWING", "WRITING", "Paper", "Term", "UnlearningArguments", "UnlearningTrainer"]

CLASSIFICATION: tuple[Kind, ...] = (
    "image_classification", "text_classification", "image_pair_classification", "audio_classification",
    "video_classification",
)  # fmt: skip
WRITING: tuple[Kind, ...] = ("summarization", "text_generation")
DRAWING: tuple[Kind, ...] = ("text_to_image",)


class UnlearningTrainer(WrappedTrainer, AskingTrainer, ObservedTrainer):
    """Changes a trained model so that it forgets some of its training rows.

    A method is a subclass with a ``paper``, the ``kinds`` of task it is defined for (and those of them to which it is
    ``adapted``, being made for others), an ``arguments`` dataclass, the
    ``splits`` it needs, ``needs_validation`` where it reads rows that the model never saw, ``from_scratch`` where it
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
        **kwargs: ``transform``, which changes training batches at random where ``augment`` is on, see
            `mubench.trainers.engine.augmenting`; all else is passed to `transformers.Trainer`.

    Raises:
        ValueError: If a side or the validation rows that the method needs are missing or empty.

    Attributes:
        forget_rows: Positions of the forget rows in ``self.train_dataset``, shape ``(n_f,)``.
        retain_rows: Positions of the retain rows, shape ``(n_r,)``.
        validation: Validation rows, where the method needs them.
        counter: Counts examples forward and backward, if one is attached.
        teachers: Frozen models by name, made by `prepare`; kept here, outside the student's module tree.
        memory: What the teachers have said, see `teacher_logits`.
        look: What is looked at after every epoch; ``None`` for the trainer's own rows, of classes or tokens.
        inner: A trainer of another method that `prepare` sets to work on the same model; its teachers are counted too.
        curriculum: Weighs rows by their loss, if asked for.
        sides: Runs forget and retain rows apart, if a addon needs it.
    """

    paper: ClassVar[Paper]
    kinds: ClassVar[tuple[Kind, ...]]
    adapted_kinds: ClassVar[tuple[Kind, ...]] = ()
    arguments: ClassVar[type[UnlearningArguments]] = UnlearningArguments
    from_scratch: ClassVar[bool] = False
    is_control: ClassVar[bool] = False
    families: ClassVar[tuple[str, ...] | None] = None
    whole_classes: ClassVar[bool] = False
    per_weight: ClassVar[bool] = False

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
        args = args if args is not None else self.arguments()
        if not isinstance(args, self.arguments):
            raise ValueError(f"expected args of {self.arguments.__name__}, got {type(args).__name__}")  # noqa: TRY004
        check_epochs(type(self), args)
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            teacher=teacher,
            data_collator=data_collator,
            processing_class=processing_class,
            **kwargs,
        )

    @classmethod
    def edits(cls) -> bool:
        """Whether weights are edited once in place of training."""
        return cls.edit is not UnlearningTrainer.edit

    @classmethod
    def changes_once(cls) -> bool:
        """Whether weights are changed outside training, so that no epoch's model is the result."""
        return cls.edits() or cls.finish is not UnlearningTrainer.finish

    def prepare(self) -> None:
        """Make what the method derives from the original weights: teachers, labels, masks."""

    def finish(self, model: torch.nn.Module) -> None:
        """Change the weights once more, in place, after they have been trained."""

    def edit(self, model: torch.nn.Module) -> None:
        """Edit the weights once, in place; a method that overrides this is not trained."""

    def check_adaptable(self) -> None:
        """Refuse LoRA where the method works on weights or blocks themselves.

        Raises:
            ValueError: If it does.
        """
        if self.per_weight or self.edits():
            raise ValueError(
                f"expected no lora_rank, since {type(self).__name__} works on weights or blocks themselves; got one"
            )

    def generator(self, purpose: str) -> np.random.Generator:
        """Return a generator of its own for one purpose, seeded by the run's seed; global state is not touched."""
        return np.random.default_rng((self.args.seed, zlib.crc32(purpose.encode())))

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """Prepare at the original weights, then train, or edit the weights once."""
        self.start_clock()
        if self.args.watches and self.epochs is None:
            self.epochs = EpochEvaluationCallback(self, self.look or trainer_output_function(self), self.oracle)
            self.add_callback(self.epochs)
        trainable = [weight for weight in self.model.parameters() if weight.requires_grad]
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
            for weight in trainable:
                weight.requires_grad_(True)
        check_finite(self.model)
        return output
