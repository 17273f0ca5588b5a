"""Lengths of time as people write them, in seconds (standard library alone: the client loads it)."""

import math
import re

from ardaemon.core.errors import UsageError

LONGEST_S = 366 * 86400.0  # of a pause: longer is a slip of the finger
NO_TIME = ("0", "0.0", "0s")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_FORM = re.compile(r"\s*(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[smhd]?)\s*", re.IGNORECASE)
_HOURS = re.compile(r"\s*[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?\s*", re.IGNORECASE)


def seconds(text: str, option: str, zero: bool = False) -> float:
    """Read a length of time (`90`, `90s`, `10m`, `2h`, `1d`) and return seconds; 0 only with `zero`.

    Raises UsageError, which names `option`, also for more than LONGEST_S.
    """
    if zero and text.strip() in NO_TIME:
        return 0.0
    match = _FORM.fullmatch(text)
    length = float(match["number"]) * _SECONDS[match["unit"].lower()] if match else 0.0
    if not 0 < length < math.inf:
        raise UsageError(f"{option} {text[:40]!r}: it is not a length of time", "write it as 90s, 10m or 2h")
    if length > LONGEST_S:
        raise UsageError(f"{option} {text[:40]!r}: it is longer than a year", "give at most 366d")
    return length


def hours(text: str, option: str) -> float:
    """Read a length of time in hours (`8`, `1.5`), or with its unit (`90m`, `2d`), and return hours.

    Raises UsageError, which names `option`.
    """
    if _HOURS.fullmatch(text):
        return float(text)
    return seconds(text, option) / _SECONDS["h"]
