"""Counts what was read and is not dealt with yet, so that its answers go out before the server ends.

A script may write its requests and close the input at once. The SDK ends then, and with it what is under way:
of answers that were nearly there some came and some did not.
"""

import json
import time
from threading import Condition
from typing import Any

from mcp.server.context import CallNext, ServerRequestContext

GRACE_S = 5.0  # for calls that only look, on a loaded machine
WAITING = ("run", "wait")  # tools that may wait for hours: the end waits for none of them
WRITE_S = 0.1  # for the last answer to be written: the SDK does not tell when it is


class Unanswered:
    """The messages between the input, where a thread reads them, and the server's loop."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._left = 0

    def read(self, line: bytes) -> None:
        """Count a line of the input, if it is a request or a notification."""
        if _is_message(line):
            self._add(1)

    async def middleware(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> Any:
        """Deal with a message as the SDK does, and count it as dealt with: before that, if it may wait."""
        if ctx.method == "tools/call" and (ctx.params or {}).get("name") in WAITING:
            self._add(-1)
            return await call_next(ctx)
        try:
            return await call_next(ctx)
        finally:
            self._add(-1)

    def settle(self) -> None:
        """Wait until all that was read is dealt with, or the grace is over."""
        with self._changed:
            done = self._changed.wait_for(lambda: self._left <= 0, GRACE_S)
        if done:
            time.sleep(WRITE_S)

    def _add(self, number: int) -> None:
        with self._changed:
            self._left += number
            self._changed.notify_all()


def _is_message(line: bytes) -> bool:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(message, dict) and "method" in message
