"""Type checkers, and so editors, resolve a user's imports from the package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "tests" / "fixtures" / "user_script.py"


@pytest.fixture
def project(tmp_path):
    """Return a folder with a user's script and the package map."""
    (tmp_path / "types" / "mubench").mkdir(parents=True)
    for room in ("hub_builders", "trainers", "cards"):
        (tmp_path / "types" / "mubench" / room).symlink_to(ROOT / room)
    shutil.copy(SCRIPT, tmp_path)
    return tmp_path


def check(*command: str, cwd: Path, **env: str) -> str:
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_mypy_resolves_a_users_script():
    """With the settings, and so the cache, of `make typecheck`."""
    printed = check(sys.executable, "-m", "mypy", str(SCRIPT.relative_to(ROOT)), cwd=ROOT)
    assert printed == "Success: no issues found in 1 source file\n"


@pytest.mark.skipif(not shutil.which("pyright"), reason="pyright is not installed: pip install pyright")
def test_pyright_resolves_a_users_script(project):
    (project / "pyrightconfig.json").write_text('{"extraPaths": ["types"]}')
    assert check("pyright", "--pythonpath", sys.executable, SCRIPT.name, cwd=project).startswith("0 errors")
