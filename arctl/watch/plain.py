"""`arctl watch` without a screen: a line for each event, in a pipe, for a screen reader, or as JSON."""

import contextlib
import time
from datetime import UTC, datetime

from arctl.base import say, say_json
from arctl.client import Client
from arctl.dial import Answer
from arctl.render import queue as queue_lines
from arctl.watch.lines import line
from arctl.watch.stream import Stream

RUNS_MAX = 20  # of those under way that are listed at the beginning


class Lines:
    """Prints the events of one experiment, or of all."""

    def __init__(self, project: str | None, expr: str | None, as_json: bool) -> None:
        self.about = {"project": project, "expr": expr} if expr is not None else {}
        self.as_json = as_json
        self.show = self._json if as_json else self._text

    def run(self) -> None:
        """Print until Ctrl+C."""
        with contextlib.suppress(KeyboardInterrupt):  # the usual way to end it
            while True:
                stream = Stream("events.subscribe", self.show, self._lost, self._params)
                for warning in stream.run().get("warnings") or ():  # too far behind, and cut off
                    self._lost(str(warning))

    def _params(self) -> Answer:
        return {**self.about, "confirm": True}

    def _lost(self, why: str) -> None:
        self.show({"event": "lost", "why": why})

    def _json(self, event: Answer) -> None:
        say_json({"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **event})

    def _text(self, event: Answer) -> None:
        text = line(event)
        if text is not None:
            self._say(text)
        if event.get("event") == "subscribed":
            self._say_queue()

    def _say(self, text: str) -> None:
        say(f"{time.strftime('%H:%M:%S')} {text}")

    def _say_queue(self) -> None:
        """Say what is under way: nobody must wait for the next event to know."""
        with contextlib.closing(Client()) as client:
            runs = [run for run in client.call("queue.list")["runs"] if self._is_meant(run)]
        for run in runs[:RUNS_MAX]:
            self._say(queue_lines.queued(run))
        more = len(runs) - RUNS_MAX
        if more > 0:
            self._say(f"and {more} more: arctl queue")
        if not runs:
            self._say("nothing runs, nothing waits")

    def _is_meant(self, run: Answer) -> bool:
        return all(run[key] == value for key, value in self.about.items())
