"""What a run records of the code and the machine that made it."""

import importlib.metadata
import subprocess

import pytest
import torch

from mubench.trainers.models import environment as module
from mubench.trainers.models.environment import COMMIT, environment, source_commit


@pytest.fixture
def git(tmp_path, monkeypatch):
    for name, value in {"NAME": "a", "EMAIL": "a@example.org"}.items():
        for who in ("AUTHOR", "COMMITTER"):
            monkeypatch.setenv(f"GIT_{who}_{name}", value)

    def run(*words):
        done = subprocess.run(["git", "-C", str(tmp_path), *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    run("init", "--quiet")
    (tmp_path / "code.py").write_text("1\n")
    run("add", "code.py")
    run("commit", "--quiet", "-m", "one", "--no-gpg-sign")
    run("tag", "-a", "v9", "-m", "v9")  # a tag is no commit
    return run


@pytest.fixture(autouse=True)
def forget_commits():
    source_commit.cache_clear()
    yield
    source_commit.cache_clear()


def test_a_checkout_has_its_commit_and_marks_changed_files(git, tmp_path):
    commit = git("rev-parse", "HEAD")[:12]
    assert source_commit(tmp_path) == commit
    (tmp_path / "code.py").write_text("2\n")
    source_commit.cache_clear()
    assert source_commit(tmp_path) == f"{commit}-dirty"


@pytest.mark.usefixtures("git")
def test_a_repository_that_git_exports_is_not_that_of_the_code(tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    assert source_commit(tmp_path_factory.mktemp("installed")) is None


@pytest.mark.usefixtures("git")
def test_a_folder_in_somebody_elses_repository_has_no_commit(tmp_path):
    inside = tmp_path / "site-packages"
    inside.mkdir()
    assert source_commit(inside) is None


def test_no_repository_and_no_git_are_no_commit(tmp_path, monkeypatch):
    assert source_commit(tmp_path) is None

    def is_missing(*_, **__):
        raise FileNotFoundError("git")

    source_commit.cache_clear()
    monkeypatch.setattr(subprocess, "run", is_missing)
    assert source_commit(tmp_path) is None


def test_a_packed_space_without_the_suites_metadata_records_the_libraries(monkeypatch):
    version = importlib.metadata.version

    def is_absent(name):
        if name == "mubench":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", is_absent)
    assert {*environment(torch.device("cpu"))["versions"]} - {COMMIT} == {*module.VERSIONED}


@pytest.mark.parametrize("commit", ["0123456789ab", None])
def test_versions_hold_the_suites_own_and_its_commit_where_there_is_one(commit, monkeypatch):
    monkeypatch.setattr(module, "source_commit", lambda _: commit)
    found = environment(torch.device("cpu"))
    assert found["device"] == "cpu" and found["versions"]["mubench"] == importlib.metadata.version("mubench")
    assert found["versions"].get(COMMIT) == commit
