"""Model folders: identity and record of a run, and folders replaced in one step."""

import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from mubench.hub_builders.hub.model_folder import (
    RUN_FILE,
    Run,
    is_complete,
    read_run,
    read_runs,
    remake_command,
    work_folder,
)
from mubench.hub_builders.utils import atomic
from mubench.hub_builders.utils.atomic import staged_folder

RUN = Run(
    task="cifar10", tier="mini", family="canonical", deletion_seed=0, ratio=5, split="0123", backbone="resnet",
    base_seed=0, method="scrub", seed=1, recipe={"epochs": 12}, arguments={"gamma": 0.9}, parent="abcd",
)  # fmt: skip
MEASURED = {
    "cost": {"seconds": 3.0}, "history": [{"epoch": 1}], "versions": {"torch": "9"}, "device": "H100",
    "tuned": "custom", "outputs": {"test.parquet": "ab" * 32}, "files": {"config.json": "ab" * 32},
    "definition": {"file": "ab" * 32, "title": "Mine", "kind": "image_classification", "source": "rows"},
    "adopted": {"parameters": 3, "processor": "Any", "repository": None},
}  # fmt: skip
CHANGES = {
    "task": "imdb", "tier": "full", "family": "group", "deletion_seed": 1, "ratio": 6, "split": "9", "backbone": "vit",
    "base_seed": 2, "method": "salun", "seed": 0, "recipe": {"epochs": 13}, "arguments": {"gamma": 0.8},
    "parent": None, "eval_seed": 1, "method_file": "0" * 64, "foreign_base": "Llama",
    "backbone_files": "1" * 64, "backbone_start": "bert", "deleted_before": 4,
}  # fmt: skip


@pytest.fixture
def old(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_text("old")
    return folder


def test_every_field_is_either_part_of_the_identity_or_measured_or_a_label():
    assert {field.name for field in fields(Run)} == CHANGES.keys() | MEASURED.keys()


@pytest.mark.parametrize("name", MEASURED)
def test_measurements_do_not_change_the_identity(name):
    assert replace(RUN, **{name: MEASURED[name]}).identity == RUN.identity


@pytest.mark.parametrize("name", CHANGES)
def test_every_other_field_changes_the_identity(name):
    assert replace(RUN, **{name: CHANGES[name]}).identity != RUN.identity


def test_a_run_file_without_an_evaluation_seed_means_seed_0(tmp_path):
    RUN.write(tmp_path)
    record = json.loads((tmp_path / RUN_FILE).read_text())
    assert record.pop("eval_seed") == 0
    (tmp_path / RUN_FILE).write_text(json.dumps(record))
    assert is_complete(tmp_path, RUN) and not is_complete(tmp_path, replace(RUN, eval_seed=1))


def test_a_run_is_read_as_it_was_written(tmp_path):
    run = replace(RUN, **MEASURED)
    run.write(tmp_path)
    assert read_run(tmp_path) == run
    assert is_complete(tmp_path, RUN)
    assert not is_complete(tmp_path, replace(RUN, seed=2))


def test_a_run_of_the_suite_is_written_without_a_definition(tmp_path):
    RUN.write(tmp_path)
    assert "definition" not in json.loads((tmp_path / RUN_FILE).read_text())


@pytest.mark.parametrize(
    "edit", [{"seed": 7}, {"arguments": {"gamma": 0.5}}, {"schema": 2}, {"identity": "0" * 64}, {"mood": "good"}]
)
def test_an_edited_run_file_is_refused_in_one_line(tmp_path, edit):
    RUN.write(tmp_path)
    path = tmp_path / RUN_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **edit}))
    with pytest.raises(ValueError, match=r"expected .*run\.json") as caught:
        read_run(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", MEASURED)
def test_a_measurement_that_was_edited_is_refused(tmp_path, name):
    RUN.finished(cost={"seconds": 3.5}).write(tmp_path)
    path = tmp_path / RUN_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), name: MEASURED[name]}))
    with pytest.raises(ValueError, match=r"run\.json unchanged"):
        read_run(tmp_path)


def test_a_run_file_from_before_checksums_and_outputs_is_read(tmp_path):
    RUN.write(tmp_path)
    path = tmp_path / RUN_FILE
    record = json.loads(path.read_text())
    del record["checksum"], record["outputs"]
    path.write_text(json.dumps(record))
    assert read_run(tmp_path) == RUN and read_run(tmp_path).outputs == {}


@pytest.mark.parametrize(
    "edit", [{"cost": [1]}, {"cost": {"seconds": "3"}}, {"device": 5}, {"outputs": {"test.parquet": None}},
             {"history": {}}, {"versions": "torch"}, {"seed": True}, {"recipe": []}],
)  # fmt: skip
def test_fields_of_other_types_are_refused_in_one_line(tmp_path, edit):
    RUN.write(tmp_path)
    path = tmp_path / RUN_FILE
    record = json.loads(path.read_text())
    del record["checksum"]
    path.write_text(json.dumps({**record, **edit}))
    with pytest.raises(ValueError, match=r"expected a model folder with a run\.json") as caught:
        read_run(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "given", [{}, {"tuned": "custom"}, {"method": None, "seed": None, "ratio": None, "parent": None}]
)
def test_a_folder_names_the_command_that_makes_it_anew(tmp_path, given):
    line = remake_command(
        replace(RUN, family="group", arguments={"gamma": 0.5, "bf16": False, "of": ["a", "b"]}, **given), tmp_path
    )
    words = line.split()
    assert words[:2] == ["mubench", "base" if "method" in given else "scrub"]
    assert f"--family group --models {tmp_path.parent}" in line
    assert ("--gamma 0.5 --bf16 False --of a b" in line) == bool(given) and ("--seed 1" in line) == (
        "seed" not in given
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"run"', "[" * 100_000, '{"schema":' * 100_000])
def test_a_damaged_run_file_is_refused(tmp_path, text):
    (tmp_path / RUN_FILE).write_text(text)
    with pytest.raises(ValueError, match=r"expected a model folder with a run\.json"):
        read_run(tmp_path)


def test_a_folder_without_run_file_is_not_complete(tmp_path):
    assert not is_complete(tmp_path, RUN)
    with pytest.raises(ValueError, match=r"expected a model folder with a run\.json, got") as caught:
        read_run(tmp_path)
    assert "remove" not in str(caught.value)


@pytest.mark.parametrize("edited", [True, False])
def test_a_damaged_folder_is_left_out_where_folders_are_listed(tmp_path, caplog, edited):
    for name in ("damaged", "whole"):
        (tmp_path / name).mkdir()
        RUN.write(tmp_path / name)
    path = tmp_path / "damaged" / RUN_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), "seed": 7}) if edited else "{")
    assert read_runs(tmp_path) == read_runs(tmp_path) == {tmp_path / "whole": RUN}
    (line,) = caplog.messages
    assert line.startswith("damaged is left out: expected ") and "\n" not in line
    assert line.endswith(f"; remove {path.parent} and start its command again")
    with pytest.raises(ValueError, match=r"start its command again$"):
        read_run(path.parent)


def test_every_run_has_its_own_lasting_work_folder(tmp_path):
    work = work_folder(tmp_path / "model", RUN)
    (work / "checkpoint").touch()
    assert (work_folder(tmp_path / "model", RUN) / "checkpoint").exists()
    assert work_folder(tmp_path / "model", replace(RUN, seed=5)) != work
    assert work.parent == tmp_path / ".work", "scratch folders must not look like model folders"


def test_a_staged_folder_replaces_all_of_the_old_one(old):
    with staged_folder(old) as stage:
        (stage / "config").write_text("new")
        assert (old / "weights").read_text() == "old"
    assert [path.name for path in old.iterdir()] == ["config"]
    assert not list((old.parent / ".work").iterdir())


def test_a_failure_leaves_the_old_folder_and_nothing_else(old):
    with pytest.raises(IsADirectoryError), staged_folder(old) as stage:
        (stage / "config").mkdir() or (stage / "config").write_text("never")
    assert (old / "weights").read_text() == "old"
    assert [path.name for path in old.iterdir()] == ["weights"]
    assert not list((old.parent / ".work").iterdir())


def test_a_failure_leaves_no_folder_where_there_was_none(tmp_path):
    with pytest.raises(RuntimeError), staged_folder(tmp_path / "model"):
        raise RuntimeError
    assert not (tmp_path / "model").exists()


def test_remains_of_a_killed_replacement_are_removed(old):
    left = old.parent / ".work" / "model.old"
    left.mkdir(parents=True)
    (left / "weights").write_text("older")
    with staged_folder(old) as stage:
        (stage / "weights").write_text("new")
    assert (old / "weights").read_text() == "new"
    assert not left.exists()


@pytest.fixture
def gone():
    """Return the id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


def stage_of(folder, process, host=None):
    """Create the stage of a process for a folder."""
    stage = folder.parent / ".work" / f"{folder.name}.stage-{host or atomic._host()}-{process}"
    stage.mkdir(parents=True)
    (stage / "weights").write_text("half")
    return stage


def test_the_stage_of_a_killed_process_is_removed(tmp_path, gone):
    left = stage_of(tmp_path / "model", gone)
    with staged_folder(tmp_path / "model"):
        assert not left.exists()


def test_the_stage_of_a_running_process_is_kept(tmp_path):
    theirs = [stage_of(tmp_path / "model", process) for process in (os.getppid(), 1)]
    with staged_folder(tmp_path / "model"):
        pass
    assert all((stage / "weights").read_text() == "half" for stage in theirs)


def test_what_another_host_writes_is_kept(tmp_path, gone, monkeypatch):
    monkeypatch.setattr(atomic.socket, "gethostname", lambda: "the-other.example")
    other = atomic._host()
    monkeypatch.undo()
    stages = [stage_of(tmp_path / "model", gone, other), stage_of(tmp_path / "model", gone, f"x{atomic._host()}")]
    files = [tmp_path / f".a.json.{name}{gone}-00" for name in (f"{other}-", "")]
    for file in files:
        file.write_text("half")
    with staged_folder(tmp_path / "model"):
        atomic.write_text(tmp_path / "a.json", "")
    assert all(path.exists() for path in (*stages, *files))


def test_files_of_killed_processes_are_looked_for_once_a_folder(tmp_path, gone, monkeypatch):
    left = tmp_path / f".a.json.{atomic._host()}-{gone}-00"
    left.write_text("half")
    looked, glob = [], Path.glob
    monkeypatch.setattr(Path, "glob", lambda path, pattern: looked.append(path) or glob(path, pattern))
    for name in ("b.json", "a.json", "a.json"):
        atomic.write_text(tmp_path / name, "")
    assert looked == [tmp_path] and sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]


def test_stages_of_other_folders_are_kept(tmp_path, gone):
    others = [stage_of(tmp_path / name, gone) for name in ("model-s1", "mode", "model")]
    with staged_folder(tmp_path / "[m]odel"), staged_folder(tmp_path / "ode"):
        pass
    assert all(stage.is_dir() for stage in others)
