"""Memory and time of a step of fine-tuning a causal language model, from its shape: before any weight is loaded.

Counted are weights, gradients, Adam's states, and what the forward pass keeps for the backward pass, in the layout of
Llama: two RMSNorms, attention with shared keys and values, a gated network, and logits in fp32 from which the loss is
computed; and the weights and forward pass of a frozen teacher, where a method has one. The workspace of kernels and
what the allocator leaves unused come on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

FP32 = 4  # bytes of a number
# Log-probabilities, their gradient and that of the logits.
LOGITS = 3
# Whether queries and keys are normalised, by the types of model that tests measure.
QK_NORM = {"llama": False, "qwen3": True, "smollm3": False}


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """What decides the size of a causal language model.

    Attributes:
        layers: Layers.
        hidden: Width of a token.
        intermediate: Width of the gated network.
        query: Width of all queries of a token.
        key: Width of all keys of a token, and of all values.
        vocabulary: Tokens.
        tied: Whether the head is the embedding.
        qk_norm: Whether queries and keys are normalised.
    """

    layers: int
    hidden: int
    intermediate: int
    query: int
    key: int
    vocabulary: int
    tied: bool = True
    qk_norm: bool = False

    @classmethod
    def of(cls, config: PreTrainedConfig) -> ModelShape:
        """Return the shape that a config describes.

        Raises:
            ValueError: If it is of another type of model than those of `QK_NORM`.
        """
        found: Any = config
        if found.model_type not in QK_NORM:
            raise ValueError(f"expected a config of {', '.join(QK_NORM)}, got {found.model_type}")
        width = getattr(found, "head_dim", None) or found.hidden_size // found.num_attention_heads
        return cls(
            layers=found.num_hidden_layers,
            hidden=found.hidden_size,
            intermediate=found.intermediate_size,
            query=width * found.num_attention_heads,
            key=width * (found.num_key_value_heads or found.num_attention_heads),
            vocabulary=found.vocab_size,
            tied=found.tie_word_embeddings,
            qk_norm=QK_NORM[found.model_type],
        )

    @property
    def matrices(self) -> list[tuple[int, int]]:
        """Inputs and outputs of the linear layers of one layer."""
        attention = [(self.hidden, self.query), *[(self.hidden, self.key)] * 2, (self.query, self.hidden)]
        return [*attention, *[(self.hidden, self.intermediate)] * 2, (self.intermediate, self.hidden)]

    @property
    def multiplied_in_layers(self) -> int:
        """Weights within layers that every token is multiplied with."""
        return self.layers * sum(rows * columns for rows, columns in self.matrices)

    @property
    def multiplied(self) -> int:
        """Weights that every token is multiplied with, those of the head among them."""
        return self.multiplied_in_layers + self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """Weights, those of norms but for queries and keys among them."""
        embedding = 0 if self.tied else self.vocabulary * self.hidden
        return self.multiplied + embedding + (2 * self.layers + 1) * self.hidden


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """An optimizer step of AdamW without accumulation.

    Attributes:
        rows: Rows of a step, over all GPUs: of a method that reads pairs, forget and retain rows together.
        tokens: Tokens of a row, padding among them.
        weight_bytes: Bytes of a weight: 4 in fp32, 2 in bfloat16.
        lora_rank: Rank of adapters beside every linear layer; ``None`` where all weights are trained.
        checkpointing: Whether activations within a layer are computed anew in the backward pass.
        teacher: Whether the model before unlearning is kept and run on every row; beside adapters its weights take no
            memory. What a method's loss keeps of its outputs is not counted.
        gpus: GPUs, each with all weights and its share of the rows.
    """

    rows: int
    tokens: int
    weight_bytes: int = FP32
    lora_rank: int | None = None
    checkpointing: bool = False
    teacher: bool = False
    gpus: int = 1


def step_bytes(shape: ModelShape, plan: StepPlan) -> int:
    """Return the most bytes that a step holds at once on each GPU, from the second step on.

    That is the larger of two moments: the backward pass begins, with all activations; or it ends, with all gradients.
    """
    trained, size = _trained(shape, plan), FP32 if plan.lora_rank else plan.weight_bytes
    weights = shape.parameters * plan.weight_bytes * (2 if plan.teacher and not plan.lora_rank else 1)
    adapters = trained * size if plan.lora_rank else 0
    states, gradients = 2 * trained * size, trained * size
    buckets = gradients if plan.gpus > 1 else 0  # data parallelism sends copies of them
    embedding = 0 if plan.lora_rank else shape.vocabulary * shape.hidden * plan.weight_bytes
    tokens = -(-plan.rows // plan.gpus) * plan.tokens
    return weights + adapters + states + buckets + max(tokens * _token_bytes(shape, plan), gradients + embedding)


def step_seconds(shape: ModelShape, plan: StepPlan, *, rate: float) -> float:
    """Return the seconds of a step: of its products with weights, not of those between tokens within attention.

    Args:
        shape: The model.
        plan: The step.
        rate: Operations a second that a GPU really does, a fraction of what its data sheet states.
    """
    passes = 3 if plan.lora_rank is None else 2  # forward, back to activations and, without adapters, to weights
    passes += plan.teacher
    repeated = shape.multiplied_in_layers if plan.checkpointing else 0
    return 2 * (passes * shape.multiplied + repeated) * plan.rows * plan.tokens / (plan.gpus * rate)


def _trained(shape: ModelShape, plan: StepPlan) -> int:
    if plan.lora_rank is None:
        return shape.parameters
    return shape.layers * plan.lora_rank * sum(rows + columns for rows, columns in shape.matrices)


def _token_bytes(shape: ModelShape, plan: StepPlan) -> int:
    """Return what the forward pass keeps of a token, and the loss makes of it."""
    layer, logits = _layer_bytes(shape, plan), LOGITS * FP32 * shape.vocabulary
    last = _norm_bytes(shape.hidden, plan)
    if not plan.checkpointing:
        return shape.layers * layer + last + logits
    inputs = shape.layers * shape.hidden * plan.weight_bytes
    backward = 3 * shape.intermediate * plan.weight_bytes  # gradients of both inputs of the gate and of their product
    return inputs + max(last + logits, layer + backward)


def _layer_bytes(shape: ModelShape, plan: StepPlan) -> int:
    """Return what a layer keeps of a token: both norms, queries, keys, values, their mean, and the gated network."""
    kept = 2 * shape.query + 2 * shape.key + 4 * shape.intermediate
    others = 2 * _norm_bytes(shape.hidden, plan)
    if plan.lora_rank and plan.weight_bytes != FP32:
        # Every adapter, in fp32, has a copy of its input, which frozen layers do not keep.
        kept -= 2 * shape.hidden + shape.intermediate
        others += FP32 * sum(rows + plan.lora_rank for rows, _ in shape.matrices)
    if shape.qk_norm:  # their outputs are turned, and not kept
        others += _norm_bytes(shape.query + shape.key, plan) - (shape.query + shape.key) * plan.weight_bytes
    return kept * plan.weight_bytes + others


def _norm_bytes(width: int, plan: StepPlan) -> int:
    """Return what RMSNorm keeps: its input in fp32, its output, and, where its weight is trained, that without it."""
    outputs = 2 if plan.lora_rank is None else 1
    return width * (FP32 + outputs * plan.weight_bytes)
