"""Damaged outputs and run files are one line, or read as what was written."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mubench.hub_builders.hub.model_folder import REFERENCE, RUN_FILE, Run, read_run
from mubench.trainers.inference.outputs import ClassOutputs, Outputs
from mubench.trainers.inference.storage import read_or_explain, read_outputs, write_outputs
from tests.cards.conftest import make_run
from tests.fuzz.cases import count_outcomes, shares

DEPTH = 100_000
# Values of other types than any field of a run has at their place.
OTHERS: tuple[Any, ...] = (None, True, 5, -0.5, 10**400, "text", [], [[]], {"a": None}, [{"a": []}, 3])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model without weights."""
    folder, generator = tmp_path_factory.mktemp("models") / "model", np.random.default_rng(0)
    folder.mkdir()
    splits = {
        split: ClassOutputs(
            np.array([f"{split}-{row}" for row in range(rows)]),
            generator.standard_normal((rows, 4)).astype(np.float32),
            np.arange(rows) % 4,
        )
        for split, rows in (("train", 90), ("validation", 20), ("test", 30))
    }
    make_run(history=[{"epoch": 1, "P": 0.5}]).finished(outputs=write_outputs(folder / REFERENCE, splits)).write(
        folder
    )
    return folder


def read(folder: Path) -> tuple[Run, dict[str, Outputs]]:
    run = read_run(folder)
    return run, read_or_explain(lambda: read_outputs(folder / REFERENCE, run.outputs), run, folder)


def flip(path: Path, generator: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(generator.choice((1, 1, 2, 9))):
        data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    path.write_bytes(data)


def truncate(path: Path, generator: random.Random) -> None:
    path.write_bytes(path.read_bytes()[: generator.randrange(path.stat().st_size)])


def retype(path: Path, generator: random.Random) -> None:
    """Give a field another value; half of the records lose their checksum, as those from before it."""
    record = json.loads(path.read_text())
    checksum = record.pop("checksum")
    name = generator.choice(sorted(record))
    record[name] = generator.choice([value for value in OTHERS if type(value) is not type(record[name])])
    record |= {"checksum": checksum} if generator.random() < 0.5 else {}
    path.write_text(json.dumps(record))


def nest(path: Path, generator: random.Random) -> None:
    record, start, end = json.loads(path.read_text()), *generator.choice((("[", "]"), ('{"a":', "}")))
    deep = f"{start * DEPTH}0{end * DEPTH}"
    name = generator.choice([*record, None])
    text = deep if name is None else json.dumps({**record, name: "@"}).replace('"@"', deep)
    path.write_text(text)


def remove(path: Path, generator: random.Random) -> None:
    path.unlink()
    if generator.random() < 0.5:
        path.mkdir()


@shares(40, 400)
def test_damaged_outputs_are_one_line_or_what_was_written(sound: Path, tmp_path: Path, first: int, last: int) -> None:
    run, splits = read(sound)

    def damage(generator: random.Random) -> str:
        folder = tmp_path / "model"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(sound, folder)
        of_run = [(folder / RUN_FILE, how) for how in (flip, truncate, retype, nest, remove)]
        of_outputs = [
            (generator.choice(sorted((folder / REFERENCE).iterdir())), how) for how in (flip, truncate, remove)
        ]
        path, how = generator.choice(generator.choice((of_run, of_outputs)))
        how(path, generator)
        what = f"{how.__name__} {'run' if path.name == RUN_FILE else 'outputs'}"
        try:
            found, outputs = read(folder)
        except ValueError as error:
            message = str(error)
            assert message.startswith("expected ") and len(message) < 1_000 and message.isprintable(), message
            advice = ["make it anew with: mubench scrub"]
            advice += [f"; remove {folder} and start its command again"] if path.name == RUN_FILE else []
            gone = path.name == RUN_FILE and not path.exists()
            assert gone or any(one in message for one in advice), message
            return f"{what}: one line"
        assert found == run and outputs.keys() == splits.keys()
        assert all(outputs[name].equals(splits[name]) for name in splits)
        assert all((outputs[name].ids == splits[name].ids).all() for name in splits)
        return f"{what}: as written"

    count_outcomes(first, last, damage)
