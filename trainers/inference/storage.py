"""Outputs as files: one parquet file per split, written in one step; ``run.json`` records their SHA-256."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mubench.hub_builders.hub.model_folder import Run, remake_command
from mubench.hub_builders.tasks.names import fingerprint
from mubench.hub_builders.utils.atomic import replace_folder
from mubench.hub_builders.utils.checksums import sha256_of
from mubench.trainers.inference.image_outputs import IMAGE_COLUMNS, ImageOutputs
from mubench.trainers.inference.outputs import COLUMNS, ClassOutputs, Outputs
from mubench.trainers.inference.token_outputs import TOKEN_COLUMNS, TokenOutputs

T = TypeVar("T")

# The outputs on forget rows with a slightly changed input; models of earlier versions have none.
SHIFTED = "shifted"
# The outputs of a randomly initialised model on forget rows, beside those of a base model.
RANDOM = "random"
# The column that names the split of a row where one file holds all of them.
SPLIT = "split"
REQUIRED = sorted({*COLUMNS, *IMAGE_COLUMNS, *TOKEN_COLUMNS})


def write_outputs(folder: str | Path, splits: Mapping[str, Outputs]) -> dict[str, str]:
    """Write ``<folder>/<split>.parquet`` for every split; readers see the old folder, none, or the new one.

    Returns:
        The SHA-256 of every file, by name.
    """
    folder = Path(folder)
    fresh = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    written = {}
    try:
        for split, outputs in splits.items():
            data, name = _to_bytes(outputs), f"{split}.parquet"
            written[name] = hashlib.sha256(data).hexdigest()
            (fresh / name).write_bytes(data)
        replace_folder(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return written


def _to_bytes(outputs: Outputs) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pq.write_table(outputs.to_table(), sink, compression="zstd")
    return sink.getvalue()


def hash_splits(splits: Mapping[str, Outputs]) -> str:
    """Return one SHA-256 of outputs by split: that of the files which `write_outputs` would write."""
    return fingerprint(
        {f"{split}.parquet": hashlib.sha256(_to_bytes(one)).hexdigest() for split, one in splits.items()}
    )


def _files(folder: str | Path, recorded: Mapping[str, str] | None) -> list[Path]:
    files = sorted(Path(folder).glob("*.parquet"))
    if not files:
        raise FileNotFoundError(f"expected outputs of a model in {folder}, got no .parquet file there")
    if recorded and (names := [file.name for file in files]) != sorted(recorded):
        raise ValueError(f"expected {', '.join(sorted(recorded))} in {folder}, got {', '.join(names)}")
    return files


def _hash(path: Path, recorded: Mapping[str, str] | None, data: bytes | None = None) -> str:
    """Return the SHA-256 of a file, or of the ``data`` that were read from it."""
    found = sha256_of(path) if data is None else hashlib.sha256(data).hexdigest()
    if recorded and found != recorded[path.name]:
        raise ValueError(f"expected {path} as it was written, got sha256 {found[:12]}, not {recorded[path.name][:12]}")
    return found


def _parse(path: Path, data: bytes) -> Outputs:
    return _from_table(path, _read_table(path, data))


def _read_table(path: Path, data: bytes) -> pa.Table:
    try:
        return pq.read_table(pa.BufferReader(data)).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"expected {path} to be a whole outputs file, got: {reason}") from error


def _from_table(path: Path, table: pa.Table) -> Outputs:
    # The columns of images include those of classes.
    for kind, columns in ((ImageOutputs, IMAGE_COLUMNS), (ClassOutputs, COLUMNS), (TokenOutputs, TOKEN_COLUMNS)):
        if set(columns) <= set(table.column_names):
            try:
                return kind.from_table(table)
            except (AttributeError, TypeError, pa.ArrowException) as error:
                types = ", ".join(f"{field.name} {field.type}" for field in table.schema)
                raise ValueError(f"expected {path} to have the columns that outputs have, got {types}") from error
    raise ValueError(f"expected {path} to be an outputs file, got the columns {', '.join(table.column_names)}")


def read_outputs(folder: str | Path, recorded: Mapping[str, str] | None = None) -> dict[str, Outputs]:
    """Read what ``write_outputs`` wrote, by split.

    Args:
        folder: Folder of the outputs.
        recorded: SHA-256 of every file, by name, as ``run.json`` records them; without any nothing is compared.

    Raises:
        FileNotFoundError: If the folder holds no outputs.
        ValueError: If a file is damaged, or the files are not those recorded.
    """
    splits = {}
    for file in _files(folder, recorded):
        data = file.read_bytes()
        _hash(file, recorded, data)
        splits[file.stem] = _parse(file, data)
    return splits


def read_outputs_file(path: str | Path) -> dict[str, Outputs]:
    """Read the outputs of all splits from one parquet file: the columns of those files, and ``split``.

    Lists of any width and precision will do for logits; they become float32.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or a column is missing or of another type.
    """
    path = Path(path)
    table = _read_table(path, path.read_bytes())
    if SPLIT not in table.column_names:
        found = ", ".join(table.column_names)
        raise ValueError(f"expected a column {SPLIT} beside those of outputs in {path}, got {found}")
    splits = {}
    for split in pc.unique(table[SPLIT]).to_pylist():
        rows = table.filter(pc.equal(table[SPLIT], split)).drop_columns([SPLIT]).combine_chunks()
        # A column that no row of the split has, such as generated texts, is not among its outputs.
        rows = rows.select([name for name in rows.column_names if rows[name].null_count < len(rows)])
        try:
            splits[str(split)] = _from_table(path, _with_stored_types(rows))
        except (pa.ArrowException, KeyError, TypeError, AttributeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"expected outputs of split {split!r} in {path}, got: {reason}") from error
    return splits


def _with_stored_types(table: pa.Table) -> pa.Table:
    """Return a table with logits and losses as lists of float32 of one width, and labels as int64."""
    for name in ("logits", "losses"):
        if name in table.column_names:
            lists = table[name].combine_chunks()
            widths = pc.unique(pc.list_value_length(lists)).to_pylist()
            if len(widths) != 1 or widths[0] is None:
                raise ValueError(f"expected {name} of one length in every row, got {len(widths)} lengths")
            wide = pa.FixedSizeListArray.from_arrays(lists.flatten().cast(pa.float32(), safe=False), widths[0])
            table = table.set_column(table.column_names.index(name), name, wide)
    if "label" in table.column_names:
        table = table.set_column(table.column_names.index("label"), "label", table["label"].cast(pa.int64()))
    if nulls := [name for name in REQUIRED if name in table.column_names and table[name].null_count]:
        raise ValueError(f"expected a value in every row, got none in some of {', '.join(nulls)}")
    return table


def hash_outputs(folder: str | Path, recorded: Mapping[str, str] | None = None) -> str:
    """Return one SHA-256 of all files of a model's outputs; arguments and errors are those of `read_outputs`."""
    return fingerprint({file.name: _hash(file, recorded) for file in _files(folder, recorded)})


def read_or_explain(read: Callable[[], T], run: Run, folder: Path, data: str | None = None) -> T:
    """Return what ``read`` reads of a model folder's outputs.

    Raises:
        ValueError: If it fails; the message names the command that makes the folder anew.
    """
    try:
        return read()
    except (OSError, ValueError) as error:
        text = f"expected outputs that can be read, got: {error}" if getattr(error, "errno", None) else str(error)
        again = f"remove {folder} and make it anew with: {remake_command(run, folder, data)}"
        raise ValueError(f"{text}; {again}") from error


def outputs_by_split(
    splits: Mapping[str, Outputs],
    forget_ids: Sequence[str] | npt.NDArray[np.str_],
    retain_ids: Sequence[str] | npt.NDArray[np.str_],
) -> dict[str, Outputs]:
    """Return the splits that metrics read: ``forget`` and ``retain`` in place of ``train``.

    ``shifted`` and ``random``, where they are stored, have the rows of ``forget``.

    Raises:
        ValueError: If a row is in both sets, or has no outputs.
    """
    both = set(np.asarray(forget_ids).tolist()) & set(np.asarray(retain_ids).tolist())
    if both:
        raise ValueError(f"expected forget and retain to share no row, got {len(both)} such as {min(both)!r}")
    train = splits["train"]
    rest = {name: outputs for name, outputs in splits.items() if name != "train"}
    for name in {SHIFTED, RANDOM} & {*rest}:  # stored once for the largest ratio
        rest[name] = rest[name].select(forget_ids)
    return {"forget": train.select(forget_ids), "retain": train.select(retain_ids), **rest}
