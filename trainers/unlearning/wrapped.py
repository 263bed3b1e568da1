"""`WrappedTrainer`: where the addons take part in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch

from mubench.trainers.addons import enabled_addons, sophia
from mubench.trainers.addons.superloss import SuperLoss
from mubench.trainers.engine.distributed import all_gather
from mubench.trainers.engine.losses import Term
from mubench.trainers.unlearning.split_gradients import SplitGradients
from mubench.trainers.unlearning.streams import StreamsTrainer
from mubench.trainers.unlearning.unlearning_arguments import UnlearningArguments


class WrappedTrainer(StreamsTrainer):
    """Trains with the addons that its arguments turn on; without one it changes nothing.

    Args:
        model: The model to train.
        args: Arguments of the method's own class.
        **kwargs: Passed to `StreamsTrainer`.

    Raises:
        ValueError: If a addon has no place in the method.

    Attributes:
        coupled: Whether the rows of a method weigh each other.
        curriculum: Weighs rows by their loss, if asked for.
        sides: Runs forget and retain rows apart, if a addon needs it.
    """

    coupled: ClassVar[bool] = False

    def __init__(self, model: torch.nn.Module, args: UnlearningArguments, **kwargs: Any) -> None:
        if args.optim == sophia.NAME:
            kwargs["optimizer_cls_and_kwargs"] = sophia.sophia(args)
        super().__init__(model=model, args=args, **kwargs)
        self.check_addable()
        self.curriculum = SuperLoss(args.curriculum_lambda) if args.curriculum else None
        apart = any(addon.splits_gradients for addon in enabled_addons(args))
        self.split_gradients = SplitGradients(self, super().forward_backward) if apart else None

    @classmethod
    def edits(cls) -> bool:
        """Whether weights are edited once in place of training."""
        return False

    def check_addable(self) -> None:
        """Refuse addons and changed rows where there is no training, and weights of rows where rows interact.

        Raises:
            ValueError: If that is so.
        """
        on = [*(addon.switch for addon in enabled_addons(self.args)), *(["augment"] if self.args.augment else [])]
        names, kind = ", ".join(on), type(self)
        if names and kind.edits():
            raise ValueError(f"expected no {names}, since {kind.__name__} edits weights and trains none; got it")
        if self.args.curriculum and self.coupled:
            raise ValueError(f"expected no curriculum, since the rows of {kind.__name__} weigh each other; got one")

    def weighed(self, place: int, term: Term) -> torch.Tensor:
        """Return the values of one of the terms, ``(b,)``, weighed by the curriculum if there is one."""
        if self.curriculum is None:
            return term.values
        return self.curriculum.weigh(
            place, term, note=self.split_gradients is None or not self.split_gradients.repeating
        )

    def forward_backward(self, model: Any, inputs: Any, num_items_in_batch: Any) -> torch.Tensor:
        """Run one micro-batch forward and backward, its two sides apart where a addon asks for it."""
        if self.split_gradients is None:
            loss = super().forward_backward(model, inputs, num_items_in_batch)
        else:
            loss = self.split_gradients.add(model, inputs, num_items_in_batch)
        if enabled_addons(self.args) and self.accelerator.sync_gradients and torch.isfinite(loss):
            if self.split_gradients is not None:
                self.split_gradients.finish(model, num_items_in_batch)
            if self.curriculum is not None:
                self.curriculum.advance(all_gather)
        return loss

    def _note(self, name: str, values: torch.Tensor) -> None:
        if self.split_gradients is None or not self.split_gradients.repeating:
            super()._note(name, values)

    def keep(self, checkpoint: Path) -> None:
        """Keep what addons remember beside a checkpoint."""
        super().keep(checkpoint)
        if self.curriculum is not None:
            self.curriculum.save(checkpoint)
        if self.split_gradients is not None and self.args.dual_optim:
            self.split_gradients.dual.save(checkpoint)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, *args: Any, **kwargs: Any) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, *args, **kwargs)
        if self.curriculum is not None:
            self.curriculum.load(Path(resume_from_checkpoint))
        if self.split_gradients is not None and self.args.dual_optim:
            self.split_gradients.dual.load(Path(resume_from_checkpoint))
