"""Optional packages: a missing one is one line that names the extra, and extras are what pyproject declares."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from mubench.hub_builders.utils.cli import run_command
from mubench.hub_builders.utils.optional import EXTRAS, require

ROOT = Path(__file__).resolve().parents[3]


def test_every_package_is_in_its_extra_and_in_the_one_of_all():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    names = {name: [re.split("[<>=]", line)[0] for line in lines] for name, lines in extras.items()}
    assert all(package in names[extra] for package, (extra, _) in EXTRAS.items())
    (everything,) = extras["all"]
    assert set(re.findall(r"[\w-]+", everything)) == {"mubench", *(extra for extra, _ in EXTRAS.values())}
    required = {re.split("[<>=]", line)[0] for line in project["dependencies"]}
    assert not required & EXTRAS.keys()


@pytest.mark.parametrize("package", EXTRAS)
def test_a_missing_package_is_one_line_with_its_install_command(package, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run_command(lambda: require(package)) == 2
    extra, purpose = EXTRAS[package]
    assert capsys.readouterr().err == (
        f"mubench: expected the package {package} to {purpose}, got none: pip install 'mubench[{extra}]'\n"
    )


def test_a_package_that_is_there_is_imported():
    assert require("soundfile").__name__ == "soundfile"
