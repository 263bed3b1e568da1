"""Damaged dataset folders: what was built, or one line with the command that mends it; no other task is blocked."""

from __future__ import annotations

import json
import random
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import get_dataset_config_names

from mubench.cards.render import dataset_body
from mubench.hub_builders.__main__ import main
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task, task_info
from mubench.hub_builders.dataset.manifest import MANIFEST
from mubench.hub_builders.dataset.readme import MAX_BYTES, read_manifests, task_folders
from mubench.hub_builders.mini import MINI
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.utils.checksums import SUMS
from tests.fixtures.data import COUNTS, small_rows
from tests.fuzz.cases import count_outcomes, shares
from tests.fuzz.test_shards import flip

OTHER = "celeb_profile"
DEEP = 100_000
VALUES = [None, True, -1, 0, 2**70, 1.5, float("nan"), "x", "", [], [1], {}, {"a": 1}, {"train": -1}, "\x1b[2J"]
TEXTS = [
    "", "{", "null", "1", "[]", '"x"', "{}", "[" * DEEP, '{"task":' * DEEP, "[" * DEEP + "]" * DEEP,
    '{"task": ' + "[" * DEEP + "]" * DEEP + "}", "\x00" * 99, "9" * 9_999,
]  # fmt: skip
HEADS = [
    "", "x", "---\n", "---\n---\n", "---\n[1]\n---\n", "---\nconfigs:\n- {}\n---\n",
    *(f"---\nconfigs: {text * DEEP}\n---\n" for text in ("[", "- ", "{a: ", "data/imdb/", "tier=mini ")),
    "---\na: &a [x, x]\nb: &b [*a, *a]\nconfigs: [*b, *b]\n---\n",
]  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with a small task and another, while the small one is in force."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS["imdb"].counts, "mini", COUNTS)
        patch.setitem(MINI, "imdb", lambda: small_rows("old"))
        out = tmp_path_factory.mktemp("built")
        yield [build(task, out=out) for task in (OTHER, "imdb")][-1]


def change_manifest(path: Path, generator: random.Random) -> str:
    """Change a manifest, as rot, another program or a person would; without the list of sums in half of the cases."""
    kind = generator.choice(["flip", "cut", "text", "value", "value", "less", "more", "swapped"])
    data = path.read_bytes()
    fields = json.loads(data)
    name = generator.choice(list(fields))
    if kind in ("less", "more", "text") and generator.random() < 0.5:
        path.with_name(SUMS).unlink()
    changed: dict[str, Any] = {
        "value": {**fields, name: generator.choice(VALUES)},
        "less": {key: value for key, value in fields.items() if key != name},
        "more": {**fields, name + generator.choice("\x00x "): 1},
    }
    other = next(path.parents[3].glob(f"data/{OTHER}/*/{MANIFEST}"))
    texts = {"text": generator.choice(TEXTS).encode(), "swapped": other.read_bytes()}
    texts |= {"flip": flip(data, generator), "cut": data[: generator.randrange(len(data))]}
    path.write_bytes(texts[kind] if kind in texts else json.dumps(changed[kind]).encode())
    return f"manifest: {kind}"


def change_readme(path: Path, generator: random.Random) -> str:
    """Change a README: rot, another text, one that crashes a parser, lines lost or a file too large."""
    kind = generator.choice(["flip", "flip", "cut", "head", "head", "lines", "long", "gone"])
    data = path.read_bytes()
    if kind == "long":
        with path.open("ab") as file:
            file.truncate(MAX_BYTES + 1)
    elif kind == "gone":
        path.unlink()
    else:
        lines = data.splitlines(keepends=True)
        kept = b"".join(line for line in lines if generator.random() < 0.9)
        texts = {"flip": flip(data, generator), "cut": data[: generator.randrange(len(data))], "lines": kept}
        path.write_bytes(texts[kind] if kind in texts else generator.choice(HEADS).encode())
    return f"README: {kind}"


def change_files(folder: Path, generator: random.Random) -> str:
    """Change the shards of a task or the list of their sums."""
    kind = generator.choice(["swapped", "gone", "empty", "copied", "sums", "no sums", "folder"])
    one, two = generator.sample(sorted(folder.glob("*.parquet")), 2)
    data, sums = one.read_bytes(), folder / SUMS
    if kind == "folder":
        shutil.rmtree(folder)
    elif kind in ("swapped", "copied"):
        one.write_bytes(two.read_bytes())
        if kind == "swapped":
            two.write_bytes(data)
    elif kind == "sums":
        sums.write_bytes(generator.choice([b"", b"\xff" * 99, flip(sums.read_bytes(), generator)]))
    elif kind == "empty":
        one.write_bytes(b"")
    else:
        (one if kind == "gone" else sums).unlink()
    return f"files: {kind}"


def rows(folder: Path, task: str) -> dict[str, list[dict[str, Any]]]:
    return {split: part.to_list() for split, part in load_task(task, 5, data=folder).items()}


@shares(fast=12, whole=500)
def test_a_damaged_folder_is_read_as_built_or_named(
    built: Path, tmp_path: Path, first: int, last: int, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, info, other = rows(built, "imdb"), task_info("imdb", data=built), task_info(OTHER, data=built)

    def run(generator: random.Random) -> str:
        folder = shutil.copytree(built, tmp_path / "mu-bench")
        place = next(folder.glob("data/imdb/*"))
        change = generator.choice([change_manifest, change_readme, change_files])
        target = {change_manifest: place / MANIFEST, change_readme: folder / "README.md", change_files: place}
        what = change(target[change], generator)
        try:
            assert rows(folder, "imdb") == whole and task_info("imdb", data=folder) == info, f"other rows: {what}"
            found = "same"
        except (ValueError, FileNotFoundError) as error:
            found, line = "refused", str(error)
            assert line.isprintable() and f"build imdb --out {tmp_path}`" in line, line
        if change != change_readme:
            assert task_info(OTHER, data=folder) == other and read_manifests(folder).keys() >= {OTHER}
        mend(folder)
        assert rows(folder, "imdb") == whole and task_info("imdb", data=folder) == info
        assert what == "README: gone" or task_info(OTHER, data=folder) == other
        shutil.rmtree(folder)
        return f"{what}: {found}"

    def mend(folder: Path) -> None:
        capsys.readouterr()
        code = main(["build", "imdb", "--out", str(folder.parent)])
        printed = capsys.readouterr().err
        assert code == 0, printed

    counts = count_outcomes(first, last, run)
    assert sum(number for name, number in counts.items() if name.endswith("refused")) > 0.5 * (last - first)


def test_a_manifest_of_other_types_is_one_line(built: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(built, tmp_path / "mu-bench")
    path = next(folder.glob(f"data/imdb/*/{MANIFEST}"))
    path.with_name(SUMS).unlink()  # as before there was one
    fields = json.loads(path.read_text())
    for name, value in [(name, value) for name in fields for value in VALUES]:
        path.write_text(json.dumps({**fields, name: value}))
        try:
            load_task("imdb", 5, data=folder)
            dataset_body(list(read_manifests(folder).values()), repository="mu-bench")
        except (ValueError, FileNotFoundError) as error:
            line = str(error)
            assert line.isprintable(), line


def test_build_mends_a_damaged_task_beside_another_damaged_one(
    built: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(built, tmp_path / "mu-bench")
    for task in ("imdb", OTHER):
        next(folder.glob(f"data/{task}/*/{MANIFEST}")).write_text("[" * DEEP)
    before = task_folders(folder / "README.md")
    build("imdb", out=tmp_path)
    assert task_folders(folder / "README.md") == before
    entries = [one for one in get_dataset_config_names(str(folder)) if one.startswith(OTHER)]
    assert entries == [one for one in get_dataset_config_names(str(built)) if one.startswith(OTHER)] != []
    (line,) = [one for one in caplog.messages if f"{OTHER} is left out: expected a manifest with " in one]
    assert line.isprintable() and line.endswith(f"build it again with `{command(tmp_path, OTHER)}`")
    assert task_info("imdb", data=folder) == task_info("imdb", data=built)
    build(OTHER, out=tmp_path)
    assert read_manifests(folder) == read_manifests(built)


def command(out: Path, task: str) -> str:
    return shlex.join(["mubench", "build", task, "--out", str(out)])
