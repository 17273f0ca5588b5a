"""Finds the numbers in JSON: dicts in dicts by joined names, nan as a word.

Trackers join names by a point; in a script's own JSON a slash joins them, in files as in the log.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

from ardaemon.core.config import NAME_MAX
from ardaemon.core.spelling import one_spelling
from ardaemon.core.text import one_line
from ardaemon.metrics.formats import cells

TEXT_MAX = 64 << 10  # bytes of a text in which numbers are looked for; one with tables or media is longer
DEPTH_MAX = 8  # of dicts in dicts, as trackers write them
OBJECT_DEPTH_MAX = 4  # of objects in objects of a script's own: deeper ones are settings, not metrics
NO_NUMBER = "which is no number"
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


def leaves(entry: dict[str, Any], path: str = "", depth: int = 1) -> Iterator[tuple[str, Any]]:
    """Yield each value that is no object, under its name: {"val": {"loss": 1}} has val/loss."""
    for key, value in entry.items():
        name = path + (key if key.isidentifier() and key.isascii() else _cleaned(key))
        if isinstance(value, dict):
            if depth < OBJECT_DEPTH_MAX:
                yield from leaves(value, f"{name}/", depth + 1)
        elif len(name) <= NAME_MAX:
            yield name, value


def _cleaned(key: str) -> str:
    return one_spelling(one_line(key, NAME_MAX + 1))


def json_number(value: Any) -> float | cells.Unread:
    """Return a JSON value as a number, also of a text as "91.2%", or say why it is none.

    An integer without end becomes infinite.
    """
    if isinstance(value, str) and len(value) <= NAME_MAX:
        found = cells.value(value)
        return cells.Unread(NO_NUMBER) if found is None else found
    if isinstance(value, int | float) and not isinstance(value, bool):
        return as_float(value)
    return cells.Unread(NO_NUMBER)


def as_float(value: float) -> float:
    """Return a JSON number as a float; an integer with hundreds of digits becomes infinite."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return _WORDS.get(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return as_float(value)
