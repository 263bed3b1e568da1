"""The lock pins what the package needs, and the wheel works away from the checkout."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NOT_LOCKED = ("sweep",)  # tested by hand
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


LOCKS = ("requirements.lock", "requirements-cuda.lock", "requirements-weights.lock", "requirements-cpu.lock")


def pins(lock: str = "requirements.lock") -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_package_once_with_the_hashes_of_its_files(lock: str) -> None:
    text = re.sub(r"^#.*\n", "", (ROOT / lock).read_text(), flags=re.MULTILINE)
    entry = r"[a-z0-9-]+==[0-9][0-9a-z.+]*(?: ; [^\n\\]+)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n"
    assert re.fullmatch(f"(?:{entry})+", text)
    assert len(pins(lock)) == len(re.findall("==", re.sub(r" ; .*", "", text)))


def test_the_locks_share_no_package_and_hold_torch_as_documented() -> None:
    *apart, cpu = LOCKS
    names = [name for lock in apart for name in pins(lock)]
    assert len(names) == len(set(names)) and pins()["torch"] == "2.13.0" and pins(cpu) == {"torch": "2.13.0+cpu"}
    assert all(re.match("cuda|nvidia|triton", name) for name in pins("requirements-cuda.lock"))


def test_every_requirement_is_pinned_inside_its_range() -> None:
    pinned = {name: version for lock in LOCKS[:-1] for name, version in pins(lock).items()}
    extras = PROJECT["project"]["optional-dependencies"]
    locked = [line for name, lines in extras.items() if name not in NOT_LOCKED for line in lines]
    ranges = [line for line in (*PROJECT["project"]["dependencies"], *locked) if not line.startswith("mubench[")]
    wanted = {canonicalize_name(Requirement(line).name): Requirement(line).specifier for line in ranges}
    assert not {name for name in wanted if name not in pinned}
    assert not {name: pinned[name] for name, specifier in wanted.items() if pinned[name] not in specifier}


def test_a_package_whose_file_was_changed_is_not_installed(tmp_path: Path) -> None:
    entry = re.findall(r"^tqdm==.*\n(?: .*\n)+", (ROOT / "requirements.lock").read_text(), re.MULTILINE)[0]
    version = pins()["tqdm"]
    with zipfile.ZipFile(tmp_path / f"tqdm-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr("tqdm.py", "print('changed')")
        about = f"tqdm-{version}.dist-info"
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: tqdm\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    (tmp_path / "lock").write_text(entry)
    pip = (sys.executable, "-m", "pip") if find_spec("pip") else ("uv", "pip")
    arguments = ("--no-index", "--no-deps", "--require-hashes", "--find-links", ".", "--target", "out", "-r", "lock")
    done = subprocess.run([*pip, "install", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (
        done.returncode
        and re.search("hash", done.stderr, re.IGNORECASE)
        and not (tmp_path / "out" / "tqdm.py").exists()
    )


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
