"""`WrappedTrainer`: where the wrappers take part in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch

from mubench.trainers.addons import sophia, wrappers_on
from mubench.trainers.addons.superloss import SuperLoss
from mubench.trainers.engine.distributed import of_all
from mubench.trainers.engine.losses import Term
from mubench.trainers.unlearning.split_gradients import Sides
from mubench.trainers.unlearning.streams import StreamsTrainer
from mubench.trainers.unlearning.unlearning_arguments import UnlearningArguments


class WrappedTrainer(StreamsTrainer):
    """Trains with the wrappers that its arguments turn on; without one it changes nothing.

    Args:
        model: The model to train.
        args: Arguments of the method's own class.
        **kwargs: Passed to `StreamsTrainer`.

    Raises:
        ValueError: If a wrapper has no place in the method.

    Attributes:
        coupled: Whether the rows of a method weigh each other.
        curriculum: Weighs rows by their loss, if asked for.
        sides: Runs forget and retain rows apart, if a wrapper needs it.
    """

    coupled: ClassVar[bool] = False

    def __init__(self, model: torch.nn.Module, args: UnlearningArguments, **kwargs: Any) -> None:
        if args.optim == sophia.NAME:
            kwargs["optimizer_cls_and_kwargs"] = sophia.sophia(args)
        super().__init__(model=model, args=args, **kwargs)
        self.check_wrappable()
        self.curriculum = SuperLoss(args.curriculum_lambda) if args.curriculum else None
        apart = any(wrapper.sides for wrapper in wrappers_on(args))
        self.sides = Sides(self, super().forward_backward) if apart else None

    @classmethod
    def edits(cls) -> bool:
        """Whether weights are edited once in place of training."""
        return False

    def check_wrappable(self) -> None:
        """Refuse wrappers and changed rows where there is no training, and weights of rows where rows interact.

        Raises:
            ValueError: If that is so.
        """
        on = [*(wrapper.switch for wrapper in wrappers_on(self.args)), *(["augment"] if self.args.augment else [])]
        names, kind = ", ".join(on), type(self)
        if names and kind.edits():
            raise ValueError(f"expected no {names}, since {kind.__name__} edits weights and trains none; got it")
        if self.args.curriculum and self.coupled:
            raise ValueError(f"expected no curriculum, since the rows of {kind.__name__} weigh each other; got one")

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
        """Keep what wrappers remember beside a checkpoint."""
        super().keep(checkpoint)
        if self.curriculum is not None:
            self.curriculum.save(checkpoint)
        if self.sides is not None and self.args.dual_optim:
            self.sides.dual.save(checkpoint)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, *args: Any, **kwargs: Any) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, *args, **kwargs)
        if self.curriculum is not None:
            self.curriculum.load(Path(resume_from_checkpoint))
        if self.sides is not None and self.args.dual_optim:
            self.sides.dual.load(Path(resume_from_checkpoint))
