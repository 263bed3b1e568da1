"""Teachers: frozen models in eval mode, kept outside the student's module tree."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from transformers import PreTrainedModel

from mubench.trainers.engine.batches import Batch, model_inputs, select_rows
from mubench.trainers.engine.lora import adapters_are_zero, has_adapters, unwrap
from mubench.trainers.engine.parameters import has_batch_norm
from mubench.trainers.inference.predict import eval_mode

if TYPE_CHECKING:
    from peft import PeftModel


class WithoutAdapters(torch.nn.Module):
    """A model under LoRA as it was before: run in eval mode, without gradients, with its adapters off.

    Args:
        model: The model, which stays out of this module's tree.
    """

    def __init__(self, model: PeftModel) -> None:
        super().__init__()
        self.models = (model,)

    def state(self) -> dict[str, torch.Tensor]:
        """Return the weights that are in use: those of the model but for its adapters and its trained head."""
        state = unwrap(self.models[0]).state_dict()
        return {
            name: weight for name, weight in state.items() if "lora_" not in name and ".modules_to_save." not in name
        }

    def get_output_embeddings(self) -> torch.nn.Module | None:
        """Return the head of a language model, which has no adapter."""
        head: torch.nn.Module | None = getattr(unwrap(self.models[0]), "get_output_embeddings", lambda: None)()
        return head

    def forward(self, **inputs: Any) -> Any:
        """Return the model's output without its adapters."""
        (model,) = self.models
        with eval_mode(model), torch.no_grad(), model.disable_adapter():
            return unwrap(model)(**inputs)


def frozen_copy(model: torch.nn.Module) -> torch.nn.Module:
    """Return the model as it is now, in eval mode and without gradients.

    Under LoRA it is the model itself without its adapters, as long as these change nothing yet; not with BatchNorm,
    whose statistics move. All other models are copied, and no tensor is shared.
    """
    if has_adapters(model) and adapters_are_zero(model) and not has_batch_norm(model):
        return WithoutAdapters(model).eval()
    return copy.deepcopy(model).eval().requires_grad_(False)


def has_fresh(model: torch.nn.Module) -> bool:
    """Whether a model can be made anew: one of `transformers` from its config, others by a method ``fresh``."""
    return isinstance(model, PreTrainedModel) or callable(getattr(model, "fresh", None))


def random_copy(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Return a frozen model of the same config at a fresh initialisation; the global random state is left alone.

    Built from the config: resetting modules one by one would leave class tokens and position embeddings trained.

    Args:
        model: A model with a config, or with a method ``fresh`` that returns another of its architecture.
        seed: Seed of the initialisation.
    """
    model = unwrap(model)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        own = getattr(model, "fresh", None)
        fresh: torch.nn.Module = own() if callable(own) else type(model)(copy.deepcopy(model.config))
    weight = next(model.parameters())
    return fresh.to(device=weight.device, dtype=weight.dtype).eval().requires_grad_(False)


def teacher_state(teacher: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights that a teacher's outputs depend on."""
    return teacher.state() if isinstance(teacher, WithoutAdapters) else teacher.state_dict()


@contextmanager
def frozen_forward(teacher: torch.nn.Module) -> Iterator[None]:
    """Run a teacher within the block without gradients; the global random state is restored afterwards."""
    device = next(iter(teacher_state(teacher).values())).device
    with torch.no_grad(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def frozen_logits(teacher: torch.nn.Module, batch: Batch, rows: torch.Tensor | None = None) -> torch.Tensor:
    """Return a teacher's logits for a batch, or for some of its rows only.

    Args:
        teacher: A frozen model.
        batch: A collated batch of ``B`` rows.
        rows: Which rows to run it on, bool, shape ``(B,)``; ``None`` for all.

    Returns:
        Logits, shape ``(b, K)`` or ``(b, T, V)`` with ``b <= B``.
    """
    with frozen_forward(teacher):
        logits: torch.Tensor = teacher(**model_inputs(select_rows(batch, rows))).logits
    return logits
