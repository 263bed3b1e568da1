"""Every metric folder is a Space: its card, requirements and examples."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = sorted(path.parent for path in (ROOT / "cards" / "evaluate").glob("*/app.py"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_card_of_a_space_names_what_is_there(folder):
    facts = yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])
    assert facts["sdk"] == "gradio" and {"evaluate", "metric"} <= set(facts["tags"])
    assert f"\ngradio=={facts['sdk_version']} " in (ROOT / "requirements.lock").read_text()
    assert (folder / facts["app_file"]).is_file() and (folder / f"{folder.name}.py").is_file()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_requirements_are_those_of_the_project_and_no_torch(folder):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert set(lines) <= {*project["dependencies"], *project["optional-dependencies"]["space"]}
    # `evaluate` itself imports torch where it is installed; what it takes of ours must not need it.
    ours = re.findall(r"^from (mubench[\w.]+) import", (folder / f"{folder.name}.py").read_text(), re.MULTILINE)
    code = f"import sys, {', '.join(ours)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    declared = {re.split(r"[<>=\[]", line)[0] for line in project["dependencies"]}
    found = {{"yaml": "pyyaml", "sklearn": "scikit-learn", "PIL": "pillow"}.get(n, n) for n in done.stdout.split()}
    assert ours and found & declared <= {re.split("[<>=]", line)[0] for line in lines} and "torch" not in found


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_example_of_a_card_runs(folder, monkeypatch):
    monkeypatch.chdir(ROOT)
    (code,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    names = {}
    exec(code, names)
    documented = set(re.findall(r"`(\w+)`", (folder / "README.md").read_text()))
    assert set(names["found"]) <= documented
    assert all(0 <= value <= 1 for name, value in names["found"].items() if name in ("auc", "score"))
