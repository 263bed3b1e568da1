"""The page builds from a folder of data, and the served Space responds to clients on the loopback."""

import html
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tests.cards.conftest import make_row
from tests.fixtures.serving import Served, serving
from tests.fixtures.sessions import assert_gone
from tests.fixtures.small import LONGEST
from tests.fixtures.walk import RATIO, Walk, files, quick
from tests.space.conftest import SPACE, Import, write_run

pytestmark = pytest.mark.slow  # importing gradio and building the page takes seconds
ROOT = SPACE.parent
BIG = "x" * 50_000_000


def gradio() -> Any:
    """Import it within a test: it takes seconds, which only one worker has to wait."""
    return import_module("gradio")


@pytest.fixture(scope="module")
def page(datasets: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the page, built where only data lie; what it calls reads the working directory of the test."""
    folder = tmp_path_factory.mktemp("page")
    for each in datasets.iterdir():
        (folder / each.name).symlink_to(each)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SPACE)
        patch.chdir(folder)
        return import_module("page").build()


def test_without_data_the_error_names_the_command(
    space: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="mubench build"):
        space("page").build()


def test_the_page_has_its_tabs_and_loads_no_external_resources(space: Import, page: Any) -> None:
    app = space("page")
    tabs = [block.label for block in page.blocks.values() if type(block).__name__ == "Tab"]
    assert tabs == ["Try out", "Compare", "Leaderboard", "Data explorer"]
    assert not page.analytics_enabled
    assert "fonts.googleapis" not in app.THEME._get_theme_css()
    assert not app.THEME._stylesheets
    assert "http" not in (SPACE / "style.css").read_text()


def test_a_note_names_missing_models_and_the_command_that_trains_them(space: Import, root: Path) -> None:
    tab = space("tabs.try_out_tab")
    menus: dict[str, Any] = {"chosen": {"task": "ddi2013", "backbone": "bert", "ratio": "5"}, "shipped": []}
    for count, missing in ((0, "No base or no retrained model"), (1, "One retrained model")):
        menus["ratios"] = {5: count}
        note = html.unescape(tab.setting_note(menus))
        assert missing in note and "\n" not in note
        assert "Train the missing models here, which takes some minutes" in note
        line = 'references --task ddi2013 --backbone bert --ratio 5 --family group --seeds "0 1 2"'
        assert f"<code>mubench {line}</code>" in note
        assert tab.can_run(menus) is (count == 1)
    assert tab.setting_note({**menus, "ratios": {5: 2}}) == ""


def test_shipped_references_need_a_base_model_alone_which_the_first_run_trains(space: Import, root: Path) -> None:
    tab, choices = space("tabs.try_out_tab"), space("handlers.choices")
    menus = choices.menu_choices("imdb", None, None, None)
    assert menus["chosen"]["ratio"] == "10" and menus["shipped"] == [10] and not any(menus["ratios"].values())
    assert tab.can_run(menus) and not tab.lacks_references(menus)
    assert re.search(r"also trains the base model, once in about \d+ s on one core", tab.setting_note(menus))
    choice = {"task": "imdb", "backbone": "bert", "ratio": "10", "method": "finetune", "seed": 0}
    assert space("handlers.try_out").check_request(**choice).trains_base
    with pytest.raises(FileNotFoundError, match="expected a base and a retrained model of imdb bert at 5 %"):
        space("handlers.try_out").check_request(**{**choice, "ratio": "5"})


def test_no_choice_is_dropped_during_the_response_to_an_older_one(page: Any) -> None:
    chosen = {"input", "change", "select"}
    fns = [f for f in page.fns.values() if chosen & {event for _, event in f.targets}]
    assert len(fns) > 8
    assert not [f for f in fns if f.trigger_mode != "always_last"]


def test_a_menu_whose_choice_stays_valid_is_not_reset(space: Import, root: Path, page: Any) -> None:
    update = space("tabs.common").update_menu
    assert update(["a", "b"], "a", "a") == {"choices": ["a", "b"], "__type__": "update"}
    assert update(["a", "b"], "a", "c") == {"choices": ["a", "b"], "value": "a", "__type__": "update"}
    handlers = {getattr(f.fn, "__qualname__", ""): f.fn for f in page.fns.values()}
    refresh = handlers["TryOutTab.refresh"]
    tried = refresh("", "imdb", "resnet", "5", "scrub")[:4]
    explored = space("tabs.explore_tab").refresh("group", "imdb", "5")[:3]
    first, second = write_run(), write_run(seed=1)
    list_runs = space("tabs.compare_tab").list_runs
    (_, kept), (_, gone) = list_runs([first, second], [second]), list_runs([first], [second, first])
    assert [menu.get("value") for menu in (*tried, *explored)] == [None, "bert", None, None, None, "ddi2013", None]
    assert "value" not in kept and gone["value"] == [first]
    assert [len(menu["choices"]) for menu in (kept, gone)] == [2, 1]
    assert all(menu["choices"] for menu in (*tried, *explored))


def test_the_buttons_stay_disabled_while_a_job_runs(
    space: Import, root: Path, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh = next(f.fn for f in page.fns.values() if f.fn.__qualname__ == "TryOutTab.refresh")
    pool = space("handlers.try_out").POOL
    monkeypatch.setattr(pool, "list_unfinished", lambda: {"a run"})
    for current, free in (("", True), ("another", True), ("a run", False)):
        train, go = refresh(current, "imdb", "bert", "5", "scrub")[-3:-1]
        assert train["interactive"] is free and go["interactive"] is False  # there is no model here to start from


def test_every_endpoint_is_documented(space: Import, page: Any) -> None:
    api = space("api")
    public = {f.api_name for f in page.fns.values() if f.api_visibility == "public"}
    assert public == {function.__name__ for function in (*api.PLAIN, *api.STREAMING)}
    documented = set(re.findall(r"^\| `/(\w+)`", (SPACE / "README.md").read_text(), re.MULTILINE))
    assert documented == public
    assert space("handlers.explore").PAGE_SIZE == 12
    assert "up to twelve rows" in (SPACE / "README.md").read_text()


def test_the_requirements_of_the_space_match_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = ("audio", "space", "text", "text-to-image", "video")
    needed = [*project["dependencies"], *(line for name in extras for line in project["optional-dependencies"][name])]
    assert (SPACE / "requirements.txt").read_text().splitlines() == needed
    facts = yaml.safe_load((SPACE / "README.md").read_text().split("---\n")[1])
    assert f"\ngradio=={facts['sdk_version']} " in (ROOT / "requirements.lock").read_text()
    assert (SPACE / facts["app_file"]).is_file()
    assert facts["license"] == project["license"].lower()


@pytest.mark.parametrize(("name", "value", "line"), [
    ("MUBENCH_PROXIES", "x", "expected a number of proxies from 0 up, got 'x' in MUBENCH_PROXIES"),
    ("MUBENCH_PROXIES", "-1", "expected a number of proxies from 0 up, got '-1' in MUBENCH_PROXIES"),
    ("MUBENCH_HOSTS", "a.b, http://c", "expected host names separated by commas in MUBENCH_HOSTS, got 'http://c'"),
])  # fmt: skip
def test_a_wrong_variable_is_one_line(
    space: Import, monkeypatch: pytest.MonkeyPatch, name: str, value: str, line: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        space("page").serve()


@pytest.mark.parametrize(("variables", "one_each"), [
    ({}, False), ({"MUBENCH_PROXIES": "1"}, True), ({"SPACE_ID": "x"}, True),
])  # fmt: skip
def test_an_address_occupies_one_process_where_it_is_a_visitor(
    space: Import, root: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], one_each: bool
) -> None:
    page = space("page")
    for name in ("SPACE_ID", "MUBENCH_PROXIES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(page, "build", lambda: SimpleNamespace(launch=lambda **_: None, block_thread=lambda: None))
    monkeypatch.setattr(page.POOL, "one_each", None)
    monkeypatch.setattr(page.POOL, "start", lambda: None)
    page.serve()
    assert page.POOL.one_each is one_each


def test_a_wrong_number_of_values_is_one_line(page: Any) -> None:
    functions = {function.name: function for function in page.fns.values()}
    assert page.validate_inputs(functions["submit"], ["x"]) is None
    for values in ([], ["x", "y"]):
        with pytest.raises(gradio().Error, match=f"expected 1 values for submit, got {len(values)}") as caught:
            page.validate_inputs(functions["submit"], values)
        assert not caught.value.print_exception


def test_a_visitor_is_their_address_and_no_session_that_they_choose(space: Import) -> None:
    request = SimpleNamespace(client=SimpleNamespace(host="1.1.1.1"), session_hash="chosen")
    assert space("tabs.common").visitor(request) == "1.1.1.1"


def test_a_users_mistake_is_reported_and_an_internal_error_logged(
    space: Import, caplog: pytest.LogCaptureFixture
) -> None:
    common = space("tabs.common")

    def fail(error: Exception) -> None:
        raise error

    with pytest.raises(Exception, match="expected a seed"):
        common.report_errors(fail)(ValueError("expected\na seed"))
    assert not caplog.records
    with pytest.raises(Exception, match="internal error: the server has logged it"):
        common.report_errors(fail)(RuntimeError("/secret/place"))
    assert caplog.records[0].exc_info


def test_worker_processes_find_the_modules_that_they_preload(space: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    app, seen = space("app"), []
    monkeypatch.setattr(os, "environ", {**os.environ, "PYTHONPATH": "theirs"})
    monkeypatch.setattr(app, "limit_arenas", lambda: None)
    monkeypatch.setitem(sys.modules, "page", SimpleNamespace(serve=lambda: seen.append(os.environ["PYTHONPATH"])))
    assert app.main() == 0
    assert seen == [os.pathsep.join([str(SPACE), "theirs"])]


def test_gradio_keeps_no_statistics_of_calls(space: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if "GRADIO" not in name})
    app, shared = space("app"), []
    monkeypatch.setattr(app, "limit_arenas", lambda: shared.append(1))
    monkeypatch.setitem(sys.modules, "page", SimpleNamespace(serve=lambda: None))
    assert app.main() == 0
    queue = gradio().Blocks().queue()._queue
    queue.events_recorded = 100_000
    assert queue.ANALYTICS_MAX_EVENTS == 1
    assert queue.compute_analytics_summary([{"function": "settings"}]) == {"functions": {}}
    assert shared


def test_libraries_are_imported_after_the_environment_is_set() -> None:
    late = "{'datasets', 'gradio', 'huggingface_hub', 'transformers'}"
    command = [sys.executable, "-c", f"import app, sys; print(sorted({late} & sys.modules.keys()))"]
    path = os.pathsep.join([str(SPACE), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("library", "there"), [("glibc", True), ("musl", False), ("", False)])
def test_threads_share_arenas_where_the_library_has_them(
    space: Import, monkeypatch: pytest.MonkeyPatch, library: str, there: bool
) -> None:
    app, calls = space("app"), []
    fake = SimpleNamespace(mallopt=lambda option, value: calls.append((option, value)) or 1)
    monkeypatch.setattr(app.platform, "libc_ver", lambda: (library, "2.36"))
    monkeypatch.setattr(app.ctypes, "CDLL", lambda name: fake)
    assert app.limit_arenas() is there
    assert calls == ([(-8, app.ARENAS)] if there else [])


def test_sessions_are_bounded_and_no_history_is_recorded(
    space: Import, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, options = space("page"), {}
    steps: list[str] = []
    monkeypatch.setattr(gradio().Blocks, "launch", lambda _, **given: options.update(given))
    monkeypatch.setattr(gradio().Blocks, "block_thread", lambda _: steps.append("serves"))
    monkeypatch.setattr(app.POOL, "start", lambda: steps.append("starts" if options else "starts too early"))
    monkeypatch.setattr(app, "build", lambda: page)
    app.serve()
    assert steps == ["starts", "serves"] and options["prevent_thread_lock"]
    assert options["run_history"] is False and options["state_session_capacity"] == app.SESSIONS <= 100
    kinds = {type(block).__name__ for block in page.blocks.values()}
    assert "JSON" in kinds and "State" not in kinds  # state is kept in the browser
    runs = space("handlers.runs")
    assert runs.CACHED_RUNS > runs.BROWSER_RUNS


@pytest.fixture(scope="module")
def walk(walked_once: Walk, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    with quick():
        walk = walked_once.copy(tmp_path_factory.mktemp("served"))
        walk.judge().controls()
    return walk


@pytest.fixture(scope="module")
def served(walk: Walk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(walk.root, tmp_path_factory.mktemp("serve"), small=True) as server:
        yield server


def test_a_client_tries_a_method_out_and_reads_everything(walk: Walk, served: Served) -> None:
    before = files(walk.root / "mu-bench") | files(walk.models) | files(walk.results)
    client = served.client()
    assert client.predict(api_name="/settings")["chosen"]["task"] == "cifar10"
    form = client.predict("cifar10", "resnet", "scrub", api_name="/arguments")
    assert {"gamma", "alpha"} <= {field["name"] for field in form}
    stream = list(client.submit("cifar10", "resnet", str(RATIO), "scrub", 5, {"gamma": 0.9}, api_name="/try_out"))
    last = stream[-1]
    assert last["state"] == "finished" and {each["run"] for each in stream} == {last["run"]}
    assert last["request"]["seed"] == 5 and last["row"]["method"] == "scrub"
    run = last["run"]
    assert client.predict(run, api_name="/result")["command"].endswith("--seed 5 --gamma=0.9")
    assert 0 <= client.predict(run, 0.5, api_name="/attack")["base"]["forget"] <= 1
    assert json.loads(client.predict(run, api_name="/row"))["seed"] == 5
    assert client.predict(run, api_name="/download").startswith("UEsDB")  # "PK", the head of a zip file
    assert client.predict([run, run], api_name="/compare")["S"][0]
    row = json.dumps(make_row("scrub").model_dump(mode="json"))
    lines = client.predict({"task": ["cifar10"]}, [run], [row], api_name="/leaderboard")
    assert {"shipped", "here", "yours", "submitted"} == {line["origin"] for line in lines}
    assert client.predict(row, api_name="/submit")["method"] == "scrub"
    assert client.predict("canonical", "cifar10", str(RATIO), api_name="/data")["counts"]["forget"] == 16
    (first, *_) = client.predict("canonical", "cifar10", str(RATIO), "forget", api_name="/samples")
    assert first["example_id"] == last["rows"][0]["id"]
    after = files(walk.root / "mu-bench") | files(walk.models) | files(walk.results)
    assert before.items() <= after.items()


def test_hostile_requests_get_one_line_and_the_server_keeps_running(walk: Walk, served: Served) -> None:
    client = served.client()
    evil = "<script>alert(1)</script>"
    calls: list[tuple[str, list[Any]]] = [
        ("/try_out", ["../../etc/passwd", "resnet", "10", "scrub", 0]),
        ("/try_out", ["cifar10", "resnet", "10", "scrub", 0, {"output_dir": "elsewhere"}]),
        ("/train_references", ["cifar10", evil, "10"]),
        ("/result", ["../../../etc/passwd"]),
        ("/download", ["../models"]),
        ("/row", [evil]),
        ("/attack", ["0" * 24, 1e300]),
        ("/compare", [["x"] * 1000]),
        ("/leaderboard", [{"path": ["/etc"]}]),
        ("/leaderboard", [{}, [], "x"]),
        ("/submit", ["{" * 5000]),
        ("/data", ["canonical", "../..", "5"]),
        ("/samples", ["canonical", "cifar10", "5", evil, 1]),
        ("/cancel", [evil]),
        ("/arguments", ["cifar10", "resnet", "__class__"]),
        ("/settings", [evil]),
    ]
    for name, arguments in calls:
        with pytest.raises(Exception, match=r"must be|expected") as caught:
            client.predict(*arguments, api_name=name)
        assert "\n" not in str(caught.value) and str(walk.root) not in str(caught.value), name
    with pytest.raises(Exception, match=r"413|at most"):
        client.predict(BIG, api_name="/submit")
    assert served.get("gradio_api/runs") == 404  # gradio records no history
    for path in ("/etc/passwd", f"{walk.root}/models", "models", "../models/run.json"):
        assert served.get(f"gradio_api/file={path}") in (403, 404)
    assert client.predict("cifar10", api_name="/settings")["chosen"]["task"] == "cifar10"


@pytest.mark.nightly
def test_a_finished_run_outlives_a_killed_server(own_walk: Walk, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("serve")
    with serving(own_walk.root, folder, small=True) as server:
        client = server.client()
        *_, last = client.submit("cifar10", "resnet", str(RATIO), "finetune", 1, api_name="/try_out")
        assert last["state"] == "finished"
        long = {"num_train_epochs": LONGEST}
        job = client.submit("cifar10", "resnet", str(RATIO), "scrub", 1, long, api_name="/try_out")
        next(iter(job))
        server.kill()
        assert_gone(server.process.pid)
    with serving(own_walk.root, folder, small=True) as server:
        assert server.client().predict(last["run"], api_name="/result")["row"] == last["row"]
        assert [path.name for path in (own_walk.root / "runs").iterdir()] == [last["run"]]
