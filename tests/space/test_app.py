"""The layout builds from what is there, and the served Space answers a client on the loopback."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from mubench.trainers.results import read_results, write_result
from tests.cards.conftest import make_row
from tests.walk import RATIO, Walk, files

ROOT = Path(__file__).resolve().parents[2]
SPACE = ROOT / "space"
# The served process and its worker know the small task of the tests.
SERVE = """
from tests.walk import quick
small = quick()
small.__enter__()
import app
if __name__ == "__main__":
    app.main()
"""


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    monkeypatch.syspath_prepend(SPACE)
    monkeypatch.chdir(tmp_path)
    import app  # noqa: PLC0415

    return app


def tabs(page: Any) -> list[str]:
    return [block.label for block in page.blocks.values() if type(block).__name__ == "Tab"]


def test_nothing_to_show_names_the_command(app: ModuleType) -> None:
    with pytest.raises(FileNotFoundError, match="make demo"):
        app.build()


def test_a_tab_is_there_if_what_it_shows_is(app: ModuleType, tmp_path: Path) -> None:
    write_result(make_row("scrub"), tmp_path / "results")
    page = app.build()
    assert tabs(page) == ["Leaderboard"]
    assert not page.analytics_enabled
    assert "fonts.googleapis" not in app.THEME._get_theme_css()
    assert not app.THEME._stylesheets


def test_the_space_says_what_it_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (SPACE / "requirements.txt").read_text().splitlines() == project["dependencies"]
    facts = yaml.safe_load((SPACE / "README.md").read_text().split("---\n")[1])
    assert f"gradio=={facts['sdk_version']}" in (ROOT / "requirements.lock").read_text().splitlines()
    assert (SPACE / facts["app_file"]).is_file()
    assert facts["license"] == project["license"].lower()


@pytest.fixture
def url(own_walk: Walk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    own_walk.judge().controls()
    script = tmp_path_factory.mktemp("serve") / "serve.py"
    script.write_text(SERVE)
    path = os.pathsep.join([str(SPACE), str(ROOT), os.environ.get("PYTHONPATH", "")])
    words = [sys.executable, "-u", str(script)]
    env = {**os.environ, "PYTHONPATH": path, "GRADIO_ANALYTICS_ENABLED": "False"}
    with subprocess.Popen(words, cwd=own_walk.root, env=env, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        found = next((m for line in server.stdout if (m := re.search(r"http://127\.0\.0\.1:\d+", line))), None)
        assert found, "the server ended"
        yield found[0]
        server.terminate()


@pytest.mark.slow
def test_a_client_reads_the_leaderboard_and_tries_a_method_out(own_walk: Walk, url: str) -> None:
    from gradio_client import Client  # noqa: PLC0415

    before = files(own_walk.root / "mu-bench")
    client = Client(url, verbose=False)
    *_, table, picture = client.predict(api_name="/leaderboard")
    assert {row[1] for row in table["data"]} >= {"retrain (control)", "base (control)"}
    assert Path(picture).stat().st_size > 1000
    words, lines, command = client.predict("cifar10", "resnet", str(RATIO), "scrub", 5, api_name="/try_out")
    assert words.startswith(("### S = ", "### No score"))
    assert {line[0] for line in lines["data"]} >= {"forget_score", "test_score"}
    assert command.endswith("--seed 5")
    rows = [row for row in read_results(own_walk.results) if row.method == "scrub"]
    assert [row.seed for row in rows] == [5]
    *_, table, _ = client.predict(api_name="/leaderboard")
    assert "scrub" in {row[1].split()[0] for row in table["data"]}
    with pytest.raises(Exception, match=r"make references TASK=cifar10 BACKBONE=vit") as caught:
        client.predict("cifar10", "vit", str(RATIO), "scrub", 5, api_name="/try_out")
    assert "\n" not in str(caught.value)
    assert files(own_walk.root / "mu-bench") == before
    assert {path.name for path in own_walk.root.iterdir()} == {"mu-bench", "models", "results"}
