"""Teachers: frozen models in eval mode, kept outside the student's module tree, and the cache of their outputs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch
from safetensors.torch import load_file, save_file

from mubench.trainers.engine.batches import CONTENT_HASH, Batch, content_hash, model_inputs, select_rows
from mubench.trainers.engine.losses import IGNORED, answer_nll
from mubench.trainers.engine.parameters import adapters_are_zero, has_adapters, has_batch_norm, unwrap
from mubench.trainers.inference.predict import eval_mode

if TYPE_CHECKING:
    from peft import PeftModel

# The most that a cache holds; outputs beyond that are computed anew.
MAX_BYTES = 1 << 31
FILE = "teachers.safetensors"

Compute = Callable[[Batch], Sequence[torch.Tensor] | torch.Tensor]


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
        return getattr(unwrap(self.models[0]), "get_output_embeddings", lambda: None)()

    def forward(self, **inputs: Any) -> Any:
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
        return teacher(**model_inputs(select_rows(batch, rows))).logits


class TeacherCache:
    """Outputs of frozen teachers by row, so that each teacher runs on a row once.

    A row is identified by its index and the hash of its content that `collate_with_split` adds, a teacher by the hash
    of its weights: the outputs of a changed row, or of another teacher, are computed anew, so that a cached output is
    the one that the teacher would give now. Batches without hashes are never cached, nor is predicted noise, whose
    inputs are random at every step. The hashes sample about 1,024 values of each entry, so that a change of a few
    others goes unnoticed, and so does a collator that is random in itself: turn the cache off then.

    Args:
        on: Whether to cache at all.

    Attributes:
        outputs: By teacher and kind of output, and row: the row's hash and the output, in main memory.
    """

    def __init__(self, *, on: bool = True) -> None:
        self.on = on
        self.outputs: dict[tuple[str, int], tuple[int, torch.Tensor]] = {}
        self._bytes = 0
        self._hashes: WeakKeyDictionary[torch.nn.Module, str] = WeakKeyDictionary()
        self._headless: set[str] = set()

    def lookup(self, teacher: torch.nn.Module, kind: str, batch: Batch, compute: Compute) -> torch.Tensor:
        """Return a teacher's outputs of one kind for all rows, shape ``(B, ...)``, on the device of the labels.

        Those that are not in the cache are computed: ``compute`` returns one tensor a row, all of one shape.
        """
        return torch.stack(self.lookup_each(teacher, kind, batch, compute)).to(batch["labels"].device)

    def lookup_each(self, teacher: torch.nn.Module, kind: str, batch: Batch, compute: Compute) -> list[torch.Tensor]:
        """Return what `lookup` does, for outputs of different shapes: one tensor a row, on any device."""
        if not self.on or CONTENT_HASH not in batch or batch["labels"].is_floating_point():
            return list(compute(batch))
        keys = [(f"{self._hash(teacher)} {kind}", index) for index in batch["index"].tolist()]
        hashes = batch[CONTENT_HASH].tolist()
        found = {
            key: self.outputs[key][1]
            for key, row_hash in zip(keys, hashes, strict=True)
            if key in self.outputs and self.outputs[key][0] == row_hash
        }
        missing = [position for position, key in enumerate(keys) if key not in found]
        if missing:
            mask = torch.zeros(len(keys), dtype=torch.bool, device=batch["labels"].device)
            mask[missing] = True
            computed = compute(select_rows(batch, mask))
            computed = computed.cpu() if torch.is_tensor(computed) else computed
            for position, output in zip(missing, computed, strict=True):
                found[keys[position]] = output.cpu()
                self._add(keys[position], hashes[position], found[keys[position]])
        return [found[key] for key in keys]

    def _add(self, key: tuple[str, int], row_hash: int, output: torch.Tensor) -> None:
        size = output.nbytes - (self.outputs[key][1].nbytes if key in self.outputs else 0)
        if self._bytes + size <= MAX_BYTES:
            self.outputs[key] = (row_hash, output)
            self._bytes += size

    def _hash(self, teacher: torch.nn.Module) -> str:
        if teacher not in self._hashes:
            self._hashes[teacher] = f"{content_hash(teacher_state(teacher)):08x}"
        return self._hashes[teacher]

    def logits(self, teacher: torch.nn.Module, batch: Batch, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Return a teacher's logits as `frozen_logits` does, cached.

        Of language models the last hidden states of answer tokens are cached, a small part of what logits take, and
        the head is applied again; logits at other tokens are then 0. Where logits are not the head of those states,
        such as with a soft cap, nothing is cached.
        """
        part = select_rows(batch, rows)
        if part["labels"].ndim != 2:
            return self.lookup(teacher, "logits", part, lambda rest: frozen_logits(teacher, rest))
        head = getattr(teacher, "get_output_embeddings", lambda: None)()
        if not self.on or head is None or self._hash(teacher) in self._headless:
            return frozen_logits(teacher, part)
        states = self.lookup_each(teacher, "states", part, lambda rest: self._states(teacher, head, rest))
        if self._hash(teacher) in self._headless:
            return frozen_logits(teacher, part)
        with torch.no_grad():
            scores = head(torch.cat(states).to(part["labels"].device))
        answer = part["labels"] != IGNORED
        logits = scores.new_zeros(*answer.shape, scores.shape[-1])
        logits[answer] = scores
        return logits

    def nll(self, teacher: torch.nn.Module, batch: Batch, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Return ``-log p(y)`` of every whole answer under a teacher, shape ``(b,)``; one number a row is cached."""
        part = select_rows(batch, rows)
        if not len(part["labels"]):
            return torch.zeros(0, device=part["labels"].device)
        return self.lookup(teacher, "nll", part, lambda rest: answer_nll(frozen_logits(teacher, rest), rest["labels"]))

    def _states(self, teacher: torch.nn.Module, head: torch.nn.Module, batch: Batch) -> list[torch.Tensor]:
        """Return the inputs of the head at the answer tokens of every row, ``(n_i, D)`` each."""
        inputs: list[torch.Tensor] = []
        handle = head.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
        try:
            logits = frozen_logits(teacher, batch)
        finally:
            handle.remove()
        answer = batch["labels"] != IGNORED
        states = inputs[0][answer]
        tolerance = max(1e-4, 4 * torch.finfo(logits.dtype).eps)
        with torch.no_grad():
            if not torch.allclose(head(states), logits[answer], rtol=tolerance, atol=tolerance):
                self._headless.add(self._hash(teacher))
        return list(states.split(answer.sum(dim=1).tolist()))

    def save(self, folder: Path) -> None:
        """Write all outputs into a checkpoint, so that a resumed run continues with the very same ones."""
        kinds: dict[str, list[tuple[int, int, torch.Tensor]]] = {}
        for (kind, index), (row_hash, output) in self.outputs.items():
            kinds.setdefault(kind, []).append((index, row_hash, output))
        tensors = {}
        for kind, rows in kinds.items():
            tensors[f"{kind} rows"] = torch.tensor([(index, row_hash, *out.shape) for index, row_hash, out in rows])
            tensors[f"{kind} answers"] = torch.cat([output.flatten() for *_, output in rows])
        if tensors:
            save_file(tensors, folder / FILE)

    def load(self, folder: Path) -> None:
        if not self.on or not (folder / FILE).exists():
            return
        tensors = load_file(folder / FILE)
        for kind in (name.removesuffix(" rows") for name in tensors if name.endswith(" rows")):
            rows, start = tensors[f"{kind} rows"].tolist(), 0
            for index, row_hash, *shape in rows:
                size = int(torch.Size(shape).numel())
                self._add((kind, index), row_hash, tensors[f"{kind} answers"][start : start + size].view(shape))
                start += size
