"""`TeacherCache`: what frozen teachers said of rows, so that none is asked about a row twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from safetensors.torch import load_file, save_file

from mubench.trainers.engine.losses import IGNORED
from mubench.trainers.engine.shared_losses import answer_nll
from mubench.trainers.unlearning.pairing import content_print
from mubench.trainers.unlearning.teachers import Batch, frozen_logits, select, state_of

# What a memory holds at most; answers beyond that are asked for anew.
KEPT_BYTES = 1 << 31
FILE = "teachers.safetensors"

Ask = Callable[[Batch], Sequence[torch.Tensor] | torch.Tensor]


class TeacherCache:
    """What frozen teachers said of rows, so that none is asked about a row twice.

    A row is known by its index and the print of its content that `collate_sides` takes: one that has changed (random
    augmentation) is asked about anew, and a teacher is known by the print of its weights. So a remembered answer is
    the one that the teacher would give now. Batches without prints are never remembered, nor is predicted noise, whose
    inputs are drawn anew. Only a collator that is random in itself goes unnoticed: leave the memory off then.

    Args:
        on: Whether to remember at all.

    Attributes:
        answers: By kind of answer and row: the row's print and the answer, in main memory.
    """

    def __init__(self, *, on: bool = True) -> None:
        self.on = on
        self.answers: dict[tuple[str, int], tuple[int, torch.Tensor]] = {}
        self._bytes = 0
        self._prints: WeakKeyDictionary[torch.nn.Module, str] = WeakKeyDictionary()
        self._headless: set[str] = set()

    def recall(self, teacher: torch.nn.Module, what: str, batch: Batch, ask: Ask) -> torch.Tensor:
        """Return a teacher's answers about all rows, asking about those alone that it was not asked about before.

        Args:
            teacher: Whose answers they are.
            what: Names the kind of answer.
            batch: A collated batch of ``B`` rows.
            ask: Asks about a batch: one tensor a row, all of one shape.

        Returns:
            Outputs, shape ``(B, ...)``, on the device of the labels.
        """
        return torch.stack(self.recall_each(teacher, what, batch, ask)).to(batch["labels"].device)

    def recall_each(self, teacher: torch.nn.Module, what: str, batch: Batch, ask: Ask) -> list[torch.Tensor]:
        """Return what `recall` does, for answers of different shapes: one tensor a row, on any device."""
        if not self.on or "print" not in batch or batch["labels"].is_floating_point():
            return list(ask(batch))
        keys = [(f"{self._print(teacher)} {what}", index) for index in batch["index"].tolist()]
        prints = batch["print"].tolist()
        found = {key: self.answers[key][1] for key, now in zip(keys, prints, strict=True) if self._knows(key, now)}
        missing = [position for position, key in enumerate(keys) if key not in found]
        if missing:
            mask = torch.zeros(len(keys), dtype=torch.bool, device=batch["labels"].device)
            mask[missing] = True
            said = ask(select(batch, mask))
            said = said.cpu() if torch.is_tensor(said) else said
            for position, answer in zip(missing, said, strict=True):
                found[keys[position]] = answer.cpu()
                self._keep(keys[position], prints[position], found[keys[position]])
        return [found[key] for key in keys]

    def _knows(self, key: tuple[str, int], now: int) -> bool:
        return key in self.answers and self.answers[key][0] == now

    def _keep(self, key: tuple[str, int], now: int, answer: torch.Tensor) -> None:
        size = answer.nbytes - (self.answers[key][1].nbytes if key in self.answers else 0)
        if self._bytes + size <= KEPT_BYTES:
            self.answers[key] = (now, answer)
            self._bytes += size

    def _print(self, teacher: torch.nn.Module) -> str:
        if teacher not in self._prints:
            self._prints[teacher] = f"{content_print(state_of(teacher)):08x}"
        return self._prints[teacher]

    def logits(self, teacher: torch.nn.Module, batch: Batch, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Return a teacher's logits as `frozen_logits` does, remembered.

        Of token models the last hidden states of answer tokens are kept, a small part of what logits take, and the
        head is applied again; logits at other tokens are then 0. Where logits are not the head of those states, such
        as with a soft cap, the teacher is asked each time.
        """
        part = select(batch, rows)
        if part["labels"].ndim != 2:
            return self.recall(teacher, "logits", part, lambda rest: frozen_logits(teacher, rest))
        head = getattr(teacher, "get_output_embeddings", lambda: None)()
        if not self.on or head is None or self._print(teacher) in self._headless:
            return frozen_logits(teacher, part)
        states = self.recall_each(teacher, "states", part, lambda rest: self._states(teacher, head, rest))
        if self._print(teacher) in self._headless:
            return frozen_logits(teacher, part)
        with torch.no_grad():
            said = head(torch.cat(states).to(part["labels"].device))
        answer = part["labels"] != IGNORED
        logits = said.new_zeros(*answer.shape, said.shape[-1])
        logits[answer] = said
        return logits

    def nll(self, teacher: torch.nn.Module, batch: Batch, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Return ``-log p(y)`` of every whole answer under a teacher, shape ``(b,)``: one number a row to remember."""
        part = select(batch, rows)
        if not len(part["labels"]):
            return torch.zeros(0, device=part["labels"].device)
        return self.recall(teacher, "nll", part, lambda rest: answer_nll(frozen_logits(teacher, rest), rest["labels"]))

    def _states(self, teacher: torch.nn.Module, head: torch.nn.Module, batch: Batch) -> list[torch.Tensor]:
        """Return what the head was given at the answer tokens of every row, ``(n_i, D)`` each."""
        given: list[torch.Tensor] = []
        handle = head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
        try:
            logits = frozen_logits(teacher, batch)
        finally:
            handle.remove()
        answer = batch["labels"] != IGNORED
        states = given[0][answer]
        close = max(1e-4, 4 * torch.finfo(logits.dtype).eps)
        with torch.no_grad():
            if not torch.allclose(head(states), logits[answer], rtol=close, atol=close):
                self._headless.add(self._print(teacher))
        return list(states.split(answer.sum(dim=1).tolist()))

    def save(self, folder: Path) -> None:
        """Write all answers into a checkpoint, so that a resumed run goes on with the very same ones."""
        kinds: dict[str, list[tuple[int, int, torch.Tensor]]] = {}
        for (kind, index), (now, answer) in self.answers.items():
            kinds.setdefault(kind, []).append((index, now, answer))
        tensors = {}
        for kind, rows in kinds.items():
            tensors[f"{kind} rows"] = torch.tensor([(index, now, *answer.shape) for index, now, answer in rows])
            tensors[f"{kind} answers"] = torch.cat([answer.flatten() for *_, answer in rows])
        if tensors:
            save_file(tensors, folder / FILE)

    def load(self, folder: Path) -> None:
        """Read the answers of a checkpoint, where it has any."""
        if not self.on or not (folder / FILE).exists():
            return
        tensors = load_file(folder / FILE)
        for kind in (name.removesuffix(" rows") for name in tensors if name.endswith(" rows")):
            rows, start = tensors[f"{kind} rows"].tolist(), 0
            for index, now, *shape in rows:
                size = int(torch.Size(shape).numel())
                answer = tensors[f"{kind} answers"][start : start + size].view(shape)
                self._keep((kind, index), now, answer)
                start += size
