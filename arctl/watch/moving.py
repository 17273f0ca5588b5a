"""One line on stderr that moves while somebody waits for a run, at a terminal.

Nothing is asked again and again: the daemon's events come in a thread. The command itself waits on another
connection, and its answer is what counts, so nothing that happens here may disturb it.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from threading import Lock, Thread

import click

from arctl.client import Client
from arctl.dial import Answer
from arctl.render.columns import width
from arctl.render.progress import Piece, Standing
from arctl.watch.stream import Stream
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.text import clean

COLUMNS = 80  # where the terminal does not tell
ECHO = 2  # columns of the "^C" that the terminal itself prints behind the line

# What an event of a later version's daemon may raise here, which has other fields. It is passed over.
ODD = (AttributeError, KeyError, TypeError, ValueError)


class Line:
    """A line in place of itself, by carriage returns and spaces alone. Terminals of every kind know those."""

    def __init__(self) -> None:
        self._fd, self._drawn, self._last = sys.stderr.fileno(), 0, ""
        self._coloured = not os.environ.get("NO_COLOR")  # https://no-color.org

    def room(self) -> int:
        """Return the columns that a line may take: with the echo of Ctrl+C it does not reach the edge."""
        return max(self._columns() - ECHO - 1, 0)

    def draw(self, pieces: list[Piece]) -> None:
        """Put these pieces in the place of the last ones, unless we are in the background of a shell."""
        if not self._in_foreground():
            return
        taken = sum(width(text) for text, _ in pieces)
        text = "".join(click.style(text, fg=fg) if fg and self._coloured else text for text, fg in pieces)
        spaces = max(min(self._drawn, self.room()) - taken, 0)
        if text != self._last:
            # Back over the spaces: what the terminal echoes belongs behind the text.
            self._write(f"\r{text}{' ' * spaces}{chr(8) * spaces}")
        self._drawn, self._last = taken, text

    def erase(self) -> None:
        """Leave an empty line, and the cursor at its beginning."""
        if self._drawn:
            self._write(f"\r{' ' * min(self._drawn + ECHO, self._columns() - 1)}\r")
        self._drawn, self._last = 0, ""

    def _write(self, text: str) -> None:
        # Not through sys.stderr, whose lock a thread would hold at the interpreter's end.
        with contextlib.suppress(OSError):  # the terminal is gone
            os.write(self._fd, text.encode(sys.stderr.encoding, "replace"))

    def _columns(self) -> int:
        with contextlib.suppress(OSError):
            return os.get_terminal_size(self._fd).columns or COLUMNS
        return COLUMNS

    def _in_foreground(self) -> bool:
        with contextlib.suppress(OSError):  # it is not our controlling terminal
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        return True


class Moving:
    """What is told of a run while somebody waits for it."""

    def __init__(self, view: Answer, any_run: bool) -> None:
        self._standing, self._line = Standing(view, any_run), Line()
        self._lock, self._shown = Lock(), False
        self._about = {"project": view["project"], "expr": view["expr"]}
        self._stream = Stream("events.subscribe", self._take, self._lost, self._params, False)
        Thread(target=self._follow, name="events", daemon=True).start()

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show the line as long as this lasts."""
        self._show(True)
        try:
            yield
        finally:
            self._show(False)

    def above(self, text: str) -> None:
        """Print a line on stderr above this one."""
        with self._lock:
            self._line.erase()
            click.echo(clean(text), err=True)
            self._draw()

    def see(self, view: Answer) -> None:
        """Take the run as the daemon has just answered."""
        with self._lock:
            self._standing.see(view)

    def _show(self, shown: bool) -> None:
        with self._lock:
            self._shown = shown
            self._draw()

    def _draw(self) -> None:
        if not self._shown:
            self._line.erase()
            return
        with contextlib.suppress(*ODD):
            self._line.draw(self._standing.line(self._line.room()))

    # --- in the thread of the events ---

    def _follow(self) -> None:
        """Follow the events. Where that ends, as with an earlier daemon, the line stays as it is."""
        with contextlib.suppress(ArdaemonError, OSError):
            self._stream.run()

    def _params(self) -> Answer:
        return {**self._about, "confirm": True, "live": True}

    def _take(self, event: Answer) -> None:
        status = self._status() if event.get("event") == "subscribed" else None
        with self._lock:
            with contextlib.suppress(*ODD):
                if status is not None:
                    self._standing.learn(status)
                self._standing.take(event)
            self._draw()

    def _status(self) -> Answer | None:
        """Ask for the metric's name and the best; None where there is no answer."""
        client = Client(tell=lambda _: None)
        try:
            return client.call("status.get", **self._about)
        except (ArdaemonError, OSError):
            return None
        finally:
            client.close()

    def _lost(self, why: str) -> None:
        with self._lock:
            self._standing.lost = why
            self._draw()
