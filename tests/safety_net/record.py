"""Writes the golden files from what the code does: ``python -m tests.safety_net.record``, before the restructuring.

It was run once, at the commit that added it. What it calls of the code's inside may have moved since; the tests call
none of it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

from tests.safety_net import doors, golden, measures, models, option_cases, shipped
from tests.safety_net.variants import VARIANTS

MEASURED = ("cost", "history", "versions", "device", "tuned")


class Caught(ValueError):
    """Ends a command as soon as it has said which run it is about."""


@contextmanager
def caught() -> Iterator[list[Any]]:
    """Yield a list that is filled with the folder and config of the run that a command would do."""
    found: list[Any] = []

    def catch(folder: Path, run: Any) -> bool:
        left_out = (*MEASURED, *(() if run.eval_seed else ("eval_seed",)))
        config = {key: value for key, value in asdict(run).items() if key not in left_out}
        assert shipped.identity(golden.as_json(config)) == run.identity
        found[:] = [folder.name, golden.as_json(config)]
        raise Caught("caught")

    from mubench.hub_builders import base_models  # noqa: PLC0415
    from mubench.trainers import commands  # noqa: PLC0415

    with mock.patch.object(base_models, "is_complete", catch), mock.patch.object(commands, "is_complete", catch):
        yield found


def run_of(words: list[str], data: Path, places: Path) -> list[Any]:
    """Return the folder and config that words stand for."""
    said = [f"--data={data}", f"--models={places}", *([] if "base" in words[:1] else ["--judge=false"])]
    with caught() as found:
        answer = doors.call(*measures.with_door(words), *said)
    assert found and answer.err == "mubench: caught\n", (words, answer)
    return list(found)


def variant(words: str, data: Path, places: Path) -> dict[str, Any]:
    """Return the run that words stand for, and that of the base model it starts from."""
    method, *rest = words.split()
    base_words = ["base", *(w for w in rest if w.split("=")[0] in ("--task", "--backbone", "--family", "--base_seed",
                                                                  "--eval_seed"))]  # fmt: skip
    data = data / measures.FOLDERS["group" if "--family=group" in rest else "canonical"]
    if method == "base":
        return {"base": run_of(words.split(), data, places)}
    if method.startswith("retrain"):
        return {"model": run_of(words.split(), data, places)}
    base = run_of(base_words, data, places)
    shipped.forge(places / base[0], base[1])
    return {"base": base, "model": run_of(words.split(), data, places)}


def record(at: Path) -> None:
    """Write every golden file."""
    os.chdir(at)
    for family in measures.FOLDERS:
        assert doors.call("hub_builders", "build", "--family", family, "--out", at).code == 0
    places = {
        f"{folder} {task}": (at / folder, task)
        for folder in measures.FOLDERS.values()
        for task in measures.configs.manifests(at / folder)
    }
    golden.write("configs", {name: measures.dataset(*where, at / "cache") for name, where in places.items()})
    golden.write("bytes", {name: measures.bytes_of(*where) for name, where in places.items()})
    golden.write("heads", {folder: measures.head(at / folder) for folder in measures.FOLDERS.values()})
    golden.write("identities", {name: row["identity"] for name, row in shipped.rows().items()})
    golden.write("variants", {words: variant(words, at, at / "runs") for words in VARIANTS})
    backbones = doors.backbones()
    golden.write("recipes", {f"{task}- {backbone}": run_of(
        ["base", f"--task={task}", f"--backbone={backbone}"], at / "mu-bench", at / "runs"
    ) for task, backbone in backbones})  # fmt: skip
    methods = option_cases.methods()
    golden.write("options", {name: measures.options(name) for name in option_cases.names()})
    golden.write("method_options", golden.shared({one: measures.options(f"trainers {one}") for one in methods}))
    golden.write("defaults", {f"{task} {key}": measures.there(task, key, methods) for task, key in backbones})
    golden.write(
        "mistakes", {words: _mistake(words, at, at / f"m{i}" / "here") for i, words in enumerate(measures.mistakes())}
    )
    golden.write("weights", {name: measures.weights(name, at / "work") for name in models.CASES})


def _mistake(words: str, data: Path, here: Path) -> list[int]:
    here.mkdir(parents=True)
    os.chdir(here)
    code, lines, out, left = measures.mistake(words, data, here)
    assert (lines, out, left) == (1, "", []), (words, code, lines, out, left)
    return [code]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        record(Path(folder))
