"""How the page looks in a real browser: at each width, in light and dark, on paper."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from ardaemon.core.facts import Change
from ardaemon.core.summary import Link
from ardaemon.report.page.link import OTHERS_POINTS
from ardaemon.report.tally import Frame
from tests.support.browser import listed, needs_chromium
from tests.support.histories import run
from tests.support.pages import PRIMARY, RUNS, SLUG, built, chapter, page_of

pytestmark = needs_chromium
Show = Callable[..., Page]
WIDTHS = (360, 800, 1400)
SCHEMES = ("light", "dark")
WORD = "x" * 10_240  # a name of 10 KiB that has no place to break
CONTRAST_TEXT, CONTRAST_MARK = 4.5, 3.0  # WCAG 2.2, 1.4.3 and 1.4.11, level AA
COLOURS = "paper card ink soft faint accent accent-wash fail fail-wash mark fail-mark".split()
GROUND = "getComputedStyle(document.documentElement).backgroundColor"
OUTSIDE = """() => [...document.querySelectorAll("body *:not(.hidden, .skip, input)")].filter((node) => {
  const box = node.getBoundingClientRect();
  return node.checkVisibility() && (box.right > innerWidth + 1 || box.left < -1);
}).map((node) => node.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_at_each_width_nothing_goes_over_the_edge(show: Show, width: int, scheme: str) -> None:
    frame = Frame(
        expr=f"261122-{'x' * 57}", primary=PRIMARY, goal=WORD, chain=(Link(expr=SLUG, rationale=WORD),)
    )
    long = {
        "note": WORD,
        "diff": f"@@\n+{WORD}\n",
        "reason": f"exception:{WORD}",
        "changes": (Change(WORD, WORD, WORD),),
    }
    runs = [*RUNS, run(9, value=-123456.789, **long), run(10, status="crash", verdict="crash", **long)]
    other = chapter(RUNS, Frame(expr=f"261121-{'y' * 57}", primary=PRIMARY))
    view = show(built([chapter(runs, frame), other]), width, scheme)
    view.locator("#rows").get_by_role("button", name="r0009").click()
    assert view.evaluate("document.documentElement.scrollWidth") == width
    assert view.evaluate(OUTSIDE) == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_and_marks_have_the_contrast_of_level_aa(show: Show, scheme: str) -> None:
    view = show(page_of(RUNS), scheme=scheme)
    read = "(name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()"
    colour = {name: view.evaluate(read, name) for name in COLOURS}
    texts = [(ink, ground) for ink in ("ink", "soft", "accent") for ground in ("paper", "card")]
    texts += [("ink", ground) for ground in ("accent-wash", "fail-wash", "mark", "fail-mark")]
    texts += [("soft", "accent-wash"), ("accent", "accent-wash"), ("paper", "ink")]
    marks = [(ink, ground) for ink in ("fail", "accent", "faint") for ground in ("paper", "card")]
    for least, pairs in ((CONTRAST_TEXT, texts), (CONTRAST_MARK, marks)):
        for ink, ground in pairs:
            assert contrast(colour[ink], colour[ground]) >= least, f"{ink} on {ground}"


def contrast(one: str, other: str) -> float:
    """The contrast of two colours (WCAG 2.2, contrast ratio)."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """The relative luminance of a colour (WCAG 2.2)."""
    digits = colour.lstrip("#")
    parts = [int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_switch_overrules_the_colours_of_the_system(show: Show) -> None:
    view = show(page_of(RUNS), scheme="dark")
    dark = view.evaluate(GROUND)
    view.get_by_role("radio", name="Light").check(force=True)
    light = view.evaluate(GROUND)
    view.get_by_role("radio", name="Dark").check(force=True)
    assert light != dark
    assert view.evaluate(GROUND) == dark
    view.emulate_media(color_scheme="light")
    assert view.evaluate(GROUND) == dark
    view.get_by_role("radio", name="Auto").check(force=True)
    assert view.evaluate(GROUND) == light


def test_it_prints_in_light_colours_and_without_its_tools(show: Show) -> None:
    view = show(page_of(RUNS), scheme="dark")
    view.get_by_role("radio", name="Dark").check(force=True)
    view.emulate_media(media="print")
    assert view.evaluate(GROUND) == "rgb(255, 255, 255)"
    seen = {part: view.locator(part).is_visible() for part in (".theme", ".tools", "#table", "#detail")}
    assert seen == {".theme": False, ".tools": False, "#table": True, "#detail": True}
    printed = view.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 3


def test_the_experiments_of_a_chain_are_tabs(show: Show) -> None:
    slugs = ("261120-first", SLUG, "261124-third")
    chapters = []
    for place, slug in enumerate(slugs):
        link = Link(expr=slug, rationale=f"because of {slug}")
        frame = Frame(expr=slug, primary=PRIMARY, goal=f"goal of {slug}", chain=(link,))
        chapters.append(chapter(RUNS[: 3 + place], frame, OTHERS_POINTS))
    view = show(built(chapters, 1))
    assert view.get_by_role("tab").all_inner_texts() == [*slugs]
    assert view.locator("h1").inner_text() == SLUG
    assert f"because of {SLUG}" in view.locator("#why").inner_text()
    view.get_by_role("tab", name="261120-first").click()
    assert view.get_by_role("tabpanel", name="261120-first").locator("#rows tr").count() == 3
    view.keyboard.press("End")
    assert view.get_by_role("tab", selected=True).inner_text() == "261124-third"
    assert view.locator("#goal").inner_text() == "goal of 261124-third"
    assert len(listed(view)) == 5
