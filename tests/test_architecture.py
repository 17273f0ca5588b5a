"""docs/architecture.md: its picture is the imports', and every room, file and name in it is there.

The same holds of the files that CONTRIBUTING.md names.
"""

import re

from tests.support.imports import ROOT, read_tree, sources
from tests.support.page import DOCS
from tests.support.rooms import diagram, room_graph

PAGE = (DOCS / "architecture.md").read_text(encoding="utf-8")
BOTH = PAGE + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
# `pipeline/watch.py`, `metrics/formats/`; with `new` before it, what is yet to be written.
PATH = re.compile(r"(?P<new>new )?`(?P<path>[\w.-]*/[\w./-]*|[\w-]+\.(?:py|md))`")
# `METHODS`, `Queued.attempts`, `board.told(…)`; no file's name.
NAME = re.compile(r"`(?!\S+\.(?:py|md|jsonl?|tsv)`)(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)(?:\(.*?\))?`")
NOT_OURS = ("train.py",)  # the experiment's


def paths(new: bool) -> list[str]:
    """The files and folders that the pages name, less those whose name the reader is to choose."""
    chosen = [match["path"] for match in PATH.finditer(BOTH) if bool(match["new"]) == new]
    return [path for path in chosen if "NAME" not in path and path not in NOT_OURS]


def exists(path: str) -> bool:
    """Is it there, below ardaemon/ or below the repository?"""
    return (ROOT / "ardaemon" / path).exists() or (ROOT / path).exists()


def names() -> set[str]:
    """The classes, functions and constants that the page names, `Queued.attempts` as two."""
    return {name for match in NAME.finditer(PAGE) for name in match["name"].split(".")} - {"NAME"}


def words() -> set[str]:
    """Every word of our code, and of the tests that the page sends its reader to."""
    files = [*sources(ROOT).values(), *(ROOT / "tests").rglob("*.py")]
    return {word for path in files for word in re.findall(r"\w+", path.read_text(encoding="utf-8"))}


def test_the_picture_of_the_rooms_is_drawn_from_the_imports() -> None:
    assert f"```mermaid\n{diagram(room_graph(read_tree(ROOT)))}\n```" in PAGE


def test_every_room_has_its_row_and_every_row_its_room() -> None:
    rows = [line.split("`")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    rooms = [room.removeprefix("ardaemon/") for room in room_graph(read_tree(ROOT))]
    assert sorted(rows) == sorted(rooms)


def test_every_file_that_the_pages_name_is_there() -> None:
    assert len(paths(new=False)) > 100
    assert [path for path in paths(new=False) if not exists(path)] == []


def test_what_the_page_calls_new_is_not_there_yet() -> None:
    """Once it is written it is no longer to come."""
    assert paths(new=True)
    assert [path for path in paths(new=True) if exists(path)] == []


def test_every_name_in_the_page_is_one_of_the_code() -> None:
    assert len(names()) > 50
    assert sorted(names() - words()) == []
