"""Work in a thread that ends when nobody waits for it any more (standard library alone)."""

from contextvars import ContextVar

TYPE_CHECKING = False  # typing costs more to import than this module
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")


def _go_on() -> None:
    """Do nothing: nobody can end the work."""


_check: "ContextVar[Callable[[], None]]" = ContextVar("check", default=_go_on)


def interruptible(check: "Callable[[], None]", work: "Callable[[], T]") -> "T":
    """Do the work. `check` is called often while it reads files and folders, and may raise to end it."""
    token = _check.set(check)
    try:
        return work()
    finally:
        _check.reset(token)


def check() -> "Callable[[], None]":
    """Return what the work under way calls between two steps."""
    return _check.get()
