"""L1-sparse: fine-tunes on the retain set under an L1 penalty that decays over the epochs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from mubench.trainers.methods.finetune import FinetuneArguments, FinetuneTrainer
from mubench.trainers.unlearning.unlearning_trainer import Paper
from mubench.trainers.unlearning.value_ranges import CountOrZero, NonNegative


@dataclass
class L1SparseArguments(FinetuneArguments):
    """Arguments of `L1SparseTrainer`; the default of ``gamma`` is that of the paper's code."""

    gamma: NonNegative = field(default=5e-4, metadata={"help": "Weight of the L1 norm in the first epoch (gamma)."})
    no_l1_epochs: CountOrZero = field(default=0, metadata={"help": "Number of final epochs without penalty (E_0)."})


def l1_weight(gamma: float, epoch: int, epochs: int, tail: int) -> float:
    """Return ``gamma_e`` in an epoch ``e`` of ``E``, from 0; ``tail`` is ``E_0``."""
    return gamma * (1 - epoch / (epochs - tail)) if epoch < epochs - tail else 0.0


class L1SparseTrainer(FinetuneTrainer):
    """Fine-tunes on the retain set with a decaying penalty on the L1 norm of the weights.

    ``L = mean_retain CE(z, y) + gamma_e ||theta||_1`` with ``gamma_e = gamma (1 - e / (E - E_0))`` in epoch ``e`` of
    ``E``, and 0 in the last ``E_0`` ones. The norm is that of all trained weights, biases and norms included; its
    gradient at 0 is 0. It is logged as ``loss_penalty``, apart from the loss of the data.

    Losses of sequences are means of row means, see `UnlearningTrainer`.

    Requirements:
        Retain set; the forget set is not read. An optimizer that rescales gradients, such as Adam, rescales the
        penalty's as well, so weights tuned for one optimizer do not carry over to another.

    Relations:
        ``gamma = 0`` is `FinetuneTrainer`. Published as the l1-sparse method of "prune first, then unlearn".
    """

    paper = Paper("Model Sparsity Can Simplify Machine Unlearning", "NeurIPS 2023", "2304.04934", "Jia et al.")
    arguments = L1SparseArguments
    like = "finetune"
    args: L1SparseArguments

    def penalty(self, model: torch.nn.Module) -> torch.Tensor | None:
        """Return the L1 norm times the weight of this epoch."""
        epochs = self.state.num_train_epochs or math.ceil(self.args.num_train_epochs)
        weight = l1_weight(self.args.gamma, int(self.state.epoch or 0), epochs, self.args.no_l1_epochs)
        if not weight:
            return None
        norms = [part.abs().sum() for part in model.parameters() if part.requires_grad]
        return weight * torch.stack(norms).sum()
