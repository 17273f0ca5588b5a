"""What a run said does nothing in the page, and nothing gets out of it: in a real browser."""

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from ardaemon.core.facts import Change
from ardaemon.report.tally import Frame
from tests.support.browser import needs_chromium, point_at
from tests.support.histories import run
from tests.support.pages import PRIMARY, RUNS, SLUG, page_of

pytestmark = needs_chromium
Show = Callable[..., Page]
HOSTILE = (
    '</script><script>window.hit=1</script><img src=x onerror="window.hit=1">\u202e\u2066 javascript:hit'
)
SHOWN = '</script><script>window.hit=1</script><img src=x onerror="window.hit=1"> javascript:hit'
# Scripts that the page never had try each way out; what its policy refused is the answer.
TRIES = """async (address) => {
  const refused = new Set();
  const wanted = ["connect-src", "img-src", "script-src-elem", "style-src-elem", "font-src"];
  document.addEventListener("securitypolicyviolation", (event) => refused.add(event.effectiveDirective));
  const add = (tag, given) => document.head.append(Object.assign(document.createElement(tag), given));
  fetch(address).catch(() => {});
  new Image().src = address;
  add("script", { src: address });
  add("script", { textContent: "window.hit = 1" });
  add("link", { rel: "stylesheet", href: address });
  new FontFace("f", `url(${address})`).load().catch(() => {});
  for (let n = 0; n < 200 && !wanted.every((each) => refused.has(each)); n++) {
    await new Promise((done) => setTimeout(done, 25));
  }
  return [...refused].sort();
}"""


def test_hostile_text_does_nothing_and_is_shown_as_text(show: Show) -> None:
    frame = Frame(expr=SLUG, primary=PRIMARY, goal=HOSTILE)
    given = {
        "note": HOSTILE,
        "diff": f"+{HOSTILE}\n-{HOSTILE}\n",
        "reason": f"exception:E {HOSTILE}",
        "changes": (Change(HOSTILE, HOSTILE, HOSTILE),),
    }
    runs = [run(1, verdict="advance", value=1.0, **given), run(2, status="crash", verdict="crash", **given)]
    view = show(page_of(runs, frame))
    point_at(view, 2)
    assert view.evaluate("window.hit") is None
    assert view.locator("img, iframe, object, embed, script[src]").count() == 0
    assert view.locator("script").count() == 2
    for holder in ("#goal", "#detail .note", "#detail .diff", "#rows", "#varied", "#failed"):
        assert SHOWN[:40] in view.locator(holder).inner_text(), holder
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", view.locator("body").inner_text())


def test_an_address_that_names_no_run_does_nothing(show: Show) -> None:
    view = show(page_of(RUNS))
    for address in ("#%", f"#{SLUG}/r9999", f"#{SLUG}/<img>", "#__proto__/constructor", f"#{SLUG}"):
        view.evaluate("(address) => { location.hash = address; }", address)
        view.reload()
        assert "r0004" in view.locator("#detail").inner_text()


def test_the_page_reaches_nothing_even_if_a_script_in_it_tries(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_bytes(page_of(RUNS))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        view = browser.new_page()
        view.goto(f"file://{tmp_path}/report.html")
        refused = view.evaluate(TRIES, f"http://127.0.0.1:{server.getsockname()[1]}/")
        assert refused == ["connect-src", "font-src", "img-src", "script-src-elem", "style-src-elem"]
        assert view.evaluate("window.hit") is None
        with pytest.raises(BlockingIOError):
            server.accept()
