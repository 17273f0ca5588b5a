"""Makes the page: one HTML file that is whole in itself, of at most PAGE_MAX bytes.

The page may run its one script and use its one style sheet, which its policy names by their hashes; it may
load nothing and send nothing. The experiments' data stands in it as JSON in which nothing can end an element.
"""

from base64 import b64encode
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from importlib import resources

from msgspec import Struct

from ardaemon.core.version import VERSION
from ardaemon.report.page.link import Gathering, PageLink
from ardaemon.report.page.pieces import Work
from ardaemon.report.page.records import encoded

PAGE_MAX = 600_000  # bytes: a mail takes it, and a browser shows it at once
SCRIPTS = (
    "data",
    "plot",
    "progress",
    "charts",
    "detail",
    "table",
    "header",
    "page",
)  # in this order: the last one draws
OTHERS_SHARE = 2  # half of the room is for the other experiments of the chain


class PageData(Struct, frozen=True):
    """All data of the page; `asked` is the place of the experiment that is shown first."""

    links: tuple[PageLink, ...]
    asked: int
    foot: str


class Chapter(Struct, frozen=True):
    """An experiment whose runs were gathered, and how many of its runs are not among them yet."""

    gathering: Gathering
    pending: int


def page(chapters: Sequence[Chapter], asked: int) -> Work[str]:
    """Return the page of a chain's experiments; `asked` is the place of the one that was asked for."""
    before, after = _skeleton()
    room = PAGE_MAX - len(before) - len(after) - len(encoded(PageData((), asked, _foot()))) - len(chapters)
    links: dict[int, PageLink] = {}
    for place, chapter in enumerate(chapters):
        if place != asked:
            share = room // OTHERS_SHARE // (len(chapters) - 1)
            links[place] = yield from chapter.gathering.link(chapter.pending, share)
    left = room - sum(len(encoded(link)) for link in links.values())
    links[asked] = yield from chapters[asked].gathering.link(chapters[asked].pending, left)
    yield
    data = encoded(PageData(tuple(links[place] for place in sorted(links)), asked, _foot()))
    yield
    return (before + data + after).decode()


def _foot() -> str:
    return f"Written by ardaemon {VERSION}."


@lru_cache(1)
def _skeleton() -> tuple[bytes, bytes]:
    """Return what stands before and after the data."""
    style, script = _part("page.css"), "".join(_part(f"{name}.js") for name in SCRIPTS)
    text = _part("page.html")
    for mark, part in {"policy": _policy(style, script), "style": style, "script": script}.items():
        text = text.replace("{{" + mark + "}}", part)
    before, _, after = text.partition("{{data}}")
    return before.encode(), after.encode()


def _policy(style: str, script: str) -> str:
    """Return the page's Content-Security-Policy: nothing but its own style and script."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}';"
        " base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _part(name: str) -> str:
    return resources.files(__package__).joinpath("web", name).read_text(encoding="utf-8")
