"""PDU: flattens the logits of the forget set under a bound on the loss of the retain set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from mubench.trainers.engine.losses import mean_over_tokens, per_example_loss
from mubench.trainers.unlearning.kinds import TEXT_GENERATION
from mubench.trainers.unlearning.unlearning_trainer import Paper, Term, UnlearningArguments, UnlearningTrainer
from mubench.trainers.unlearning.value_ranges import NonNegative

WEIGHT = "retain_weight"


@dataclass
class PduArguments(UnlearningArguments):
    """Arguments of `PduTrainer`; the defaults are those of the authors' runs on TOFU, but for the warm-up.

    There the weight changes after five of ten epochs; here methods run for other numbers of epochs.
    """

    gamma: NonNegative = field(default=1.0, metadata={"help": "Weight of the forget term."})
    alpha: NonNegative = field(default=100.0, metadata={"help": "Weight of the retain term at the start."})
    epsilon: NonNegative = field(default=0.3, metadata={"help": "Bound on the loss of the retain set, in nats."})
    dual_rate: NonNegative = field(default=5.0, metadata={"help": "Step of the retain weight per nat beyond epsilon."})
    dual_warmup_epochs: NonNegative = field(
        default=0.0, metadata={"help": "Epochs before the retain weight changes for the first time."}
    )


def flatness(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return ``(max_k z_k - mean_k z_k)^2``, averaged over answer tokens: 0 where all logits are equal.

    Args:
        logits: Token scores, shape ``(B, T, V)``.
        labels: The token that every position should predict, shape ``(B, T)``; only which have one is read.

    Returns:
        Squared logits, fp32, shape ``(B,)``.
    """
    scores = logits.float()
    return mean_over_tokens((scores.amax(dim=-1) - scores.mean(dim=-1)).square(), labels)


class PduTrainer(UnlearningTrainer):
    """Flattens the logits of the forget set; the retain term weighs more while its loss is above a bound.

    ``L = gamma mean_forget mean_t (max_k z_tk - mean_k z_tk)^2 + lambda mean_retain CE(z, y)``, where ``lambda`` is
    ``alpha`` at first, and ``max(0, lambda + dual_rate (mean_retain CE - epsilon))`` after every step, of that step's
    retain examples: gradient ascent on the multiplier of the constraint that the retain loss is at most ``epsilon``.

    Both terms read the tokens that predict the answer, end token included, and average over those of a row, then over
    rows, see `UnlearningTrainer`. In the authors' code the forget term runs over prompt and padding too, and the
    weight moves with every micro-batch.

    Requirements:
        Forget and retain sets; no second model.

    Relations:
        `CeUTrainer` and `JensunTrainer` aim at other distributions on the forget set, with a constant weight.
    """

    paper = Paper(
        "Constrained Entropic Unlearning: A Primal-Dual Framework for Large Language Models",
        "NeurIPS 2025", "2506.05314", "Entesari et al.",
    )  # fmt: skip
    kinds = TEXT_GENERATION
    arguments = PduArguments
    like = "neg_grad"
    args: PduArguments
    paired = True

    def prepare(self) -> None:
        """Start the sums over a step's retain examples."""
        super().prepare()
        self.retain_sums = torch.zeros(2, device=self.args.device)

    @property
    def retain_weight(self) -> float:
        """The weight of the retain term at this step; the log keeps it for resumed runs."""
        found = (entry[WEIGHT] for entry in reversed(self.state.log_history) if WEIGHT in entry)
        return float(next(found, self.args.alpha))

    def terms(self, model: torch.nn.Module, batch: Mapping[str, Any]) -> list[Term]:
        logits, labels, forget = self.logits(model, batch), batch["labels"], batch["forget"]
        retain = per_example_loss(logits[~forget], labels[~forget])
        self.retain_sums += torch.stack([retain.detach().sum(), retain.new_tensor(float(len(retain)))])
        return [
            Term("forget", flatness(logits[forget], labels[forget]), self.args.gamma),
            Term("retain", retain, self.retain_weight),
        ]

    def after_step(self) -> None:
        """Move the weight of the retain term by how far the loss of the step's retain examples is from the bound."""
        total, count = self.accelerator.reduce(self.retain_sums, "sum").tolist()
        self.retain_sums.zero_()
        if (self.state.epoch or 0) >= self.args.dual_warmup_epochs and count:
            moved = self.retain_weight + self.args.dual_rate * (total / count - self.args.epsilon)
            self.state.log_history.append({WEIGHT: max(0.0, moved), "step": self.state.global_step})
