"""The event that an agent hands to a guard: one JSON object on the standard input."""

import json
import os
from typing import Any, BinaryIO

EVENT_MAX = 16 << 20  # bytes; a Write has the whole text of its file in it
# How a file is opened that somebody else may have put there: no link is followed, no FIFO waited for.
OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW
SHOWN_MAX = 200  # characters of a text of others in a line of ours

Event = dict[str, Any]


class Unclear(Exception):
    """An event, a command or a path that cannot be judged; the text says why."""


def read(stream: BinaryIO) -> Event:
    """Return the event. Raises Unclear if it is no JSON object, or too large."""
    data = stream.read(EVENT_MAX + 1)
    if len(data) > EVENT_MAX:
        raise Unclear(f"the event has more than {EVENT_MAX >> 20} MiB")
    try:
        event = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unclear("the event is no JSON") from error
    if not isinstance(event, dict):
        raise Unclear("the event is no JSON object")
    return event


def text(event: Event, name: str) -> str:
    """Return a field of the event that must be a text. Raises Unclear."""
    value = event.get(name)
    if not isinstance(value, str):
        raise Unclear(f"the event has no {name}")
    return value


def shown(value: str, most: int = SHOWN_MAX) -> str:
    """Return a text of others as part of one line: nothing in it acts on a terminal or hides."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in value[: 4 * most]).split())
    return line if len(line) <= most else line[: most - 1] + "…"
