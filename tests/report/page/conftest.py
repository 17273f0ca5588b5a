"""The page in a real browser: opens it, and holds that it asks for nothing and that nothing in it fails."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.support.browser import chromium

ANSWER_MS = 10_000.0  # for the browser to do one thing, on a busy machine


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a file: to start it takes a second."""
    with chromium() as started:
        yield started


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """A function that opens a page, given its bytes and how wide and in which colours it is looked at."""
    address = f"file://{tmp_path}/report.html"
    asked: list[str] = []
    faults: list[str] = []

    def opened(html: bytes, width: int = 1400, scheme: str = "light") -> Page:
        (tmp_path / "report.html").write_bytes(html)
        view = browser.new_page(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        view.set_default_timeout(ANSWER_MS)
        view.on("request", lambda request: asked.append(request.url))
        view.on("pageerror", lambda error: faults.append(str(error)))
        view.on("console", lambda message: faults.append(message.text))
        view.goto(address)
        return view

    yield opened
    for context in browser.contexts:
        context.close()
    assert {url.partition("#")[0] for url in asked} == {address}
    assert faults == []
