"""A model's weights: which are trained, whether they are finite, BatchNorm, which couples rows, and LoRA's adapters.

Adapters are low-rank matrices beside frozen weights; they are merged into them at the end, so that folders stay plain
models.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch.nn.modules.batchnorm import _BatchNorm
from transformers import TrainingArguments
from transformers.pytorch_utils import Conv1D

from mubench.trainers.engine.errors import NonFiniteError
from mubench.trainers.engine.task_arguments import LoraArguments, SizeArguments

if TYPE_CHECKING:
    from peft import PeftModel

# Heads are trained as they are: a fresh classifier has nothing to adapt.
HEADS = ("classifier", "pre_classifier", "projector", "fc_norm", "score")
ADAPTED = (torch.nn.Linear, Conv1D)
# Attributes of a convolution that models read from their layers.
SHAPE = ("stride", "kernel_size", "dilation", "padding", "groups")


def trainable_weights(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Return the weights that training would move; tied ones come once."""
    return [weight for weight in model.parameters() if weight.requires_grad]


def check_finite(model: torch.nn.Module) -> None:
    """Raise `NonFiniteError` if a weight of the model is NaN or infinite."""
    bad = [name for name, weight in model.named_parameters() if not torch.isfinite(weight).all()]
    if bad:
        raise NonFiniteError(f"expected finite weights, got NaN or infinity in {len(bad)} tensors, first {bad[0]}")


def has_batch_norm(model: torch.nn.Module) -> bool:
    """Whether a model has BatchNorm that takes its statistics from the batch when the model is trained."""
    mode = model.training
    model.train()
    found = uses_batch_statistics(model)
    model.train(mode)
    return found


def uses_batch_statistics(model: torch.nn.Module) -> bool:
    """Whether a model, in the mode it is in, has BatchNorm that takes its statistics from the batch."""
    return any(isinstance(module, _BatchNorm) and module.training for module in model.modules())


def synchronize_batch_norm(model: torch.nn.Module, args: TrainingArguments) -> torch.nn.Module:
    """Return a model whose BatchNorm takes its statistics over the rows of all processes.

    Raises:
        ValueError: If there are several processes and no CUDA: `torch` synchronizes BatchNorm nowhere else.
    """
    if args.world_size == 1 or not has_batch_norm(model):
        return model
    if args.device.type != "cuda":
        raise ValueError(
            f"expected one process on {args.device.type}, where the BatchNorm of {type(model).__name__} cannot see "
            f"the rows of others; got {args.world_size}"
        )
    return torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)


def layers_to_adapt(model: torch.nn.Module, targets: Sequence[str] | None = None) -> list[str]:
    """Return the names of the layers that get an adapter.

    Args:
        model: The model.
        targets: Ends of names; ``None`` takes every linear layer outside the head, or, where there is none (ResNet,
            MobileNet), every convolution that is not depthwise.

    Raises:
        ValueError: If there is no such layer.
    """
    heads = (*HEADS, "lm_head", "embed_out")
    body = {name: layer for name, layer in model.named_modules() if name.split(".")[0] not in heads}
    linear = [name for name, layer in body.items() if isinstance(layer, ADAPTED)]
    plain = [
        name
        for name, layer in body.items()
        if isinstance(layer, torch.nn.Conv2d) and layer.groups == 1 and set(layer.dilation) == {1}
    ]
    named = [name for name in (*linear, *plain) if f".{name}".endswith(tuple(f".{end}" for end in targets or ()))]
    found = named if targets else linear or plain
    if not found:
        wanted = ", ".join(targets) if targets else "a linear layer or a convolution"
        raise ValueError(f"expected lora_targets among the layers of {type(model).__name__}, got none for {wanted}")
    return found


def add_adapters(
    model: torch.nn.Module, args: LoraArguments, seed: int, layers: Sequence[str] | None = None
) -> torch.nn.Module:
    """Return a model whose weights are frozen, with adapters beside them; the head stays trainable.

    The model's layers are replaced in place, until `merge_adapters`: those of these names, by default those of
    `layers_to_adapt`. The seed is that of the adapters; the global random state is left alone.

    Raises:
        ValueError: If there is no layer to adapt.
    """
    import peft  # noqa: PLC0415  seconds to import, and few runs have adapters

    heads = [name for name, _ in model.named_children() if name in HEADS]
    frozen = [name for name, weight in model.named_parameters() if not weight.requires_grad]
    config = peft.LoraConfig(
        r=args.lora_rank or 0,
        lora_alpha=args.lora_alpha,  # type: ignore[arg-type]
        lora_dropout=args.lora_dropout,
        target_modules=list(layers or layers_to_adapt(model, args.lora_targets)),
        modules_to_save=heads or None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        adapted: Any = peft.get_peft_model(model, config)
    for layer in adapted.modules():
        if isinstance(base := getattr(layer, "base_layer", None), torch.nn.Conv2d):
            for name in SHAPE:
                setattr(layer, name, getattr(base, name))
    adapted.frozen_before = frozen
    return adapted


def merge_adapters(model: Any) -> torch.nn.Module:
    """Return the plain model of `add_adapters`, with the adapters added to its weights, which are no longer 4 bits."""
    frozen: list[str] = model.frozen_before
    if is_loaded_in_4bit(model):
        model = _dequantize(model)
    plain: torch.nn.Module = model.merge_and_unload()
    for name, weight in plain.named_parameters():
        weight.requires_grad_(name not in frozen)
    return plain


def _dequantize(model: Any) -> Any:
    """Return a model with the same adapters beside weights in the type that 4 bits were computed in.

    Merged into 4 bits, adapters would be rounded away.
    """
    import peft  # noqa: PLC0415  as above

    state, config = peft.get_peft_model_state_dict(model), model.peft_config["default"]
    plain = model.unload().dequantize()
    again = peft.get_peft_model(plain, config)
    peft.set_peft_model_state_dict(again, state)
    return again


def is_loaded_in_4bit(model: torch.nn.Module) -> bool:
    """Whether the linear layers of a model hold 4 bits per weight."""
    return bool(getattr(unwrap(model), "is_loaded_in_4bit", False))


def check_loaded(model: torch.nn.Module, args: SizeArguments) -> None:
    """Raise ``ValueError`` if a model was loaded otherwise than by the arguments that differ from their defaults."""
    dtypes = {str(weight.dtype).removeprefix("torch.") for weight in model.parameters() if weight.is_floating_point()}
    found = {
        "dtype": " and ".join(sorted(dtypes)),
        "attn_implementation": getattr(getattr(model, "config", None), "_attn_implementation", None),
        "load_in_4bit": is_loaded_in_4bit(model),
    }
    for name, wanted in args.size_options().items():
        if found[name] != wanted:
            raise ValueError(f"expected a model that was loaded with {name} {wanted}, got one with {found[name]}")


def has_adapters(model: torch.nn.Module) -> TypeGuard[PeftModel]:
    """Whether a model has adapters; where none were made, peft is not loaded."""
    peft = sys.modules.get("peft")
    return peft is not None and isinstance(model, peft.PeftModel)


def unwrap(model: torch.nn.Module) -> torch.nn.Module:
    """Return the model within its adapters, if it has any."""
    return model.get_base_model() if has_adapters(model) else model


def adapters_are_zero(model: PeftModel) -> bool:
    """Whether adapters and trained head change nothing so far."""
    state = dict(model.named_parameters())
    zero = all(not weight.any() for name, weight in state.items() if ".lora_B." in name)
    return zero and all(
        torch.equal(weight, state[name.replace(".modules_to_save.default.", ".original_module.")])
        for name, weight in state.items()
        if ".modules_to_save." in name
    )
