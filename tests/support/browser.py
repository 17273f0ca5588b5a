"""A real browser without a window: the system's chromium, driven by playwright, which downloads nothing."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)"
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser, and end it with all its processes."""
    with sync_playwright() as driver:
        # Its sandbox needs rights that root, and most containers, do not have.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def detail(view: Page) -> str:
    """What the panel beside the chart says."""
    return view.locator("#detail").inner_text()


def listed(view: Page) -> list[str]:
    """The runs in the table, from its top."""
    return view.locator("#rows tr td.run").all_inner_texts()


def point_at(view: Page, number: int) -> None:
    """Put the pointer on the mark of a run."""
    view.mouse.move(*view.evaluate(_PLACE, number))


_PLACE = """(number) => {
  const [x, y] = charts[0].toPoint(current().index.get(number)), box = charts[0].svg.getBoundingClientRect();
  const scale = box.width / charts[0].width;
  return [box.left + x * scale, box.top + y * scale];
}"""
