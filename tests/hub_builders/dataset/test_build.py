"""Builds of mini tasks: files, README, rebuilds, interruptions, options."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from datasets import Image, get_dataset_config_names, load_dataset

from mubench.hub_builders.__main__ import main
from mubench.hub_builders.dataset import readme, shards
from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.dataset.load import load_task, task_info
from mubench.hub_builders.dataset.task_info import info_of_tiers
from mubench.hub_builders.deletion.ranks import deletion_ranks
from mubench.hub_builders.mini import MINI
from mubench.hub_builders.tasks import TASKS
from mubench.hub_builders.tasks.names import FAMILIES
from tests.conftest import PAIR


def configs(folder: Path) -> list[dict[str, Any]]:
    return yaml.load((folder / "README.md").read_text().split("---\n")[1], Loader=yaml.CSafeLoader)["configs"]


def listed_files(folder: Path) -> set[str]:
    """Return every path below a folder that its README lists."""
    return {path for config in configs(folder) for split in config["data_files"] for path in split["path"]}


def first_words(folder: Path) -> set[str]:
    """Return the first first_words of all texts of the small task."""
    return {text.split()[0] for split in load_task("imdb", 5, data=folder).values() for text in split["text"]}


@pytest.mark.slow
@pytest.mark.parametrize("task", PAIR)
def test_load_dataset_reads_the_folder(mini, task, monkeypatch):
    monkeypatch.chdir(mini.parent)
    assert get_dataset_config_names("mu-bench").count(f"{task}_del5") == 1
    rows = load_dataset("mu-bench", f"{task}_del5")
    ood = ["ood"] if "ood" in TASKS[task].counts["mini"] else []
    assert list(rows) == ["forget", "retain", "validation", "test", *ood]
    assert len(rows["forget"]) == (TASKS[task].counts["mini"]["train"] * 5 + 50) // 100 >= 50
    assert all(split.features == rows["forget"].features for split in rows.values())
    group = ["group"] if TASKS[task].group else []
    own = ["example_id", "source_index", "deletion_rank", *group]
    assert set(rows["test"].features) == {*own, *TASKS[task].columns}
    if "label" in TASKS[task].columns:
        assert rows["test"].features["label"].names == list(TASKS[task].label_names("mini"))


def test_stored_images_are_the_built_bytes(mini, mini_rows):
    rows = load_task("cifar10", data=mini)["test"]
    stored = {row["example_id"]: row["image"]["bytes"] for row in mini_rows("cifar10")["test"]}
    assert rows[0]["image"].size == (32, 32)
    assert {
        row["example_id"]: row["image"]["bytes"] for row in rows.cast_column("image", Image(decode=False))
    } == stored


@pytest.mark.parametrize("task", PAIR)
def test_published_ranks_can_be_recomputed(mini, task):
    train = load_task(task, data=mini)["train"]
    labels = train["label"][:] if "label" in TASKS[task].columns else None
    ranks = deletion_ranks(train["example_id"][:], labels, task=task)
    assert train["deletion_rank"][:] == ranks.tolist() == list(range(len(train)))
    assert set(load_task(task, data=mini)["test"]["deletion_rank"]) == {-1}


@pytest.mark.parametrize("ratio", [1, 5, 10])
def test_configs_and_load_task_agree(mini, ratio):
    published = load_dataset(str(mini), f"imdb_del{ratio}")
    ours = load_task("imdb", ratio, data=mini)
    for split in ("forget", "retain"):
        assert sorted(published[split]["example_id"]) == sorted(ours[split]["example_id"])


@pytest.mark.parametrize("task", PAIR)
def test_rows_are_stored_once_and_listed_explicitly(mini, task):
    folder = next((mini / "data" / task).iterdir())
    files = {path.relative_to(mini).as_posix(): path for path in folder.glob("*.parquet")}
    assert set(files) == {path for path in listed_files(mini) if path.startswith(f"data/{task}/")}
    assert all(pq.read_metadata(path).num_rows for path in files.values())
    ids = [i for path in files.values() for i in pq.read_table(path)["example_id"].to_pylist()]
    assert len(set(ids)) == len(ids) == sum(TASKS[task].counts["mini"].values())
    stored = sum(path.stat().st_size for path in files.values())
    tables = [pq.read_table(path) for path in files.values()]
    rows = sum(column.nbytes for table in tables for column in table.columns)
    assert stored <= max(1.05 * rows, rows + 64 * 1024)


def test_a_description_names_tier_family_seed_and_fingerprints(mini):
    info = task_info("imdb", data=mini)
    text = next(config["description"] for config in configs(mini) if config["config_name"] == "imdb_del3")
    for part in ("tier=mini", "family=canonical", "deletion_seed=0", f"split={info.split}", f"files={info.files}"):
        assert part in text.split()


def test_a_ratio_without_further_rows_has_no_shard(small, tmp_path):
    folder = build("imdb", out=tmp_path)
    files = {one["config_name"]: one["data_files"][0]["path"] for one in configs(folder)}
    rows = {path: pq.read_metadata(folder / path).num_rows for path in files["imdb"]}
    assert 0 not in rows.values()
    sizes = [sum(rows[path] for path in files[f"imdb_del{ratio}"]) for ratio in range(1, 11)]
    assert sizes == [(60 * ratio + 50) // 100 for ratio in range(1, 11)] == [1, 1, 2, 2, 3, 4, 4, 5, 5, 6]
    cuts = [path.name[6:9] for path in folder.rglob("train-d*.parquet")]
    assert sorted(cuts) == ["d01", "d03", "d05", "d06", "d08", "d10"]


def test_a_rebuild_with_other_rows_is_never_served_from_a_stale_cache(small, tmp_path):
    folder = build("imdb", out=tmp_path)
    before = task_info("imdb", data=folder)
    assert first_words(folder) == {"old"}
    small("new")
    build("imdb", out=tmp_path)
    assert first_words(folder) == {"new"}
    assert load_dataset(str(folder), "imdb_del5")["forget"][0]["text"].startswith("new")
    after = task_info("imdb", data=folder)
    assert before.split != after.split and before.files != after.files
    assert len(list((folder / "data" / "imdb").iterdir())) == 1


def test_a_rebuild_with_equal_rows_changes_no_byte_and_repairs_damage(small, tmp_path):
    folder = build("imdb", out=tmp_path)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    next(path for path in before if path.name == "train-d03.parquet").write_bytes(b"damage")
    build("imdb", out=tmp_path)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def relabel(folder: Path, tier: str) -> dict[Path, bytes]:
    """Change the tier in a build's manifest as if it had been built so, and return the files of the folder."""
    path = next((folder / "data" / "imdb").glob("*/manifest.json"))
    path.with_name("SHA256SUMS").unlink()
    path.write_text(path.read_text().replace('"tier": "mini"', f'"tier": "{tier}"'))
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_replacing_another_tier_is_logged(small, tmp_path, caplog):
    folder = build("imdb", out=tmp_path)
    build("imdb", out=tmp_path)
    assert not caplog.messages
    relabel(folder, "full")
    build("imdb", out=tmp_path)
    assert caplog.messages == [f"{folder}: imdb of tier mini replaced tier full"]
    assert task_info("imdb", data=folder).tier == "mini"


def test_another_tier_can_be_kept(small, tmp_path, capsys):
    keep = ["build", "imdb", "--keep-tier", f"--out={tmp_path}"]
    assert main(keep) == main(keep) == 0
    folder = tmp_path / "mu-bench"
    before = relabel(folder, "full")
    capsys.readouterr()
    assert main(keep) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1 and not out
    assert f"expected {folder} without imdb or with its tier mini, got tier full; build elsewhere" in err
    assert "(--out DIR), or remove that build" in err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_keep_tier_keeps_a_build_with_an_unreadable_manifest(small, tmp_path):
    folder = build("imdb", out=tmp_path)
    next((folder / "data" / "imdb").glob("*/manifest.json")).write_text("{")
    with pytest.raises(ValueError, match="got tier unknown"):
        build("imdb", out=tmp_path, keep_tier=True)
    build("imdb", out=tmp_path)
    assert task_info("imdb", data=folder).tier == "mini"


def test_other_tasks_are_unchanged(small, mini, tmp_path):
    folder = tmp_path / "mu-bench"
    shutil.copytree(mini, folder)
    images = {path: path.stat().st_mtime_ns for path in (folder / "data" / "cifar10").rglob("*")}
    info = task_info("cifar10", data=folder)
    build("imdb", out=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in (folder / "data" / "cifar10").rglob("*")} == images
    assert task_info("cifar10", data=folder) == info
    assert first_words(folder) == {"old"}


def test_a_deletion_seed_has_its_own_folder_and_split(small, tmp_path):
    folders = [build("imdb", out=tmp_path, deletion_seed=seed) for seed in (0, 1)]
    assert [folder.name for folder in folders] == ["mu-bench", "mu-bench-d1"]
    sets = [set(load_task("imdb", 10, data=folder)["forget"]["example_id"]) for folder in folders]
    assert len(sets[0]) == len(sets[1]) == 6 and sets[0] != sets[1]
    assert task_info("imdb", data=folders[0]).split != task_info("imdb", data=folders[1]).split


CANONICAL = {
    0: ("340053167549a7bc6f5f6379546bc283b86b49ef4c5f7bf5258fa631e2d7cc9a",
        "c1d3f56148c23fad525211137cb9f81ab4c2d02dc95365ebc74a02c767c5f16e"),
    1: ("62b62acf9201f1de919902aae2a90f6e40eb2d0fa100d7294d55f18b7beac762",
        "acc798e2d585183ab19c64897990e3c60c1a7741c6cd88a16965930808614319"),
}  # fmt: skip


@pytest.mark.parametrize("seed", CANONICAL)
def test_fingerprints_of_canonical_builds_are_stable(small, tmp_path, seed):
    info = task_info("imdb", data=build("imdb", out=tmp_path, deletion_seed=seed))
    files, split = CANONICAL[seed]
    assert info.split == split
    if pa.__version__ == "26.0.1":  # a file names the library that wrote it
        assert info.files == files
    assert info.forget == {1: 1, 2: 1, 3: 2, 4: 2, 5: 3, 6: 4, 7: 4, 8: 5, 9: 5, 10: 6}


def test_the_split_fingerprint_does_not_depend_on_the_order_of_rows(small, tmp_path, monkeypatch):
    first = task_info("imdb", data=build("imdb", out=tmp_path / "a"))
    rows = MINI["imdb"]()
    monkeypatch.setitem(MINI, "imdb", lambda: {split: part[::-1] for split, part in rows.items()})
    again = task_info("imdb", data=build("imdb", out=tmp_path / "b"))
    assert first == again


def test_too_few_rows_for_one_percent_are_an_error(small, tmp_path, monkeypatch):
    rows = {split: part[:40] for split, part in MINI["imdb"]().items()}
    monkeypatch.setitem(MINI, "imdb", lambda: rows)
    monkeypatch.setitem(TASKS["imdb"].counts, "mini", {split: len(part) for split, part in rows.items()})
    with pytest.raises(ValueError, match="deletes at least one row, got 1 % of 40 rows"):
        build("imdb", out=tmp_path)


@pytest.mark.parametrize(("change", "message"), [
    (lambda rows: rows["train"].pop(), "expected 60 train, .* got 59 train"),
    (lambda rows: rows["test"][0].update(label=2), r"expected labels 0 to 1 in imdb test, got \[0, 1, 2\]"),
    (lambda rows: rows["test"][0].update(example_id="train-0"), "expected distinct ids in imdb, got 1 repeated"),
    (lambda rows: [row.update(label=0) for row in rows["train"]], "training rows of every label .* none of pos"),
])  # fmt: skip
def test_wrong_rows_are_refused_before_anything_is_written(small, tmp_path, monkeypatch, change, message):
    rows = MINI["imdb"]()
    change(rows)
    monkeypatch.setitem(MINI, "imdb", lambda: rows)
    with pytest.raises(ValueError, match=message):
        build("imdb", out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_write_readme_keeps_the_yaml(mini, tmp_path):
    folder = tmp_path / "mu-bench"
    shutil.copytree(mini, folder)
    head = (folder / "README.md").read_text().split("---\n")[1]
    readme.write_readme(folder, "# Mine\n")
    assert (folder / "README.md").read_text() == f"---\n{head}---\n\n# Mine\n"


class Killed(BaseException):
    """Simulates SIGKILL within this process; no handler of ours may catch it."""


class Fuse:
    """Counts the steps that change files, and raises `Killed` before a given one."""

    def __init__(self, monkeypatch, step):
        self.left = step
        for owner, name in (
            (Path, "mkdir"), (Path, "rename"), (Path, "replace"), (Path, "write_text"), (os, "replace"),
            (shutil, "rmtree"), (shards, "_write_shard"),
        ):  # fmt: skip
            monkeypatch.setattr(owner, name, self.guarded(getattr(owner, name)))

    def guarded(self, function):
        def step(*args, **kwargs):
            self.left -= 1
            if self.left < 0:
                raise Killed
            return function(*args, **kwargs)

        return step


def interrupted(monkeypatch, tmp_path, step):
    """Build with a fuse, and return whether it raised."""
    with monkeypatch.context() as patch:
        Fuse(patch, step)
        try:
            build("imdb", out=tmp_path)
        except Killed:
            return True
    return False


@pytest.mark.parametrize("rebuild", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_build_stopped_at_any_step_leaves_the_old_or_the_new(small, tmp_path, monkeypatch, rebuild):
    """Stop before each step in turn, read, then build again; the second build must remove all remains."""
    build("imdb", out=tmp_path / "old")
    small("new")
    seen, step, stopped = set(), 0, True
    while stopped:
        out = tmp_path / str(step)
        folder = out / "mu-bench"
        if rebuild:
            shutil.copytree(tmp_path / "old" / "mu-bench", folder)
        stopped = interrupted(monkeypatch, out, step)
        seen.add(visible_build(folder))
        build("imdb", out=out)
        assert visible_build(folder) == "new"
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet")} == listed_files(folder)
        assert not list(folder.rglob(".staging"))
        step += 1
    assert step > 15
    assert seen == {"old" if rebuild else "nothing", "new"}


def visible_build(folder):
    """Return which build a reader sees; fail on a partial one."""
    if not (folder / "README.md").exists():
        return "nothing"
    info = task_info("imdb", data=folder)
    assert sum(info.counts.values()) == 120
    paths = [folder / path for path in listed_files(folder)]
    assert all(path.stat().st_size for path in paths)
    (word,) = {text.split()[0] for path in paths for text in pq.read_table(path)["text"].to_pylist()}
    return word


KILL = """
import os, signal, sys
from pathlib import Path
from mubench.hub_builders.dataset import build, readme
from mubench.hub_builders.mini import imdb
def kill(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
owner, name, seed, out = sys.argv[1:]
setattr({"build": build, "readme": readme}[owner], name, kill)
imdb.SEED = int(seed)
build.build("imdb", out=Path(out))
"""


def killed(out: Path, owner: str, step: str) -> None:
    """Build mini imdb with another seed in a process that kills itself at a step."""
    done = subprocess.run([sys.executable, "-c", KILL, owner, step, "8", str(out)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list((out / "mu-bench" / "data" / "imdb" / ".staging").glob("*.parquet"))) == (
        14 if owner == "build" else 0
    )


@pytest.mark.slow
def test_a_sigkill_during_a_first_build_leaves_no_build(tmp_path):
    killed(tmp_path, "build", "split_fingerprint")
    with pytest.raises(FileNotFoundError, match="no imdb in"):
        load_task("imdb", 5, data=tmp_path / "mu-bench")
    build("imdb", out=tmp_path)
    assert len(list((tmp_path / "mu-bench" / "data" / "imdb").iterdir())) == 1


@pytest.mark.slow
def test_a_sigkill_during_a_rebuild_leaves_the_old_build(mini, tmp_path):
    folder = tmp_path / "mu-bench"
    shutil.copytree(mini, folder)
    before = task_info("imdb", data=folder)
    killed(tmp_path, "readme", "write_text")
    assert len(list((folder / "data" / "imdb").iterdir())) == 2
    assert task_info("imdb", data=folder) == before
    assert load_task("imdb", 5, data=folder).num_rows["forget"] == 60
    build("imdb", out=tmp_path)
    assert task_info("imdb", data=folder) == before
    assert len(list((folder / "data" / "imdb").iterdir())) == 1


@pytest.mark.parametrize(("arguments", "message"), [
    (["build", "mnist"], f"task must be one of {', '.join(TASKS)}, got 'mnist'"),
    (["build", "imdb", "--tier", "huge"], "tier must be one of full, partial, mini, got 'huge'"),
    (["build", "imdb", "--family", "x"], f"family must be one of {', '.join(FAMILIES)}, got 'x'"),
    (["build", "imdb", "--deletion_seed", "-1"], "deletion_seed must be a whole number from 0 to 4294967295, got -1"),
    (["build", "imdb", "--allow-partial"], "expected tier partial with allow_partial"),
    (["build", "imdb", "--max_train_rows", "9"], "expected tier partial with allow_partial or max_train_rows"),
    (["build", "imdb", "--tier", "partial", "--max_train_rows", "0"], "expected max_train_rows of 1 or more, got 0"),
    (["build", "imdb", "--tier=partial"], "expected allow_partial or max_train_rows with tier partial, got neither"),
    (["build", "imdb", "--raw", "."], "expected tier full or partial with raw, got tier mini"),
    (["build", "imdb", "--tier", "full", "--raw", "nowhere"], "a folder of original files as raw, got nowhere"),
    (["build", "imdb", "--tier", "full"], "give the folder of aclImdb.tar.xz as --raw DIR"),
    (["build", "cifar10", "--tier", "full"], "give the folder of cifar10.tar.xz as --raw DIR"),
])  # fmt: skip
def test_a_users_mistake_is_exit_code_2_and_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert err.startswith("mubench: ") and message in err and err.count("\n") == 1 and not out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments", [[], ["bild"], ["build", "imdb", "--no_such"], ["build", "imdb", "--deletion_seed", "x"]]
)
def test_a_mistyped_command_is_exit_code_2_and_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    err = capsys.readouterr().err
    assert stop.value.code == 2 and err.startswith("mubench: ") and err.count("\n") == 1


def test_a_foreign_readme_is_not_overwritten(small, tmp_path):
    (tmp_path / "mu-bench").mkdir()
    (tmp_path / "mu-bench" / "README.md").write_text("# another project's\n")
    assert main(["build", "imdb", "--out", str(tmp_path)]) == 2
    assert (tmp_path / "mu-bench" / "README.md").read_text() == "# another project's\n"


@pytest.mark.parametrize(("task", "words"), [
    ("imdb", ("--tier full",)), ("cifar10", ("--tier partial", "--allow_partial")), ("tofu", ()),
])  # fmt: skip
def test_the_command_that_builds_a_task_again_has_its_own_tier(task, words, tmp_path):
    lines = (
        f"  description: tier={tier} family=canonical deletion_seed=0 split=ab files={name * 8}\n"
        f"    path: data/{key}/{name * 8}/test-00000.parquet\n"
        for key, tier, name in (("cifar10", "partial", "a"), ("imdb", "full", "b"))
    )
    (tmp_path / "README.md").write_text("".join(lines))
    hint = readme.rebuild_hint(tmp_path, task)
    assert all(word in hint for word in words) and ("--tier" in hint) == bool(words)
    assert ("--allow_partial" in hint) == (task == "cifar10")


def test_the_command_prints_the_build(small, tmp_path, capsys):
    assert main(["build", "imdb", f"--out={tmp_path}", "--deletion-seed", "1"]) == 0
    assert "mu-bench-d1: imdb (mini tier, split " in capsys.readouterr().out
    manifest = json.loads(next((tmp_path / "mu-bench-d1" / "data" / "imdb").glob("*/manifest.json")).read_text())
    assert manifest["command"] == "python -m mubench.hub_builders build imdb --deletion_seed 1"


@pytest.mark.parametrize(
    ("tiers", "line"),
    [
        (["full", "partial"], "mubench build ucf101 --tier full --family group --out {}"),
        (["partial"], "mubench build ucf101 --tier partial --raw DIR --allow_partial --family group --out {}"),
    ],
)
def test_missing_data_of_a_tier_are_an_error_that_names_how_to_build_them(tmp_path, tiers, line):
    folder = tmp_path / "mu-bench"
    with pytest.raises(FileNotFoundError) as error:
        info_of_tiers("ucf101", tiers, data=folder, family="group")
    wanted = f"expected ucf101 of tier {' or '.join(tiers)} in {folder}-group, got none: make it with "
    assert str(error.value) == f"{wanted}`{line.format(tmp_path)}`"


def test_missing_data_of_a_tier_are_to_be_built_also_where_another_family_lies_beside(mini, tmp_path):
    shutil.copytree(mini, tmp_path / "mu-bench")
    with pytest.raises(FileNotFoundError) as error:
        info_of_tiers("imdb", ["full"], data=tmp_path / "mu-bench", family="paper")
    assert str(error.value) == (
        f"expected imdb of tier full in {tmp_path}/mu-bench-paper, got none: make it with `mubench build imdb "
        f"--tier full --family paper --out {tmp_path}`"
    )


def test_data_of_another_tier_are_refused_and_without_tiers_any_will_do(mini):
    assert (
        info_of_tiers("imdb", [], data=mini).tier == info_of_tiers("imdb", ["mini", "full"], data=mini).tier == "mini"
    )
    with pytest.raises(
        ValueError,
        match=r"^expected imdb of tier full in .*, got mini: "
        r"make it with `mubench build imdb --tier full --out real`, and give --data real/mu-bench$",
    ):
        info_of_tiers("imdb", ["full"], data=mini)


def test_the_command_for_data_of_another_tier_replaces_no_real_data(mini, monkeypatch):
    found = task_info("imdb", data=mini)
    full = dataclasses.replace(found, tier="full")
    monkeypatch.setattr("mubench.hub_builders.dataset.task_info.task_info", lambda *_, **__: full)
    line = "`mubench build imdb --tier partial --raw DIR --allow_partial --out partial`"
    for tiers, command in (
        (["mini"], "`mubench build imdb --out mini`, and give --data mini/mu-bench"),
        (["partial"], f"{line}, and give --data partial/mu-bench"),
    ):
        with pytest.raises(ValueError, match=re.escape(f"got full: make it with {command}") + "$"):
            info_of_tiers("imdb", tiers, data="real/mu-bench")
