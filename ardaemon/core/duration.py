"""Lengths of time as people write them, in seconds (standard library alone: the client loads it)."""

import math
import re

from ardaemon.core.errors import UsageError

LONGEST_S = 366 * 86400.0  # of a pause: longer is a slip of the finger
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_FORM = re.compile(r"\s*(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>[smhd]?)\s*", re.IGNORECASE)


def seconds(text: str, option: str) -> float:
    """Read a length of time (`90`, `90s`, `10m`, `2h`, `1d`) and return seconds.

    Raises UsageError, which names `option`, also for more than LONGEST_S.
    """
    match = _FORM.fullmatch(text)
    length = float(match["number"]) * _SECONDS[match["unit"].lower()] if match else 0.0
    if not 0 < length < math.inf:
        raise UsageError(f"{option} {text[:40]!r}: it is not a length of time", "write it as 90s, 10m or 2h")
    if length > LONGEST_S:
        raise UsageError(f"{option} {text[:40]!r}: it is longer than a year", "give at most 366d")
    return length
