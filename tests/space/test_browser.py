"""The Space in a real browser, which loads no external resources: one walk of all tabs, and nightly the details."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.tasks import TASKS
from tests.fixtures.browsing import browsing, check_accessibility, choose, need_browser, open_tab, reload, run
from tests.fixtures.serving import Served, serving
from tests.fixtures.small import LONGEST
from tests.fixtures.walk import RATIO, Walk, quick

pytestmark = pytest.mark.slow
# More visitors than the server keeps sessions; a ratio without retrained models.
CROWD, UNTRAINED = 101, 7
# Scrolls the nearest element around a cell that is wider than it shows.
SCROLL = """(it, left) => {
  while (it.scrollWidth <= it.clientWidth + 1) { it = it.parentElement; }
  it.scrollLeft = left;
}"""
# The element that shows a row.
ELEMENTS = {
    "image_classification": "img", "text_classification": "p", "image_pair_classification": "img",
    "audio_classification": "audio", "video_classification": "video", "summarization": "p", "text_generation": "p",
    "text_to_image": "img",
}  # fmt: skip


@pytest.fixture(scope="module")
def served(walked_once: Walk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    need_browser()
    root = tmp_path_factory.mktemp("browser")
    with quick():
        walk = walked_once.copy(root / "served")
        walk.judge().controls()
        walk.judge().run(next(walk.models.glob("*neg-grad*")))
    with serving(walk.root, root, small=True) as server:
        yield server


def test_a_walk_of_all_tabs(served: Served) -> None:
    with browsing(served.url) as (page, _):
        page.get_by_text("Arguments of the method").click()
        page.get_by_label("gamma", exact=True).fill("0.9")
        assert run(page).startswith(("scrub gamma=0.9 on cifar10", "S = "))
        assert "--gamma=0.9" in page.locator(".cm-content").first.inner_text()
        assert page.locator("#gallery figure").count() == 12
        assert page.locator("#gallery dt").all_inner_texts()[:3] == ["base", "unlearned", "retrained"]
        move_threshold(page)
        check_accessibility(page, "Try out")
        page.get_by_label("gamma", exact=True).fill("0.8")
        page.locator("#verdict").wait_for(state="hidden")
        open_tab(page, "Compare")
        page.locator("#runs input").first.check()
        page.wait_for_function("document.querySelectorAll('#numbers thead th').length === 2")
        assert page.locator("#cloud circle").count() == 3 + 1 + 1
        assert [page.locator(f"#{name} .mu-line").count() for name in ("forgetting", "keeping")] == [1, 1]
        check_accessibility(page, "Compare")
        open_tab(page, "Leaderboard")
        page.locator("#board .virtual-row").get_by_text("yours").first.wait_for()
        check_accessibility(page, "Leaderboard")
        page.get_by_label("mini tasks").check()
        page.locator("#matrix [data-task=cifar10][data-tier=mini]").first.click()
        choose(page, "Method", "neg_grad")
        choose(page, "Origin", "here")
        page.wait_for_function("document.querySelectorAll('#board .virtual-row').length === 1")
        assert "neg_grad" in page.locator("#board .virtual-row").inner_text()
        open_tab(page, "Data explorer")
        page.locator("#samples figure img").first.wait_for()
        check_accessibility(page, "Data explorer")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def move_threshold(page: Any) -> None:
    before = page.locator("#histogram").inner_text()
    page.locator("#threshold input[type=range]").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.wait_for_function("b => document.querySelector('#histogram').innerText !== b", arg=before)


@pytest.mark.nightly
def test_a_run_is_downloaded_and_found_again_by_a_forgotten_visitor(served: Served) -> None:
    with browsing(served.url) as (page, activity):
        run(page)
        served.crowd(CROWD)  # the server drops this visitor's session
        move_threshold(page)
        page.get_by_label("most changed").check()
        page.get_by_text("All metrics").click()
        page.get_by_text("kl_retrained").wait_for()
        assert '"method": "scrub"' in download(page, "Download the result row (JSON)").read_text()
        with zipfile.ZipFile(download(page, "Download the model folder (zip)")) as archive:
            assert {"model.safetensors", "README.md"} <= {Path(name).name for name in archive.namelist()}
        reload(page, activity)
        page.get_by_label("Your finished runs", exact=True).locator("visible=true").first.wait_for()
        choose(page, "Your finished runs", f"scrub on cifar10, resnet, {RATIO} %, seed 0")
        page.locator("#gallery figure").first.wait_for()


def download(page: Any, button: str) -> Path:
    with page.expect_download() as found:
        page.get_by_role("button", name=button).click()
    return Path(found.value.path())


@pytest.mark.nightly
def test_missing_reference_models_are_trained_from_the_page(served: Served) -> None:
    with browsing(served.url) as (page, _):
        choose(page, "Deletion ratio", f"{UNTRAINED} % (no reference yet)")
        page.get_by_role("button", name="Train the reference models").click()
        page.locator("#progress").get_by_text("Done.").wait_for()
        page.get_by_role("button", name="Train the reference models").wait_for(state="hidden")
        assert f", {UNTRAINED} %" in run(page)


@pytest.mark.nightly
def test_a_run_is_cancelled(served: Served) -> None:
    with browsing(served.url) as (page, _):
        page.get_by_text("Arguments of the method").click()
        page.get_by_label("num train epochs", exact=True).fill(str(LONGEST))
        page.get_by_role("button", name="Unlearn and judge").click()
        page.get_by_text("loss on forget rows").wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("Ended: cancelled.").wait_for()
        assert not page.locator("#verdict").is_visible()


@pytest.mark.nightly
def test_two_runs_are_compared(served: Served) -> None:
    with browsing(served.url) as (page, _):
        run(page)
        choose(page, "Method", "finetune")
        run(page)
        open_tab(page, "Compare")
        page.locator("#runs input").nth(1).wait_for()
        page.locator("#runs input").nth(0).check()
        page.locator("#runs input").nth(1).check()
        page.wait_for_function("document.querySelectorAll('#numbers thead th').length === 3")
        assert page.locator("#cloud circle").count() == 3 + 1 + 2
        assert [page.locator(f"#{name} .mu-line").count() for name in ("forgetting", "keeping")] == [2, 2]


@pytest.mark.nightly
def test_a_row_is_submitted_and_an_invalid_one_refused(served: Served, tmp_path: Path) -> None:
    with browsing(served.url) as (page, _):
        run(page)
        text = download(page, "Download the result row (JSON)").read_text()
        open_tab(page, "Leaderboard")
        page.get_by_text("Submit a row").click()
        page.get_by_label("Or its text").fill(text.replace('"seed": 0', '"seed": 7'))
        page.get_by_role("button", name="Submit", exact=True).click()
        page.locator("#board .virtual-row").get_by_text("submitted").first.wait_for()
        served.crowd(CROWD)
        file = tmp_path / "row.json"
        file.write_text(text.replace('"seed": 0', '"seed": 8'))
        page.get_by_label("Row (JSON)").set_input_files(file)
        page.get_by_role("button", name="Submit", exact=True).click()
        rows = "[...document.querySelectorAll('#board .virtual-row')].filter(row => /submitted/.test(row.innerText))"
        page.wait_for_function(f"{rows}.length === 2")
        page.get_by_label("Or its text").fill('{"run_id": "<script>alert(1)</script>"}')
        page.get_by_role("button", name="Submit", exact=True).click()
        page.get_by_text("expected a result row, got").wait_for()


@pytest.mark.nightly
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_pages_fit_the_screen(served: Served, width: int, dark: bool) -> None:
    with browsing(served.url, width=width, dark=dark) as (page, _):
        for tab in ("Data explorer", "Leaderboard", "Compare", "Try out"):
            open_tab(page, tab)
            page.wait_for_timeout(500)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.body.classList.contains('dark')") is dark
        if width < 480:
            check_method_and_s_stay_in_place(page)


def check_method_and_s_stay_in_place(page: Any) -> None:
    open_tab(page, "Leaderboard")
    cells = page.locator("#board .virtual-row").first.locator("[role=gridcell]")
    for scrolled in (0, 600):
        page.locator("#board [data-col='3']").first.evaluate(SCROLL, scrolled)
        page.wait_for_timeout(300)
        (method, score) = (cells.nth(column).bounding_box() for column in (1, 3))
        assert method["x"] + method["width"] <= score["x"] + 1 and score["x"] + score["width"] <= 390
        assert 0 <= method["x"] < (120 if scrolled == 0 else 60)


@pytest.fixture(scope="module")
def all_tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve all eleven tasks, with the models of ``make data bases`` if MUBENCH_BASES names their folder."""
    need_browser()
    root = Path(os.environ.get("MUBENCH_BASES", "") or tmp_path_factory.mktemp("all_tasks"))
    if "MUBENCH_BASES" not in os.environ:
        for task in TASKS:
            build(task, out=root)
        build("tofu", out=root, family="group")
    with serving(root, tmp_path_factory.mktemp("serve")) as server:
        yield server


@pytest.mark.nightly
def test_every_task_is_explored(all_tasks: Served) -> None:
    with browsing(all_tasks.url) as (page, _):
        open_tab(page, "Data explorer")
        for key, task in TASKS.items():
            choose(page, "Task", key)
            page.locator(f"#samples [data-task={key}] figure {ELEMENTS[task.kind]}").first.wait_for()
            assert page.locator("#samples figure").count() == 12
            assert f"{key}_del10" in page.locator(".cm-content").locator("visible=true").first.inner_text()
        choose(page, "Deletion family", "group")
        page.locator("#config").get_by_text("Group deletion").first.wait_for()
        code = page.locator(".cm-content").locator("visible=true")
        code.filter(has_text="mu-bench-group").first.wait_for()


@pytest.mark.nightly
@pytest.mark.parametrize("key", TASKS)
def test_every_task_is_tried_out_to_its_gallery(all_tasks: Served, key: str) -> None:
    if "MUBENCH_BASES" not in os.environ:
        pytest.skip("MUBENCH_BASES names no folder where `make data bases` has run")
    with browsing(all_tasks.url) as (page, _):
        choose(page, "Task", key)
        page.wait_for_timeout(1000)
        choose(page, "Method", "finetune")
        verdict = run(page)
        assert f" on {key}" in verdict
        if "Not judged" in verdict:
            assert f"mubench references --task {key}" in verdict
            page.get_by_role("status").filter(has_text=f"mubench references --task {key}").wait_for()
        page.locator(f"#gallery figure {ELEMENTS[TASKS[key].kind]}").first.wait_for()
        assert page.locator("#gallery dd").first.inner_text()
        images = page.locator("#gallery figure").first.locator(".mu-generated img").count()
        assert images == (3 if TASKS[key].kind == "text_to_image" else 0)


@pytest.mark.nightly
def test_the_keyboard_is_enough(served: Served) -> None:
    with browsing(served.url) as (page, _):
        button: Any = page.get_by_role("button", name="Unlearn and judge")
        for _ in range(40):
            page.keyboard.press("Tab")
            if button.evaluate("it => it === document.activeElement"):
                break
        page.keyboard.press("Enter")
        page.locator("#verdict h2").wait_for()
