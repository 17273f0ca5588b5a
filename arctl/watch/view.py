"""The live view on the whole screen: events go into the model, the layout's lines come out."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from textual.app import App, ComposeResult
from textual.message import Message

from arctl.client import OLDER
from arctl.dial import Answer
from arctl.watch.asker import Asker, Then
from arctl.watch.board import Board
from arctl.watch.layout import screen
from arctl.watch.model import Ask, Model, Place
from arctl.watch.stream import LET_GO_S, Stream
from ardaemon.core.errors import ArdaemonError, UsageError

REDRAW_S = 0.1  # what comes within it is drawn at once: events come in groups
AGES_S = 10.0  # "thinking for 3 min" is drawn anew so often, whatever happens
SUBSCRIPTION = {"confirm": True, "live": True}


class Heard(Message):
    """An event came from the daemon."""

    def __init__(self, event: Answer) -> None:
        super().__init__()
        self.event = event


class Failed(Message):
    """No events come any more."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class Done(Message):
    """The asker has done a work."""

    def __init__(self, then: Then, value: Any) -> None:
        super().__init__()
        self.then, self.value = then, value


class View(App[None]):
    """The live view without its keys: what is heard is shown."""

    CSS_PATH = "watch.tcss"
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, place: Place, now: Callable[[], float] = time.time) -> None:
        """Show an experiment; `now` is the clock (seconds since 1970)."""
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"  # the terminal's own background, dark or light
        self.model, self.now = Model(place), now
        self.board = Board(self.redraw)
        self.asker = Asker(self._done)
        self.events = Stream("events.subscribe", self._heard, self._lost, lambda: SUBSCRIPTION)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self.fault: ArdaemonError | None = None  # for which the view ended
        self._due = False

    # --- start and end ---

    def compose(self) -> ComposeResult:
        yield self.board

    def on_mount(self) -> None:
        """Begin to listen."""
        self.model.know(self.model.place)
        self.asker.start()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)  # it puts the terminal back
        self._listener.start()
        self.set_interval(AGES_S, self.redraw)
        self.app_resume_signal.subscribe(self, lambda _: self._resumed())

    def _resumed(self) -> None:
        """Draw all of it: what stood on the terminal was the shell's meanwhile."""
        self.screen.refresh(layout=True)
        self.board.refresh()

    async def on_unmount(self) -> None:
        """Let go of the daemon, and wait for it: a thread must not post to a loop that has ended."""
        self.events.close()
        self.asker.close()
        for join in (self._listener.join, self.asker.join):
            await asyncio.to_thread(join, LET_GO_S)

    def _listen(self) -> None:
        """Hand on events until closed; too far behind, it begins anew. Runs in a thread."""
        try:
            while warnings := self.events.run().get("warnings"):
                self._lost(" ".join(warnings))
        except UsageError as error:
            error.mend = OLDER  # what it does not know is `live`
            self.post_message(Failed(error))
        except Exception as error:
            self.post_message(Failed(error))

    def _heard(self, event: Answer) -> None:
        self.post_message(Heard(event))

    def _done(self, then: Then, value: Any) -> None:
        self.post_message(Done(then, value))

    def _lost(self, why: str) -> None:
        self.post_message(Heard({"event": "lost", "why": why}))

    # --- events, answers, lines ---

    def on_heard(self, message: Heard) -> None:
        """Take in an event."""
        self.model.take(message.event)
        self.changed()

    def on_failed(self, message: Failed) -> None:
        """End with the daemon's error; a fault of ours is shown by Textual, with its traceback."""
        if not isinstance(message.error, ArdaemonError):
            raise message.error
        self.fault = message.error
        self.exit()

    def on_done(self, message: Done) -> None:
        """Take in what the asker has done; a fault of ours is not taken for an answer."""
        if isinstance(message.value, Exception) and not isinstance(message.value, ArdaemonError):
            raise message.value
        message.then(message.value)
        self.changed()

    def changed(self) -> None:
        """Ask what must be asked by now, and draw soon."""
        for ask in self.model.asks():
            self._ask(ask)
        if not self._due:
            self._due = True
            self.set_timer(REDRAW_S, self.redraw)

    def _ask(self, ask: Ask) -> None:
        def then(value: Any) -> None:
            if isinstance(value, ArdaemonError):
                self.model.failed(ask)
                self.model.notice = value.message
                return
            for more in self.model.answer(ask, value):
                self._ask(more)

        self.asker.ask(lambda call: call(ask.method, **ask.params), then)

    def redraw(self) -> None:
        """Draw what has changed."""
        self._due = False
        width, height = self.board.size
        if width and height:
            self.board.show(screen(self.model, width, height, self.now()))
