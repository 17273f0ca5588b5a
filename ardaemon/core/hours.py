"""The part of each day in which runs may start, by the machine's own time zone. Pure.

Moments are seconds since 1970 (time.time): hours are meant by the clock on the wall.
"""

import re
import time

from msgspec import Struct

DAY = 24 * 60  # minutes
FORM = r"([01]?\d|2[0-4])(:[0-5]\d)?-([01]?\d|2[0-4])(:[0-5]\d)?"


class Hours(Struct, frozen=True):
    """The part of each day in which runs may start, in minutes since midnight; it may span midnight."""

    start: int
    end: int

    def hold(self, now: float) -> bool:
        """Tell whether the moment lies in them."""
        clock = time.localtime(now)
        minute = clock.tm_hour * 60 + clock.tm_min
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end

    def next_start(self, now: float) -> float:
        """Return the next moment at which they begin."""
        clock = time.localtime(now)
        later = self.start <= clock.tm_hour * 60 + clock.tm_min
        # mktime(3) takes a day beyond the month's end, and finds out about summer time by itself.
        day = (clock.tm_year, clock.tm_mon, clock.tm_mday + later)
        start = (*day, self.start // 60, self.start % 60, 0, 0, 0)
        first = time.mktime((*start, -1))
        # Where summer time ends, one hour comes twice: of a time of day in it the first moment may be over.
        return first if first > now else time.mktime((*start, 0))


def hours(text: str) -> Hours:
    """Read `20-08` or `19:30-07:00`. Raises ValueError."""
    match = re.fullmatch(FORM, text)
    if match is None:
        raise ValueError(f'hours = "{text[:40]}": write them as "20-08" or "19:30-07:00"')
    start, end = (_minute(match[i], match[i + 1]) for i in (1, 3))
    if max(start, end) > DAY or start % DAY == end % DAY:
        raise ValueError(f'hours = "{text}" is no part of a day; leave it out for the whole day')
    return Hours(start % DAY, end)


def _minute(hour: str, minute: str | None) -> int:
    return int(hour) * 60 + int((minute or ":0")[1:])
