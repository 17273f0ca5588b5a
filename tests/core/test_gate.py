"""When runs may start: orders, and hours of the day, also over midnight and the change to summer time."""

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from ardaemon.core.config import Config
from ardaemon.core.gate import Closed, Order, closed, joined
from ardaemon.core.hours import Hours, hours


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone with summer time, in the form of POSIX: it needs no database of zones."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def at(text: str) -> float:
    return time.mktime((*time.strptime(text, "%Y-%m-%d %H:%M")[:8], -1))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("20-08", Hours(1200, 480)),
        ("19:30-07:15", Hours(1170, 435)),
        ("0-12", Hours(0, 720)),
        ("18-24", Hours(1080, 1440)),
        ("24-6", Hours(0, 360)),
    ],
)
def test_hours_are_read(text: str, read: Hours) -> None:
    assert hours(text) == read


@pytest.mark.parametrize(
    "text", ["", "20", "20-", "25-3", "20-08-09", "8:60-9", "8-8", "0-24", "24:30-3", "-1-3"]
)
def test_hours_that_are_none_are_refused_in_config_toml(text: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="hours = "):
        msgspec.convert({"hours": text}, type=Config)


@pytest.mark.parametrize(
    ("text", "moment", "hold", "begin"),
    [
        ("20-08", "2026-11-27 19:59", False, "2026-11-27 20:00"),
        ("20-08", "2026-11-27 20:00", True, "2026-11-28 20:00"),
        ("20-08", "2026-11-28 07:59", True, "2026-11-28 20:00"),
        ("20-08", "2026-11-28 08:00", False, "2026-11-28 20:00"),
        ("09:30-17", "2026-12-31 17:00", False, "2027-01-01 09:30"),
        ("18-24", "2026-11-28 23:59", True, "2026-11-29 18:00"),
        ("18-24", "2026-11-29 00:00", False, "2026-11-29 18:00"),
    ],
)
def test_what_lies_in_the_hours_and_when_they_begin(text: str, moment: str, hold: bool, begin: str) -> None:
    daily = hours(text)
    assert daily.hold(at(moment)) is hold
    assert daily.next_start(at(moment)) == at(begin)


def test_a_day_has_23_hours_when_summer_time_begins() -> None:
    evening, morning = at("2027-03-27 20:00"), at("2027-03-28 20:00")
    assert morning - evening == 23 * 3600
    assert hours("20-08").next_start(evening) == morning


def test_hours_that_begin_in_an_hour_that_comes_twice_begin_later_than_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In Cairo summer time ends at midnight, and 23:00 comes again. A moment in the past would be waited for
    without a pause."""
    monkeypatch.setenv("TZ", "EET-2EEST,M4.5.5/0,M10.5.4/24")
    time.tzset()
    ends = at("2026-10-29 22:59") + 60 + 3600
    assert time.strftime("%H:%M %Z", time.localtime(ends)) == "23:00 EET"
    assert hours("23:30-07").next_start(ends) == ends + 30 * 60


NOON = "2026-11-27 12:00"


@pytest.mark.parametrize(
    ("state", "ends_in", "daily", "said"),
    [
        (None, None, None, None),
        ("paused", None, None, "the queue is paused: arctl queue resume"),
        ("paused", -1, None, None),
        ("drained", None, "9-17", "the queue is drained for maintenance: arctl queue resume"),
        ("open", 60, "20-08", None),
        ("open", 0, "9-17", None),
    ],
)
def test_an_order_goes_before_the_hours(
    state: Any, ends_in: float | None, daily: str | None, said: str | None
) -> None:
    until = None if ends_in is None else at(NOON) + ends_in
    order = None if state is None else Order(state=state, until=until)
    found = closed(order, None if daily is None else hours(daily), at(NOON))
    assert (found and found.why) == said


def test_until_when_is_said() -> None:
    paused = closed(Order(state="paused", until=at("2026-11-27 14:30")), None, at(NOON))
    assert paused == Closed("the queue is paused until 14:30: arctl queue resume", at("2026-11-27 14:30"))
    tomorrow = closed(Order(state="paused", until=at("2026-11-28 14:30")), None, at(NOON))
    assert tomorrow is not None
    assert "until 2026-11-28 14:30" in tomorrow.why
    outside = closed(None, hours("20-08"), at(NOON))
    assert outside is not None
    assert outside.why.startswith("outside of the hours in config.toml until 20:00: ")
    assert outside.until == at("2026-11-27 20:00")


@pytest.mark.parametrize("until", [1e17, 1e300, -1e300])
def test_an_order_until_a_moment_that_no_date_has_cannot_be_read(until: float) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"schema": 1, "state": "paused", "until": until}, Order)


ENDLESS, LONG, SHORT, PAST = (Order(state="paused", until=until) for until in (None, 300.0, 200.0, 50.0))
OPEN, DRAINED = Order(state="open", until=150.0), Order(state="drained")


@pytest.mark.parametrize(
    ("before", "new", "holds"),
    [
        (None, SHORT, SHORT),
        (ENDLESS, SHORT, ENDLESS),
        (DRAINED, SHORT, DRAINED),
        (LONG, SHORT, LONG),
        (SHORT, LONG, LONG),
        (SHORT, ENDLESS, ENDLESS),
        (ENDLESS, DRAINED, DRAINED),
        (DRAINED, ENDLESS, ENDLESS),
        (PAST, SHORT, SHORT),
        (OPEN, SHORT, SHORT),
        (ENDLESS, OPEN, OPEN),
        (DRAINED, Order(state="open", until=100.0), Order(state="open", until=100.0)),
    ],
)
def test_a_pause_opens_nothing_that_was_closed_for_longer(
    before: Order | None, new: Order, holds: Order
) -> None:
    """`resume` alone does, by an order that is over at once, or in a while."""
    assert joined(before, new, now=100.0) == holds
