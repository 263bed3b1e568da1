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
from mubench.trainers.engine.rows import CPU, memory_share
from mubench.trainers.inference.predict import eval_mode

if TYPE_CHECKING:
    from peft import PeftModel

# The most that a cache holds, where a share of the free memory is not less; outputs beyond that are computed anew.
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


def original_model(model: torch.nn.Module) -> torch.nn.Module:
    """Return a model, or that of a teacher, within its adapters."""
    return unwrap(model.models[0] if isinstance(model, WithoutAdapters) else model)


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


class DroppedTeacher(torch.nn.Module):
    """Placeholder of a teacher whose outputs are all cached; of its weights it keeps the output head.

    Args:
        teacher: The teacher.
    """

    def __init__(self, teacher: torch.nn.Module) -> None:
        super().__init__()
        self.heads = (getattr(teacher, "get_output_embeddings", lambda: None)(),)  # which may be the student's

    def get_output_embeddings(self) -> torch.nn.Module | None:
        """Return the head of a language model."""
        return self.heads[0]


class OutputTable:
    """Outputs of one kind by row, one after another in one tensor.

    Attributes:
        hashes: Hash of the content that each row had, ``(N,)`` int64; -1 where its outputs are unknown.
        starts: Where each row's outputs begin, ``(N,)`` int64.
        sizes: How many lines they take, ``(N,)`` int64.
        lines: Outputs, ``(M, ...)``, of which the first ``used`` are in use.
    """

    FIELDS = ("hashes", "starts", "sizes", "lines")

    def __init__(self, lines: torch.Tensor) -> None:
        self.lines, self.used = lines, len(lines)
        self.hashes, self.starts, self.sizes = (torch.full((1,), -1, device=lines.device) for _ in range(3))

    def __len__(self) -> int:
        return int((self.hashes >= 0).sum())

    def hashes_of(self, index: torch.Tensor) -> torch.Tensor:
        """Return the hashes of rows, -1 where outputs are unknown."""
        last = len(self.hashes) - 1
        return torch.where(index <= last, self.hashes[index.clamp(max=last)], -1)

    def knows(self, index: torch.Tensor, hashes: torch.Tensor) -> torch.Tensor:
        """Return which rows' outputs are known, ``(B,)`` bool, given their indices and hashes."""
        return self.hashes_of(index) == hashes

    def read(self, index: torch.Tensor) -> torch.Tensor:
        """Return the outputs of known rows, in order, ``(n_1 + ... + n_B, ...)``."""
        return self.lines[self._places(self.starts[index], self.sizes[index])]

    def add(self, index: torch.Tensor, hashes: torch.Tensor, sizes: torch.Tensor, lines: torch.Tensor) -> None:
        """Add outputs of rows, ``(n_1 + ... + n_b, ...)``; those of a changed row take its place if they fit there."""
        last = int(index.max()) + 1
        if last > len(self.hashes):
            rows = torch.full((max(last, 2 * len(self.hashes)) - len(self.hashes),), -1, device=index.device)
            self.hashes, self.starts, self.sizes = (
                torch.cat([part, rows]) for part in (self.hashes, self.starts, self.sizes)
            )
        new = torch.where(self.sizes[index] == sizes, 0, sizes)
        ends = new.cumsum(0) + self.used
        starts = torch.where(new > 0, ends - new, self.starts[index])
        self.used = int(ends[-1])
        if self.used > len(self.lines):
            more = max(self.used, 2 * len(self.lines)) - len(self.lines)
            self.lines = torch.cat([self.lines, lines.new_empty(more, *lines.shape[1:])])
        self.lines[self._places(starts, sizes)] = lines
        self.hashes[index], self.starts[index], self.sizes[index] = hashes, starts, sizes

    @staticmethod
    def _places(starts: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """Return the places of all lines of rows, one row after another."""
        first = starts - (sizes.cumsum(0) - sizes)
        return first.repeat_interleave(sizes) + torch.arange(int(sizes.sum()), device=sizes.device)


class TeacherCache:
    """Outputs of frozen teachers by row, so that each teacher runs on a row once.

    A row is identified by its index and the hash of its content that `collate_with_split` adds, a teacher by the hash
    of its weights: the outputs of a changed row, or of another teacher, are computed anew, so that a cached output is
    the one that the teacher would give now. Batches without hashes are never cached, nor is predicted noise, whose
    inputs are random at every step. The hashes sample about 1,024 values of each entry, so that a change of a few
    others goes unnoticed, and so does a collator that is random in itself: turn the cache off then.

    Args:
        on: Whether to cache at all.
        device: Where outputs lie: that of the batches.

    Attributes:
        outputs: By hash of the teacher and kind of output.
        passes: Rows on which teachers have run.
    """

    def __init__(self, *, on: bool = True, device: torch.device = CPU) -> None:
        self.on, self.device = on, device
        self.outputs: dict[str, OutputTable] = {}
        self.passes = 0
        self._limit: int | None = None
        self._hashes: WeakKeyDictionary[torch.nn.Module, str] = WeakKeyDictionary()
        self._headless: set[str] = set()

    def lookup(self, teacher: torch.nn.Module, kind: str, batch: Batch, compute: Compute) -> torch.Tensor:
        """Return a teacher's outputs of one kind for all rows, one after another, on the device of the labels.

        Those that are not in the cache are computed: ``compute`` returns a tensor, ``(b, ...)``, or one of any length
        a row, ``(n_i, ...)`` each, which are returned as ``(n_1 + ... + n_B, ...)``.
        """
        if not self.on or CONTENT_HASH not in batch or batch["labels"].is_floating_point():
            return _joined(compute(batch))
        key, index, hashes = f"{self._hash(teacher)} {kind}", batch["index"], batch[CONTENT_HASH]
        table = self.outputs.get(key)
        missing = ~table.knows(index, hashes) if table is not None else torch.ones_like(index, dtype=torch.bool)
        if not missing.any():
            return self.outputs[key].read(index)
        if isinstance(teacher, DroppedTeacher):
            more = int(missing.sum())
            raise RuntimeError(f"expected rows with known outputs of a dropped teacher, got {more} more")  # noqa: TRY004
        computed = compute(select_rows(batch, missing))
        self.passes += len(computed)
        lines = _joined(computed)
        sizes = index.new_tensor([1] * len(computed) if torch.is_tensor(computed) else [len(one) for one in computed])
        table = self.outputs.setdefault(key, OutputTable(lines[:0]))
        room = self._room(lines)
        fits = int((sizes.cumsum(0) <= room).sum())
        if fits:
            table.add(index[missing][:fits], hashes[missing][:fits], sizes[:fits], lines[: int(sizes[:fits].sum())])
        if fits == len(sizes):
            return table.read(index)
        rest = iter(lines.split(sizes.tolist()))
        return torch.cat(
            [next(rest) if new else table.read(one[None]) for new, one in zip(missing.tolist(), index, strict=True)]
        )

    def _room(self, lines: torch.Tensor) -> int:
        """Return how many more lines like these the cache may hold."""
        if self._limit is None:
            self._limit = min(MAX_BYTES, memory_share(self.device))
        used = sum(table.lines[: table.used].nbytes for table in self.outputs.values())
        return (self._limit - used) // max(1, lines[:1].nbytes)

    def drop_if_known(self, teacher: torch.nn.Module, rows: torch.Tensor) -> torch.nn.Module:
        """Return a `DroppedTeacher` if outputs of all rows are known, of any kind, and the teacher otherwise."""
        tables = [table for key, table in self.outputs.items() if key.startswith(f"{self._hash(teacher)} ")]
        known = torch.zeros_like(rows, dtype=torch.bool)
        for table in tables:
            known |= table.hashes_of(rows) >= 0
        if isinstance(teacher, DroppedTeacher) or not known.all():
            return teacher
        dropped = DroppedTeacher(teacher)
        self._hashes[dropped] = self._hash(teacher)
        return dropped

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
        states = self.lookup(teacher, "states", part, lambda rest: self._states(teacher, head, rest))
        if self._hash(teacher) in self._headless:
            return frozen_logits(teacher, part)
        with torch.no_grad():
            scores = head(states)
        answer = part["labels"] != IGNORED
        logits = scores.new_zeros(*answer.shape, scores.shape[-1])
        logits[answer] = scores
        return logits

    def nll(self, teacher: torch.nn.Module, batch: Batch, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Return ``-log p(y)`` of every whole answer under a teacher, shape ``(b,)``; one number per row is cached."""
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
        tensors = {
            f"{key} {field}": getattr(table, field)[: table.used if field == "lines" else None]
            for key, table in self.outputs.items()
            for field in OutputTable.FIELDS
        }
        if tensors:
            save_file(tensors, folder / FILE)

    def load(self, folder: Path) -> None:
        if not self.on or not (folder / FILE).exists():
            return
        tensors = load_file(folder / FILE, device=str(self.device))
        for key in (name.removesuffix(" lines") for name in tensors if name.endswith(" lines")):
            table = OutputTable(tensors[f"{key} lines"])
            table.hashes, table.starts, table.sizes = (tensors[f"{key} {field}"] for field in OutputTable.FIELDS[:3])
            self.outputs[key] = table


def _joined(outputs: Sequence[torch.Tensor] | torch.Tensor) -> torch.Tensor:
    return outputs if torch.is_tensor(outputs) else torch.cat(list(outputs))
