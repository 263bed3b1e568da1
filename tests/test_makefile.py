"""The targets of the Makefile: their variables reach the front doors. Commands are printed, none is run."""

import shlex
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PLACE = {"data": "else where/mu-bench", "models": "my models", "results": "rows"}
READS = {
    "bases": {"data", "models"},
    "references": {"data", "models"},
    "unlearn": {"data", "models", "results"},
    "results": {"data", "models", "results"},
    "cards": {"data", "models", "results"},
}


def target(name, **variables):
    """Return a line like ``make data TASK=imdb``, quoted for a shell; variables without a value are left out."""
    given = [f"{key.upper()}={value}" for key, value in variables.items() if value is not None]
    return shlex.join(["make", name, *given])


def dry(line: str) -> subprocess.CompletedProcess[str]:
    """Return what `make` would do."""
    words = ["make", "--dry-run", *shlex.split(line)[1:]]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


def commands(line: str) -> list[list[str]]:
    """Return the arguments of every command of ours that `make` would run."""
    done = dry(line)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.replace("\\\n", " ").replace("; done", "").replace("; ", "\n").splitlines()
    ours = [one.partition("-m mubench.")[2] for one in lines if "-m mubench." in one and "echo" not in one]
    return [shlex.split(one) for one in ours]


@pytest.mark.parametrize("name", READS)
def test_a_target_reads_and_writes_in_the_folders_given(name):
    (words,) = commands(target(name, task="imdb", **PLACE))
    for option in READS[name]:
        assert words[words.index(f"--{option}") + 1] == PLACE[option]
    (plain,) = commands(target(name))
    assert not {f"--{option}" for option in PLACE} & set(plain)


@pytest.mark.parametrize("name", ["data", "demo"])
def test_a_build_gets_the_folder_to_write_into(name):
    build = commands(target(name, data="elsewhere/mu-bench"))[0]
    assert build[:2] == ["hub_builders", "build"]
    assert build[build.index("--out") + 1] == "elsewhere/"


@pytest.mark.parametrize("name", [*READS, "data", "demo", "push"])
def test_commands_are_echoed_as_people_write_them(name):
    given = {} if name == "data" else {"methods": "scrub", "backbone": "vit"}
    for line in (f"make {name}", target(name, task="imdb", data="a/mu-bench", **given)):
        ours = [one for one in dry(line).stdout.splitlines() if "-m mubench." in one and "echo" not in one]
        assert ours and not [one for one in ours if "\\" in one or "  " in one or one != one.rstrip()]


def test_every_task_is_built_unless_one_is_named():
    every, groups = commands("make data")
    assert every[:3] == ["hub_builders", "build", "--tier"] and groups == [*every, "--family", "group"]
    assert len(commands("make data TASK=imdb")) == len(commands("make data FAMILY=group")) == 1
    assert commands("make data FAMILY=group TIER=full RAW=raw")[0] == [
        "hub_builders", "build", "--tier", "full", "--raw", "raw", "--family", "group",
    ]  # fmt: skip
    partial = commands('make data TIER=partial RAW="my files"')[0]
    assert partial[2:] == ["--tier", "partial", "--raw", "my files", "--allow_partial"]
    assert commands("make data TASK=imdb")[0][:3] == ["hub_builders", "build", "imdb"]
    assert commands("make demo")[0][:3] == ["hub_builders", "build", "cifar10"]


@pytest.mark.parametrize("grid", sorted(path.stem for path in (ROOT / "cards" / "grids").glob("*.yaml")))
def test_real_rows_are_made_of_a_grid_and_its_data_apart_from_mini_tasks(grid):
    build, sweep, table = commands(f"make results-real TASK={grid} RAW=raw")
    family = yaml.safe_load((ROOT / "cards" / "grids" / f"{grid}.yaml").read_text())["family"]
    assert build[:3] == ["hub_builders", "build", grid] and build[build.index("--family") + 1] == family
    assert build[build.index("--out") + 1] == "real" and build[build.index("--raw") + 1] == "raw"
    assert (build[build.index("--tier") + 1] == "partial") == ("--allow_partial" in build)
    assert sweep[:3] == ["trainers", "sweep", f"cards/grids/{grid}.yaml"] and "--retry" in sweep
    for words in (sweep, table):
        for option in ("data", "models", "results"):
            assert words[words.index(f"--{option}") + 1].startswith("real/")


@pytest.mark.parametrize(("given", "got"), [(" TASK=samsum", "samsum"), ("", "none")])
def test_real_rows_without_a_task_that_has_a_grid_are_refused_in_one_line(given, got):
    done = dry(f"make results-real{given}")
    assert done.returncode == 2 and "mubench" not in done.stdout and done.stderr.count("\n") == 1
    assert "expected TASK to be one of cifar10 ddi2013 " in done.stderr and f", got {got}" in done.stderr


@pytest.mark.parametrize("failing", ["build", "sweep", "leaderboard", ""])
def test_a_failed_run_leaves_the_table_of_all_others_and_a_failed_status(failing, tmp_path):
    python, stamp = tmp_path / "python", tmp_path / "stamp"
    python.write_text(f'#!/bin/sh\necho "ran $3"\n[ "$3" != "{failing}" ] || exit 1\n')
    python.chmod(0o755)
    stamp.touch()
    line = ["make", "results-real", "TASK=imdb", f"PY={python}", f"STAMP={stamp}"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    ran = [one.removeprefix("ran ") for one in done.stdout.splitlines() if one.startswith("ran ")]
    assert ran == (["build"] if failing == "build" else ["build", "sweep", "leaderboard"])
    assert (done.returncode != 0) == bool(failing)


@pytest.mark.parametrize(("family", "name", "flag"), [
    ("paper", "paper_splits", "--paper_splits"), ("custom", "forget_ids", "--forget_ids"),
])  # fmt: skip
def test_a_build_gets_its_family_and_its_lists(family, name, flag):
    (words,) = commands(target("data", family=family, **{name: "some where"}))
    assert words[words.index("--family") + 1] == family and words[words.index(flag) + 1] == "some where"
    assert not {"--family", "--paper_splits", "--forget_ids"} & set(commands("make data")[0])


@pytest.mark.parametrize("name", ["data", "demo"])
def test_a_folder_that_a_build_cannot_write_is_refused_in_one_line(name):
    done = dry(target(name, data="elsewhere"))
    assert done.returncode == 2 and "mubench.hub_builders" not in done.stdout
    assert "expected DATA to be a folder called mu-bench, got elsewhere" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["space", "pack"])
def test_a_space_is_made_of_the_folders_here(name):
    last = [line for line in dry(f"make {name}").stdout.splitlines() if not line.startswith("make[")][-1]
    assert last.endswith(f"python space/{'app' if name == 'space' else 'pack'}.py") and "||" not in last
    for given in ("DATA=a/mu-bench", "MODELS=m", "RESULTS=r"):
        done = dry(f"make {name} {given}")
        assert done.returncode == 2 and "space/" not in done.stdout
        assert (
            f"expected no DATA, MODELS or RESULTS, as the Space is made of what lies here, got {given}" in done.stderr
        )
        assert done.stderr.count("\n") == 1


def test_the_demo_replaces_no_other_tier():
    assert "--keep_tier" in commands("make demo")[0]
    assert "--keep_tier" not in commands("make data")[0]


def test_the_demo_walks_in_the_folders_given():
    _, sweep, cards, leaderboard = commands(target("demo", data="a/mu-bench", models="m", results="r"))
    for words in (sweep, cards):
        assert {"--data a/mu-bench", "--models m", "--results r"} <= set(map(" ".join, pairwise(words)))
    assert leaderboard[-2:] == ["--results", "r"]


def test_the_audit_reads_the_shipped_rows_or_those_given():
    assert commands("make audit") == [["cards", "audit", "--shipped", "--out", "build/audit"]]
    (words,) = commands("make audit RESULTS=rows MODELS=m")
    assert words == ["cards", "audit", "--models", "m", "--results", "rows", "--out", "build/audit"]


def test_a_push_gets_its_folder_and_repository():
    assert commands("make push") == [["cards"], ["hub_builders", "push", "mu-bench"]]
    _, words = commands(target("push", folder="my models/x", repo="me/x", private=1))
    assert words == ["hub_builders", "push", "my models/x", "--repo", "me/x", "--private"]


@pytest.fixture
def tree(tmp_path):
    """Return a clean git tree with our Makefile and a Python that prints its arguments."""
    root = tmp_path / "tree"
    (root / "venv" / "bin").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "requirements-cpu.lock", "requirements-cuda.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    python = root / "venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "given: $@"\n')
    python.chmod(0o755)
    (root / "venv" / ".installed").touch()
    identity = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")
    for words in (["init", "--quiet"], ["add", "--all"], [*identity, "commit", "--quiet", "--message", "all"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    return root


@pytest.mark.parametrize("change", ["none", "edited", "new", "ignored"])
def test_a_push_needs_a_tree_without_changes(tree, change):
    if change == "edited":
        (tree / "pyproject.toml").write_text("[project]\n")
    elif change == "new":
        (tree / "new.py").touch()
    elif change == "ignored":
        (tree / ".git" / "info" / "exclude").write_text("mu-bench\n")
        (tree / "mu-bench").touch()
    (tree / "venv" / ".installed").touch()  # newer than what it was installed from
    done = subprocess.run(["make", "push", "VENV=venv"], cwd=tree, capture_output=True, text=True, check=False)
    if change in ("none", "ignored"):
        assert done.returncode == 0 and "given: -m mubench.hub_builders push mu-bench" in done.stdout
    else:
        assert done.returncode == 2 and "given" not in done.stdout
        assert done.stderr.startswith("expected a tree without changes")


def test_an_installation_shows_editors_the_package_map(tmp_path):
    lines = subprocess.run(
        ["make", "--dry-run", "install", f"VENV={tmp_path}/venv"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "mubench_types.pth" in lines and f'"{ROOT}/build/types"' in lines
    assert lines.index("--editable .") < lines.index("mkdir -p build/types/mubench") < lines.index("mubench_types.pth")
    assert not (tmp_path / "venv").exists()
