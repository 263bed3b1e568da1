"""Outputs as files: one parquet file a split, written in one step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mubench.hub_builders.utils.atomic import replace_folder
from mubench.trainers.inference.image_outputs import IMAGE_COLUMNS, ImageOutputs
from mubench.trainers.inference.outputs import COLUMNS, ClassOutputs, Outputs
from mubench.trainers.inference.token_outputs import TOKEN_COLUMNS, TokenOutputs


def write_outputs(folder: str | Path, splits: Mapping[str, Outputs]) -> None:
    """Write ``<folder>/<split>.parquet`` for every split; readers see the old folder, none, or the new one."""
    folder = Path(folder)
    fresh = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    try:
        for split, outputs in splits.items():
            pq.write_table(outputs.to_table(), fresh / f"{split}.parquet", compression="zstd")
        replace_folder(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _read(path: Path) -> Outputs:
    try:
        table = pq.read_table(path).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"expected {path} to be a whole outputs file, got: {reason}") from error
    # The columns of images include those of classes.
    for kind, columns in ((ImageOutputs, IMAGE_COLUMNS), (ClassOutputs, COLUMNS), (TokenOutputs, TOKEN_COLUMNS)):
        if set(columns) <= set(table.column_names):
            return kind.from_table(table)
    raise ValueError(f"expected {path} to be an outputs file, got the columns {', '.join(table.column_names)}")


def read_outputs(folder: str | Path) -> dict[str, Outputs]:
    """Read what ``write_outputs`` wrote, by split.

    Raises:
        FileNotFoundError: If the folder holds no outputs.
        ValueError: If a file is damaged.
    """
    files = sorted(Path(folder).glob("*.parquet"))
    if not files:
        raise FileNotFoundError(f"expected outputs of a model in {folder}, got no .parquet file there")
    return {file.stem: _read(file) for file in files}


def outputs_by_split(
    splits: Mapping[str, Outputs],
    forget_ids: Sequence[str] | npt.NDArray[np.str_],
    retain_ids: Sequence[str] | npt.NDArray[np.str_],
) -> dict[str, Outputs]:
    """Return the splits that metrics read: ``forget`` and ``retain`` in place of ``train``.

    Raises:
        ValueError: If a row is in both sets, or has no outputs.
    """
    both = set(map(str, forget_ids)) & set(map(str, retain_ids))
    if both:
        raise ValueError(f"expected forget and retain to share no row, got {len(both)} such as {min(both)!r}")
    train = splits["train"]
    rest = {name: outputs for name, outputs in splits.items() if name != "train"}
    return {"forget": train.select(forget_ids), "retain": train.select(retain_ids), **rest}
