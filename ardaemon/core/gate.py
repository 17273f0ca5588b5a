"""When runs may start: a person's order, and the daily hours of config.toml. Pure.

Moments are seconds since 1970 (time.time), for both are meant by the clock on the wall.
"""

import time
from typing import Annotated, Literal

from msgspec import Meta, Struct

from ardaemon.core.hours import Hours
from ardaemon.core.model import Record

BY_COMMAND = "arctl queue resume"
UNTIL_MAX = 253402300799.0  # the end of the year 9999: what comes after it cannot be told as a date


class Order(Record, frozen=True, kw_only=True):
    """queue.json: what a person has ordered. `until`: by when it has come to its end; None: another order."""

    state: Literal["paused", "drained", "open"]
    until: Annotated[float, Meta(ge=0, le=UNTIL_MAX)] | None = None


class Closed(Struct, frozen=True):
    """Why no run may start now, in words, and when that ends by itself; None: it does not.

    `ordered`: a person has closed it, not the hours.
    """

    why: str
    until: float | None = None
    ordered: bool = True


def joined(order: Order | None, new: Order, now: float) -> Order:
    """Return which of two orders holds: the new one, unless it would open earlier what somebody has closed.

    Who pauses for two hours does not know that somebody maintains the machine until tomorrow.
    """
    if order is None or order.state == "open" or new.state == "open" or new.until is None:
        return new
    lasts = order.until is None or order.until > max(now, new.until)
    return order if lasts else new


def closed(order: Order | None, daily: Hours | None, now: float) -> Closed | None:
    """Return why no run may start at that moment; None if runs may."""
    if order is not None and (order.until is None or now < order.until):
        if order.state == "open":
            return None
        words = "is paused" if order.state == "paused" else "is drained for maintenance"
        return Closed(f"the queue {words}{_till(order.until, now)}: {BY_COMMAND}", order.until)
    if daily is None or daily.hold(now):
        return None
    start = daily.next_start(now)
    why = f"outside of the hours in config.toml{_till(start, now)}: {BY_COMMAND} --for 2h opens before"
    return Closed(why, start, ordered=False)


def _till(moment: float | None, now: float) -> str:
    if moment is None:
        return ""
    same_day = time.localtime(moment)[:3] == time.localtime(now)[:3]
    return time.strftime(" until %H:%M" if same_day else " until %Y-%m-%d %H:%M", time.localtime(moment))
