"""docs/protocol.md: its tables are those of the code."""

import re

from msgspec import Struct
from msgspec.inspect import StructType, type_info

from ardaemon.core.config import SUBSCRIBER_QUEUE
from ardaemon.core.events import ExperimentEvent, LiveEvent, MachineEvent, RunEvent
from ardaemon.core.methods import METHODS
from ardaemon.handlers import live
from tests.support.page import DOCS

PAGE = (DOCS / "protocol.md").read_text(encoding="utf-8")


def rows(header: str) -> list[list[str]]:
    """The cells of a table on the page, row by row."""
    _, _, rest = PAGE.partition(f"{header}\n")
    lines = rest.partition("\n\n")[0].splitlines()[1:]  # the first is the rule below the header
    return [line.strip("|").split("|") for line in lines]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def events(*bases: type[Struct]) -> dict[str, list[str]]:
    """The fields of each event, by its name on the wire."""
    types = [type_info(kind) for base in bases for kind in base.__subclasses__()]
    return {str(kind.tag): [f.name for f in kind.fields] for kind in types if isinstance(kind, StructType)}


def test_the_page_has_a_row_for_each_event_with_its_fields() -> None:
    assert {
        quoted(name)[0]: quoted(fields) for name, _, fields in rows("| event | what has happened | fields |")
    } == events(RunEvent, ExperimentEvent, MachineEvent)


def test_the_page_has_a_row_for_each_live_event_with_its_fields() -> None:
    assert {
        quoted(name)[0]: quoted(fields) for name, _, fields in rows("| live event | what it tells | fields |")
    } == events(LiveEvent)
    assert f"no more often than every {live.EVERY_S:g} s" in PAGE
    assert f"the first {live.RUNS_MAX} runs" in PAGE


def test_the_page_names_each_method_once() -> None:
    assert sorted(name for method, *_ in rows("| method | |") for name in quoted(method)) == sorted(METHODS)


def test_the_page_says_how_far_a_subscriber_may_be_behind() -> None:
    assert f"falls {SUBSCRIBER_QUEUE} events behind" in PAGE
