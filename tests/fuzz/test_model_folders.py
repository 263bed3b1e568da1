"""Damaged model folders: each is refused in one line, or gives the outputs that it gave before."""

from __future__ import annotations

import functools
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mubench.trainers.engine.task_arguments import SizeArguments
from mubench.trainers.models.modalities.pretrained import hash_files
from mubench.trainers.models.setting import Setting
from mubench.trainers.runs.run import starting_model
from tests.fixtures.few import few_rows
from tests.fuzz.cases import count_outcomes, shares

BACKBONES = ("resnet", "bert", "llama", "unet")
OTHERS = (None, [], {}, "x", "", -1, 0, 1.5, True, [None], {"a": []}, "9" * 500, "../../x", "evil.Evil", "\x1b[2J")
TEXTS = (
    "",
    "{",
    "[]",
    "3",
    "null",
    '"x"',
    "{}",
    '{"a": 1}',
    "nan",
    "[" * 100_000,
    '{"a":' * 100_000,
    "\x00\xff",
    "x" * 99,
)


class Folders:
    """One folder a backbone, with a model as it was initialised, and its outputs on a few rows."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.patch = root, patch

    @functools.cache  # noqa: B019  the object lives as long as the tests
    def whole(self, backbone: str) -> tuple[Setting, Path, Any]:
        setting, folder = few_rows(self.patch, backbone, self.root / backbone), self.root / f"{backbone}-model"
        model, processor = setting.fresh_model(0)
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        setting.run(ratio=None, base_seed=0).finished(files=hash_files(folder)).write(folder)
        return setting, folder, outputs(setting, folder)


def outputs(setting: Setting, folder: Path) -> Any:
    """Return what the model of a folder makes of the first rows, read as a run reads it."""
    request = SimpleNamespace(setting=setting, base=folder)
    run = SimpleNamespace(foreign_base=None)
    plan: Any = SimpleNamespace(request=request, base_folder=folder, run=run, arguments=SizeArguments())
    model, processor = starting_model(plan)
    rows = setting.rows["test"].select(range(4))
    encoded = setting.modality.encode(rows, processor, setting.recipe.max_length)
    if setting.task.classifiers:
        ids = torch.stack([encoded[row]["input_ids"] for row in range(len(rows))])
        with torch.no_grad():
            return model.eval()(torch.ones(len(rows), *model.shape), torch.arange(len(rows)), ids).logits.tolist()
    return setting.modality.predict(model, processor, rows, encoded).to_table().to_pydict()


def cut(path: Path, source: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: source.randrange(path.stat().st_size)])


def flip(path: Path, source: random.Random) -> None:
    """Flip a bit of a text, or of weights: one in two in their header."""
    data = bytearray(path.read_bytes())
    in_header = path.suffix == ".safetensors" and source.random() < 0.5
    end = 8 + int.from_bytes(data[:8], "little") if in_header else len(data)
    data[source.randrange(end)] ^= 1 << source.randrange(8)
    path.write_bytes(data)


def remove(path: Path, source: random.Random) -> None:
    path.unlink()


def replace(path: Path, source: random.Random) -> None:
    """Put something else in a file's place."""
    path.unlink()
    kind = source.choice(["text", "text", "noise", "folder", "loop"])
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    else:
        text = source.choice(TEXTS).encode("utf-8", "surrogateescape")
        path.write_bytes(text if kind == "text" else source.randbytes(source.randrange(1, 5_000)))


def places(found: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every dict or list in a value, with each of its keys."""
    for key in list(found) if isinstance(found, dict) else range(len(found)) if isinstance(found, list) else ():
        yield found, key
        yield from places(found[key])


def edit(path: Path, source: random.Random) -> None:
    """Give an entry of a JSON file another type, or leave it out."""
    found = json.loads(path.read_text())
    holder, key = source.choice(list(places(found)))
    if source.random() < 0.3:
        del holder[key]
    else:
        kept = type(holder[key])
        holder[key] = source.choice([other for other in OTHERS if type(other) is not kept])
    path.write_text(json.dumps(found))


def edit_header(path: Path, source: random.Random) -> None:
    """Change the length of a header, an entry of it, or the end of the weights."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header, weights = json.loads(data[8 : 8 + size]), data[8 + size :]
    kind = source.choice(["length", "entry", "name", "entry", "end"])
    if kind == "length":
        wrong = source.choice([0, 1, size - 1, size + 1, len(data), 2**31, 2**63, 2**64 - 1])
        path.write_bytes(wrong.to_bytes(8, "little") + data[8:])
        return
    name = source.choice([name for name in header if name != "__metadata__"])
    if kind == "name":
        header[source.choice(["", "x", "../x", "a" * 9_000, "\x1b[2J"])] = header.pop(name)
    elif kind == "entry":
        changes = {
            "dtype": ["F64", "I8", "X", 3],
            "shape": [[], [-1], [2**40], "x"],
            "data_offsets": [[0, 0], [5, 1], [0, 2**60], 1],
        }
        field = source.choice(list(changes))
        header[name][field] = source.choice(changes[field])
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + (weights[:-4] if kind == "end" else weights))


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (cut, flip, remove, replace, edit, edit)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folders]:
    with pytest.MonkeyPatch.context() as patch:
        yield Folders(tmp_path_factory.mktemp("folders"), patch)


@shares(16, 400)
def test_a_damaged_model_is_one_line_or_the_same_model(
    folders: Folders, tmp_path: Path, first: int, last: int
) -> None:
    def one(source: random.Random) -> str:
        backbone = source.choice(BACKBONES[:2] if last <= 16 else BACKBONES)
        setting, whole, before = folders.whole(backbone)
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
        folder = Path(shutil.copytree(whole, tmp_path / "model"))
        path = source.choice(sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "run.json"))
        damage = source.choice([edit_header, *DAMAGES[:4]] if path.suffix == ".safetensors" else DAMAGES)
        if damage is edit and path.suffix != ".json":
            damage = cut
        damage(path, source)
        what = f"{backbone}, {path.name}, {damage.__name__}"
        try:
            after = outputs(setting, folder)
        except ValueError as error:
            message = str(error)
            assert len(message.splitlines()) == 1 and message.startswith("expected ") and len(message) < 4_000, (
                what,
                message,
            )
            return "refused"
        except Exception as error:
            raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
        assert after == before, f"{what}: other outputs"
        return "same"

    counts = count_outcomes(first, last, one)
    assert counts["refused"] > (last - first) / 4
