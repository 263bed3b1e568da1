"""The Space in a real browser: every tab is used as people use it; nothing outside is asked for."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mubench.hub_builders.dataset.build import build
from mubench.hub_builders.tasks import TASKS
from tests.fixtures.browsing import browsing, choose, need_browser, open_tab, reload, run
from tests.fixtures.serving import Served, serving
from tests.fixtures.small import LONGEST
from tests.fixtures.walk import RATIO, Walk, quick

pytestmark = pytest.mark.slow
# More visitors than the server remembers; a ratio that no model was retrained at.
CROWD, LACKING = 101, 7
# What a task's rows are shown as.
SHOWN = {
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


def test_a_method_is_tried_out_from_choice_to_gallery(served: Served) -> None:
    with browsing(served.url) as (page, seen):
        page.get_by_text("Arguments of the method").click()
        page.get_by_label("gamma", exact=True).fill("0.9")
        assert run(page).startswith(("scrub gamma=0.9 on cifar10", "S = "))
        assert "--gamma=0.9" in page.locator(".cm-content").first.inner_text()
        assert page.locator("#gallery figure").count() == 12
        assert page.locator("#gallery dt").all_inner_texts()[:3] == ["base", "unlearned", "retrained"]
        served.crowd(CROWD)  # the server has forgotten this visitor
        before = page.locator("#histogram").inner_text()
        slider = page.locator("#threshold input[type=range]")
        slider.focus()
        for _ in range(20):
            page.keyboard.press("ArrowRight")
        page.wait_for_function("b => document.querySelector('#histogram').innerText !== b", arg=before)
        page.get_by_label("most changed").check()
        page.get_by_text("All numbers").click()
        page.get_by_text("kl_retrained").wait_for()
        with page.expect_download() as found:
            page.get_by_role("button", name="Download the row (JSON)").click()
        assert '"method": "scrub"' in Path(found.value.path()).read_text()
        with page.expect_download() as found:
            page.get_by_role("button", name="Download the model folder (zip)").click()
        with zipfile.ZipFile(found.value.path()) as archive:
            assert {"model.safetensors", "README.md"} <= {Path(name).name for name in archive.namelist()}
        reload(page, seen)
        page.get_by_label("Your finished runs", exact=True).locator("visible=true").first.wait_for()
        choose(page, "Your finished runs", f"scrub gamma=0.9 on cifar10, resnet, {RATIO} %, seed 0")
        page.locator("#gallery figure").first.wait_for()


def test_what_a_ratio_lacks_is_trained_from_the_page(served: Served) -> None:
    with browsing(served.url) as (page, _):
        choose(page, "Deleted rows", f"{LACKING} % (no reference yet)")
        page.get_by_role("button", name="Train the reference models").click()
        page.locator("#told").get_by_text("Done.").wait_for()
        page.get_by_role("button", name="Train the reference models").wait_for(state="hidden")
        assert f", {LACKING} %" in run(page)


def test_a_run_is_cancelled(served: Served) -> None:
    with browsing(served.url) as (page, _):
        page.get_by_text("Arguments of the method").click()
        page.get_by_label("num train epochs", exact=True).fill(str(LONGEST))
        page.get_by_role("button", name="Unlearn and judge").click()
        page.get_by_text("loss on forget rows").wait_for()
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("Ended: cancelled.").wait_for()
        assert not page.locator("#verdict").is_visible()


def test_two_runs_are_compared_and_found_in_the_leaderboard(served: Served) -> None:
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
        assert [page.locator(f"#{side} .mu-line").count() for side in ("forgetting", "keeping")] == [2, 2]
        open_tab(page, "Leaderboard")
        page.locator("#board tbody tr").first.wait_for()
        whole = page.locator("#board tbody tr").count()
        assert {"yours", "neg_grad"} <= set(page.locator("#board td, #board th").all_inner_texts())
        choose(page, "Method", "neg_grad")
        choose(page, "Origin", "here")
        page.wait_for_function("document.querySelectorAll('#board tbody tr').length === 1")
        assert whole > 1
        assert page.locator("#board thead th").nth(3).get_attribute("title").startswith("1 = retrained")


def test_a_row_is_sent_in_and_a_wrong_one_refused(served: Served, tmp_path: Path) -> None:
    with browsing(served.url) as (page, _):
        run(page)
        with page.expect_download() as found:
            page.get_by_role("button", name="Download the row (JSON)").click()
        text = Path(found.value.path()).read_text()
        open_tab(page, "Leaderboard")
        page.get_by_text("Show a row of your own").click()
        page.get_by_label("Or its text").fill(text.replace('"seed": 0', '"seed": 7'))
        page.get_by_role("button", name="Show it beside the others").click()
        page.locator("#board").get_by_text("submitted").first.wait_for()
        served.crowd(CROWD)
        file = tmp_path / "row.json"
        file.write_text(text.replace('"seed": 0', '"seed": 8'))
        page.locator("input[type=file]").set_input_files(file)
        page.get_by_role("button", name="Show it beside the others").click()
        rows = "[...document.querySelectorAll('#board tbody tr')].filter(row => /submitted/.test(row.innerText))"
        page.wait_for_function(f"{rows}.length === 2")
        page.get_by_label("Or its text").fill('{"run_id": "<script>alert(1)</script>"}')
        page.get_by_role("button", name="Show it beside the others").click()
        page.get_by_text("expected a result row, got").wait_for()


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False), (390, True)])
def test_pages_are_as_wide_as_the_screen(served: Served, width: int, dark: bool) -> None:
    with browsing(served.url, width=width, dark=dark) as (page, _):
        for tab in ("Data explorer", "Leaderboard", "Compare", "Try out"):
            open_tab(page, tab)
            page.wait_for_timeout(500)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.body.classList.contains('dark')") is dark


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """All eleven tasks, without models: or, where MUBENCH_BASES names a folder, with those of ``make data bases``."""
    need_browser()
    root = Path(os.environ.get("MUBENCH_BASES", "") or tmp_path_factory.mktemp("every"))
    if "MUBENCH_BASES" not in os.environ:
        for task in TASKS:
            build(task, out=root)
        build("tofu", out=root, family="group")
    with serving(root, tmp_path_factory.mktemp("serve")) as server:
        yield server


def test_every_task_is_explored(every: Served) -> None:
    with browsing(every.url) as (page, _):
        open_tab(page, "Data explorer")
        for key, task in TASKS.items():
            choose(page, "Task", key)
            page.locator(f"#samples [data-task={key}] figure {SHOWN[task.kind]}").first.wait_for()
            assert page.locator("#samples figure").count() == 12
            assert f"{key}_del5" in page.locator(".cm-content").locator("visible=true").first.inner_text()
        choose(page, "Deletion family", "group")
        page.locator("#config").get_by_text("Group deletion").first.wait_for()
        shown = page.locator(".cm-content").locator("visible=true")
        shown.filter(has_text="mu-bench-group").first.wait_for()


@pytest.mark.nightly
@pytest.mark.parametrize("key", TASKS)
def test_every_task_is_tried_out_to_its_gallery(every: Served, key: str) -> None:
    if "MUBENCH_BASES" not in os.environ:
        pytest.skip("MUBENCH_BASES names no folder where `make data bases` has run")
    with browsing(every.url) as (page, _):
        choose(page, "Task", key)
        page.wait_for_timeout(1000)
        choose(page, "Method", "finetune")
        told = run(page)
        assert f" on {key}" in told
        if "Not judged" in told:
            assert f"make references TASK={key}" in told
            page.get_by_role("status").filter(has_text=f"make references TASK={key}").wait_for()
        page.locator(f"#gallery figure {SHOWN[TASKS[key].kind]}").first.wait_for()
        assert page.locator("#gallery dd").first.inner_text()
        drawn = page.locator("#gallery figure").first.locator(".mu-drawn img").count()
        assert drawn == (3 if TASKS[key].kind == "text_to_image" else 0)


def test_the_interface_needs_no_mouse(served: Served) -> None:
    with browsing(served.url) as (page, _):
        button: Any = page.get_by_role("button", name="Unlearn and judge")
        for _ in range(40):
            page.keyboard.press("Tab")
            if button.evaluate("it => it === document.activeElement"):
                break
        page.keyboard.press("Enter")
        page.locator("#verdict h3").wait_for()
