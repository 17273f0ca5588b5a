"""What is told beside the answer to a request, whatever the request was: how it was understood.

The dispatcher opens the list before it calls a handler, and adds the lines to the answer's warnings.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_told: ContextVar[list[str] | None] = ContextVar("told", default=None)


@contextmanager
def collected() -> Iterator[list[str]]:
    """Collect what is told in this task from here on."""
    lines: list[str] = []
    token = _told.set(lines)
    try:
        yield lines
    finally:
        _told.reset(token)


def tell(line: str) -> None:
    """Tell a line, once, to whoever sent the request that this task answers."""
    lines = _told.get()
    if line and lines is not None and line not in lines:
        lines.append(line)
