"""Reads the text of config.toml, for its settings and for whom it trusts (standard library alone).

core/files.py asks whom a person trusts, so the careful reader of files is handed in here, and not imported.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ardaemon.core import toml
from ardaemon.core.config_faults import Fault, Faults, syntax
from ardaemon.core.errors import UsageError

BYTE_ORDER_MARK = "\ufeff"  # some editors of Windows put it before the text; TOML 1.1 passes over it

Read = Callable[[str], str]  # the text of the file at a path; raises OSError and UnicodeDecodeError


def text(path: str, read: Read) -> str:
    """Return the text; "" where there is no file. Raises Faults, and UsageError if it cannot be read."""
    if path == os.devnull:  # no home folder
        return ""
    try:
        return read(path).removeprefix(BYTE_ORDER_MARK)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise Faults([Fault(line, "it is no text in UTF-8")]) from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", f"see what is there: ls -lL {path}", {"file": path}
        ) from None


def table(text: str) -> dict[str, Any]:
    """Return what the text says. Raises Faults."""
    try:
        return toml.parse(text)
    except ValueError as error:
        raise Faults([syntax(str(error), text)]) from None


@contextmanager
def named(path: str) -> Iterator[None]:
    """Make the block's Faults those of that file: a UsageError that names it."""
    try:
        yield
    except Faults as error:
        raise UsageError(
            f"{path}: {error}",
            "correct the file, and see whether it is right: arctl config check",
            {"file": path, "faults": [{"line": fault.line, "why": fault.why} for fault in error.faults]},
        ) from None
