"""What is told beside the answer to a request, whatever the request was.

How it was understood goes with the answer: the dispatcher opens a list before it calls a handler, and adds
the lines to the answer's warnings. What the answer waits for goes at once.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Send = Callable[[str], Awaitable[None]]

_told: ContextVar[list[str] | None] = ContextVar("told", default=None)
_send: ContextVar[Send | None] = ContextVar("send", default=None)


@contextmanager
def collected(send: Send) -> Iterator[list[str]]:
    """Collect what is told in this task from here on; `send` takes a line that is told at once."""
    lines: list[str] = []
    tokens = _told.set(lines), _send.set(send)
    try:
        yield lines
    finally:
        _told.reset(tokens[0])
        _send.reset(tokens[1])


async def tell_at_once(line: str) -> None:
    """Tell a line before the answer, to whoever sent the request that this task answers."""
    send = _send.get()
    if send is not None:
        await send(line)


def tell(line: str) -> None:
    """Tell a line, once, to whoever sent the request that this task answers."""
    lines = _told.get()
    if line and lines is not None and line not in lines:
        lines.append(line)
