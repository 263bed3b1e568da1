"""A real browser, where there is one: Debian's chromium, driven by playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
WAIT_MS = 120_000
# For so long a page that asks nothing more has asked nothing.
QUIET_MS = 1000


def need_browser() -> str:
    """Return the browser's file; without one the test is skipped, but not in continuous integration."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        import playwright  # noqa: F401, PLC0415
    except ImportError:
        found = None
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("expected chromium and playwright in continuous integration, got none")
        pytest.skip("needs chromium and playwright (pip install playwright; apt-get install chromium)")
    return str(found)


@dataclass
class Seen:
    """What a page did beside being shown."""

    url: str
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    asked: set[Any] = field(default_factory=set)

    def watch(self, page: Any) -> None:
        """Take down what a page does from now on."""
        page.on("request", self._requested)
        for ended in ("requestfinished", "requestfailed"):
            page.on(ended, self._answered)
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _requested(self, request: Any) -> None:
        self.requests.append(request.url)
        if "/queue/" in request.url:
            self.asked.add(request)

    def _answered(self, request: Any) -> None:
        self.asked.discard(request)

    def check(self) -> None:
        """Check that nothing outside was asked for, and nothing went wrong."""
        assert not [url for url in self.requests if not url.startswith((self.url, "data:", "blob:"))]
        assert not self.errors, "\n".join(self.errors)


@contextmanager
def browsing(url: str, *, width: int = 1280, dark: bool = False) -> Iterator[tuple[Any, Seen]]:
    """Open a page and watch what it does; it is checked at the end."""
    path = need_browser()
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=list(FLAGS))
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light")
        page.set_default_timeout(WAIT_MS)
        seen = Seen(url)
        seen.watch(page)
        page.goto(f"{url}/?__theme=dark" if dark else url)
        page.get_by_role("button", name="Unlearn and judge").wait_for()
        try:
            yield page, seen
        finally:
            browser.close()
    seen.check()


def reload(page: Any, seen: Seen) -> None:
    """Load a page anew once it asks nothing more: one that is left before an answer says so in its console."""
    before = -1
    while seen.asked or len(seen.requests) > before:
        before = len(seen.requests)
        page.wait_for_timeout(QUIET_MS)
    page.reload()


def choose(page: Any, label: str, value: str) -> None:
    """Choose in a menu, as people do: open it, and click the line."""
    box = page.get_by_label(label, exact=True).locator("visible=true").first
    box.click()
    page.get_by_role("option", name=value, exact=True).first.click()
    page.keyboard.press("Escape")


def open_tab(page: Any, name: str) -> None:
    """Open a tab; on a phone some are behind a button."""
    tab = page.get_by_role("tab", name=name)
    if tab.is_visible():
        tab.click()
    else:
        page.locator(".overflow-menu > button").first.click()
        page.locator(".overflow-dropdown button", has_text=name).click()


def run(page: Any) -> str:
    """Run what is chosen, wait for the end, and return the verdict."""
    page.get_by_role("button", name="Unlearn and judge").click()
    page.locator("#verdict").wait_for(state="hidden")
    page.locator("#verdict h3").wait_for()
    return str(page.locator("#verdict").inner_text())
