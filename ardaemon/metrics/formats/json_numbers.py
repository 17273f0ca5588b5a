"""Finds the numbers in JSON that experiment trackers write: dicts in dicts by joined names, nan as a word."""

import json
import math
from collections.abc import Iterator
from typing import Any

from ardaemon.core.config import NAME_MAX

TEXT_MAX = 64 << 10  # bytes of a text in which numbers are looked for; one with tables or media is longer
DEPTH_MAX = 8  # of dicts in dicts
# Values that JSON has no number for, as wandb and trackio write them.
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def parsed(text: bytes | str) -> Any:
    """Return the value of a JSON text; None if the text is not JSON, or too long."""
    if len(text) > TEXT_MAX:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def numbers(name: str, value: Any, depth: int = 0) -> Iterator[tuple[str, float]]:
    """Yield every number in `value` with its name, which is `a.b` if `value` is {"b": …} and `name` is `a`.

    Booleans and lists are left out, and a dict with a `_type` too: its numbers are parts of a histogram, an
    image or a table.
    """
    if isinstance(value, dict):
        if depth < DEPTH_MAX and "_type" not in value:
            for key, inner in value.items():
                yield from numbers(f"{name}.{key}" if name else key, inner, depth + 1)
    elif len(name) <= NAME_MAX:
        number = _number(value)
        if number is not None:
            yield name, number


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return _WORDS.get(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return math.inf if value > 0 else -math.inf
