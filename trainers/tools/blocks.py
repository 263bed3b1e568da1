"""The blocks of a model: the weights before and after its last few blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

# The matrix by which the MLP of a block writes its output, under the names of several architectures; Llama's
# `down_proj`.
MIDDLE = "mid_block"  # of a U-Net of `diffusers`
MLP_OUTPUT = "|".join((
    "down_proj", r"mlp\.c_proj", "fc2", r"\.wo\.", r"(?<!attention\.)output\.dense", "output_dense", "ffn_output",
    r"ffn\.lin2", "pwconv2", r"ff\.net\.2",
))  # fmt: skip


@dataclass(frozen=True)
class BlockSplit:
    """A model cut in two before one of its blocks.

    Attributes:
        before: Modules before the cut, and those with submodules on both sides of it.
        frozen: Weights before the cut by name, including those that both parts share, such as a tied embedding.
        last: Weights after the cut by name.
        buffers: Names of the buffers after the cut.
    """

    before: list[torch.nn.Module]
    frozen: dict[str, torch.nn.Parameter]
    last: dict[str, torch.nn.Parameter]
    buffers: list[str]

    def freeze(self) -> None:
        """Exclude the weights before the cut from training."""
        for weight in self.frozen.values():
            weight.requires_grad_(False)

    def set_eval(self) -> None:
        """Put the modules before the cut in eval mode: no updates of BatchNorm statistics, no dropout."""
        for module in self.before:
            module.training = False


def block_list(model: torch.nn.Module, name: str | None = None) -> tuple[str, list[str]]:
    """Return the name of a model's list of blocks, and the names of the blocks that have weights.

    Args:
        model: Any model; those of `transformers` and `diffusers` keep their blocks in a `torch.nn.ModuleList`.
        name: Name of the list; by default the last `torch.nn.ModuleList` that is not nested in another one, nor in the
            middle block of a U-Net, or, where there is none, the last such `torch.nn.Sequential`.

    Raises:
        ValueError: If there is no such list.
    """
    kinds = (torch.nn.Sequential, torch.nn.ModuleList)
    full = [(key, module) for key, module in model.named_modules() if _has_weights(module)]
    lists = [[key for key, module in full if isinstance(module, kind)] for kind in kinds]
    outer = [key for keys in lists for key in keys if not _is_nested(key, keys)]
    wanted = outer[-1] if name is None and outer else name
    if wanted is None or wanted not in (*lists[0], *lists[1]):
        called = f" called {name}" if name is not None else ""
        raise ValueError(
            f"expected a list of blocks (torch.nn.ModuleList or torch.nn.Sequential){called} in "
            f"{type(model).__name__}, got none"
        )
    children = model.get_submodule(wanted).named_children()
    return wanted, [f"{wanted}.{key}".removeprefix(".") for key, block in children if _has_weights(block)]


def blocks_up_to(model: torch.nn.Module, layer: int | None, count: int) -> tuple[list[str], float]:
    """Return the names of a block and of those before it, ``count`` at most, and its depth as a share of all blocks.

    Args:
        model: The model.
        layer: Index of the block, from 0, or from the last, -1; ``None`` for the one a quarter in.
        count: How many blocks.

    Raises:
        ValueError: If the model has no such block.
    """
    list_name, blocks = block_list(model)
    layer = (len(blocks) - 1) // 4 if layer is None else layer
    if not -len(blocks) <= layer < len(blocks):
        raise ValueError(f"layer must be {-len(blocks)} to {len(blocks) - 1} for {list_name}, got {layer}")
    end = layer % len(blocks) + 1
    return blocks[max(0, end - count) : end], end / len(blocks)


def matrices_in(model: torch.nn.Module, blocks: Sequence[str], pattern: str = "") -> list[str]:
    """Return the names of the weights in blocks that have two dimensions or more, and match a pattern."""
    inside = tuple(f"{name}." for name in blocks)
    matrices = [name for name, weight in model.named_parameters() if name.startswith(inside) and weight.ndim > 1]
    return [name for name in matrices if re.search(pattern, name)]


def split_before(model: torch.nn.Module, k: int, name: str | None = None) -> BlockSplit:
    """Cut a model before its last ``k`` blocks; modules registered after the blocks lie after the cut.

    Args:
        model: The model.
        k: Number of blocks after the cut; 0 leaves the modules behind the blocks: final norm and head.
        name: Name of the list of blocks, as in `block_list`.

    Raises:
        ValueError: If the model has no list of blocks, or fewer than ``k`` of them.
    """
    list_name, blocks = block_list(model, name)
    if not 0 <= k <= len(blocks):
        raise ValueError(f"k must be 0 to {len(blocks)}, the blocks of {list_name or type(model).__name__}, got {k}")
    # Modules come in the order of their registration, each before its submodules.
    names = [key for key, _ in model.named_modules()]
    inside = [i for i, key in enumerate(names) if _within(key, list_name)]
    cut = names.index(blocks[-k]) if k else inside[-1] + 1
    before, after = set(names[:cut]), set(names[cut:])
    weights = dict(model.named_parameters())
    return BlockSplit(
        before=[module for key, module in model.named_modules() if key in before],
        frozen={key: weight for key, weight in weights.items() if key.rpartition(".")[0] in before},
        last={key: weight for key, weight in weights.items() if key.rpartition(".")[0] in after},
        buffers=[key for key, _ in model.named_buffers() if key.rpartition(".")[0] in after],
    )


def _has_weights(module: torch.nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _is_nested(name: str, others: Sequence[str]) -> bool:
    """Whether a list is within another one, or in the middle of a U-Net, which runs before its last blocks."""
    return f".{MIDDLE}." in f".{name}" or any(name != other and _within(name, other) for other in others)


def _within(name: str, other: str) -> bool:
    return name == other or not other or name.startswith(f"{other}.")
