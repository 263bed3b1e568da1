"""Outputs from outside the suite, compared with a task's rows and put into their order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mubench.trainers.inference.image_outputs import ImageOutputs
from mubench.trainers.inference.outputs import ClassOutputs, Outputs
from mubench.trainers.inference.storage import RANDOM, SHIFTED, read_outputs, read_outputs_file
from mubench.trainers.inference.token_outputs import TokenOutputs
from mubench.trainers.metrics.evidence import SplitOutputs
from mubench.trainers.models.setting import Setting

Ids = npt.NDArray[np.str_]
# Splits that no part of S reads.
OPTIONAL = ("validation", SHIFTED)


def read_outside(path: Path, recorded: Mapping[str, str] | None = None) -> dict[str, Outputs]:
    """Return outputs by split: from a folder of parquet files named after splits, or from one file with all of them.

    Errors are those of `read_outputs` and `read_outputs_file`.
    """
    return read_outputs(path, recorded) if path.is_dir() else read_outputs_file(path)


class OutsideOutputs:
    """Compares outputs with the rows of a task at one ratio.

    Args:
        setting: Task and backbone.
        ratio: Percentage deleted.
        reference: Outputs of a reference model by split, whose answer tokens others must have; empty where only
            evidence is at hand.
    """

    def __init__(self, setting: Setting, ratio: int, reference: SplitOutputs) -> None:
        self.setting, self.reference = setting, reference
        mask = setting.forget_mask(ratio)
        whole = {split: np.arange(len(rows)) for split, rows in setting.rows.items() if split != "train"}
        forget = ("train", np.flatnonzero(mask))
        self._places: dict[str, tuple[str, npt.NDArray[np.intp]]] = {
            "forget": forget,
            "retain": ("train", np.flatnonzero(~mask)),
            **{split: (split, rows) for split, rows in whole.items()},
            SHIFTED: forget,
        }
        self._changed: Ids = np.asarray(setting.largest_forget_set["example_id"], dtype=np.str_)

    def align(self, given: Mapping[str, Outputs]) -> dict[str, Outputs]:
        """Return the outputs in the order of the task's rows, ``forget`` and ``retain`` in place of ``train``.

        Raises:
            ValueError: If a split, a row or a number is missing, or rows are unknown, or have other labels or tokens.
        """
        found = self._by_split(given)
        return {split: self._check(split, found[split]) for split in self._places if split in found}

    def _by_split(self, given: Mapping[str, Outputs]) -> dict[str, Outputs]:
        found = {split: one for split, one in given.items() if split != RANDOM}  # of another model
        if "train" in found:
            if both := {"forget", "retain"} & set(found):
                raise ValueError(f"expected outputs of train, or of forget and retain, got train and {min(both)}")
            train = found.pop("train")
            _check_known("train", train, self.setting.train_ids)
            found |= {split: _select(split, train, self._ids(split)) for split in ("forget", "retain")}
        needed = [split for split in self._places if split not in OPTIONAL]
        if missing := [split for split in needed if split not in found]:
            raise ValueError(f"expected outputs of {', '.join(needed)}, got none of {', '.join(missing)}")
        if unknown := sorted({*found} - {*self._places}):
            raise ValueError(f"expected outputs of {', '.join(self._places)}, got some of {', '.join(unknown)}")
        return found

    def _ids(self, split: str) -> Ids:
        stored, rows = self._places[split]
        if stored == "train":
            return self.setting.train_ids[rows]
        return np.asarray(self.setting.rows[stored]["example_id"], dtype=np.str_)[rows]

    def _check(self, split: str, outputs: Outputs) -> Outputs:
        ids = self._ids(split)
        _check_known(split, outputs, self._changed if split == SHIFTED else ids)
        found = _select(split, outputs, ids)
        if not found.is_finite():
            raise ValueError(f"expected finite outputs, got NaN or infinity in split {split}")
        if type(found) is not (kind := self._kind):
            raise ValueError(f"expected {kind.__name__} of {self.setting.task.key}, got {type(found).__name__}")
        if isinstance(found, TokenOutputs):
            self._check_tokens(split, found)
        elif isinstance(found, ImageOutputs):
            self._check_classes(split, found.classes)
        elif isinstance(found, ClassOutputs):
            self._check_classes(split, found)
        return found

    @property
    def _kind(self) -> type[Outputs]:
        kind = self.setting.task.kind
        if kind.endswith("_classification"):
            return ClassOutputs
        return ImageOutputs if kind == "text_to_image" else TokenOutputs

    def _check_classes(self, split: str, outputs: ClassOutputs) -> None:
        classes, width = len(self.setting.info.labels), outputs.logits.shape[1]
        if width != classes:
            raise ValueError(f"expected logits of {classes} classes in split {split}, got {width}")
        stored, rows = self._places[split]
        labels = np.asarray(self.setting.rows[stored]["label"], dtype=np.int64)[rows]
        if (wrong := outputs.labels != labels).any():
            raise ValueError(
                f"expected the labels of the task in split {split}, got others in {int(wrong.sum())} of "
                f"{len(labels)} rows, such as {str(outputs.ids[wrong][0])!r}"
            )

    def _check_tokens(self, split: str, outputs: TokenOutputs) -> None:
        known = self.reference.get(split)
        if not isinstance(known, TokenOutputs):
            return  # of references by evidence alone there are no tokens
        same = np.array_equal(outputs.lengths, known.lengths) and np.array_equal(outputs.token_id, known.token_id)
        if not same:
            raise ValueError(
                f"expected the answer tokens of the reference models in split {split}, got others, as another "
                "tokenizer makes them"
            )


def _check_known(split: str, outputs: Outputs, ids: Ids) -> None:
    if len(unknown := np.setdiff1d(outputs.ids, ids)):
        raise ValueError(
            f"expected rows of the task in split {split}, got {len(unknown)} unknown example ids, such as "
            f"{str(unknown[0])!r}"
        )


def _select(split: str, outputs: Outputs, ids: Ids) -> Outputs:
    try:
        return outputs.select(ids)
    except ValueError as error:
        raise ValueError(f"split {split}: {error}") from error
