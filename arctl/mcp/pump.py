r"""Puts a pipe in the place of standard input, in which every line is one that the SDK can read.

A model may end a text in half a character (`\ud83d` without its other half). Python's JSON takes that, the
SDK's does not, and drops the whole message: the client would wait for its answer for ever.
"""

import json
import os
from collections.abc import Iterator
from threading import Thread

from arctl.mcp.unanswered import Unanswered

BLOCK = 1 << 16
HALF = rb"\ud"  # how the escape of a half begins


def mend_input(unanswered: Unanswered) -> None:
    """Take standard input's place, until it ends and what was read is answered."""
    source = os.dup(0)
    theirs, ours = os.pipe()
    os.dup2(theirs, 0)
    os.close(theirs)
    Thread(target=_copy, args=(source, ours, unanswered), name="standard input", daemon=True).start()


def _copy(source: int, target: int, unanswered: Unanswered) -> None:
    try:
        for line in _lines(source):
            unanswered.read(line)
            _write(target, mended(line))
        unanswered.settle()
    except OSError:  # as where the terminal is gone: it ends like an input that was closed
        pass
    finally:
        os.close(target)


def _lines(source: int) -> Iterator[bytes]:
    """Yield each line with its end, which the last one may lack."""
    parts: list[bytes] = []
    while data := os.read(source, BLOCK):
        *whole, rest = data.split(b"\n")
        for line in whole:
            yield b"".join([*parts, line, b"\n"])
            parts = []
        parts.append(rest)
    if last := b"".join(parts):
        yield last + b"\n"


def _write(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]


def mended(line: bytes) -> bytes:
    """Return a message with a question mark in the place of each half character; what is no JSON as it is."""
    if HALF not in line.lower():
        return line
    try:
        text = json.dumps(json.loads(line), ensure_ascii=False)
    except (ValueError, RecursionError):
        return line
    return text.encode("utf-8", "replace") + b"\n"
