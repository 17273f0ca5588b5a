"""What the keys of the live view do: follow a log, see a diff, read the report, list the experiments."""

import asyncio
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from textual.message import Message

from arctl import difference, output
from arctl.dial import Answer
from arctl.render.line import SLUG_MAX
from arctl.watch.asker import Call
from arctl.watch.dialogs import TextScreen, shortened
from arctl.watch.model import Ask, Key, Model, Place
from arctl.watch.paint import Line, safe
from arctl.watch.stream import LET_GO_S, Stream
from ardaemon.core.errors import ArdaemonError
from ardaemon.core.layout import ORIGINAL, Project
from ardaemon.core.text import clean

TAIL_LINES = 80  # of the log's end, before it is followed
LINES_MAX = 2000  # of a diff or report that are shown
DIFF_STYLES = {"+": "good", "-": "bad", "@": "info"}
NEWEST_MAX = 200  # experiments of the project that are listed


def diff(call: Call, run: Key) -> list[Line]:
    """Return what the run changed in train.py, as coloured lines."""
    view = call("run.get", **Ask("run.get", run).params)
    before, after = difference.runs(view, str(view.get("base") or ORIGINAL))
    lines = difference.lines(before, after)
    if not lines:
        return [(("dim", f"{after.run_id} is the same as {before.run_id}"),)]
    return _cut(((DIFF_STYLES.get(line[:1], ""), safe_line(line)),) for line in lines)


def report(call: Call, place: Place) -> list[Line]:
    """Return the report of the experiment as lines."""
    text = str(call("report.get", project=place[0], expr=place[1])["text"])
    lines = clean(text).split("\n")
    return _cut((("title" if line.startswith("#") else "", line),) for line in lines)


def page(call: Call, place: Place) -> str:
    """Write the history as one HTML file into the current folder; return where it is."""
    answer = call("report.page", project=place[0], expr=place[1])
    path = os.path.abspath(f"report-{answer['expr']}.html")
    output.require_file(path)
    output.write(path, str(answer["html"]).encode())
    return f"the page is written: {path}"


def safe_line(line: str) -> str:
    """Return a line that others wrote, cleaned, with its spaces."""
    return shortened(clean(line).replace("\n", " "))


def _cut(lines: Iterable[Line]) -> list[Line]:
    some = list(lines)
    more = len(some) - LINES_MAX
    return some if more <= 0 else [*some[:LINES_MAX], (("dim", f"… {more} more lines"),)]


def places(model: Model) -> list[Place]:
    """Return the experiments to choose from: those with runs first, then all others of the project."""
    project = model.place[0]
    ours = [(project, each.slug) for each in Project(Path(project)).experiments()]
    return list(dict.fromkeys([*reversed(model.places), *reversed(ours[-NEWEST_MAX:])]))


def place_name(place: Place, current: Place) -> str:
    """Return an experiment's name, with its project where that is another one."""
    name = safe(place[1], SLUG_MAX)
    return name if place[0] == current[0] else f"{name}  in {safe(place[0], 200)}"


class Last(Message):
    """The last of the log came."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class LogScreen(TextScreen):
    """The log of a run, followed until the run is committed."""

    def __init__(self, run: Key) -> None:
        super().__init__(f"log of {run[2]}", at_end=True)
        self.run_params = {**Ask("run.tail", run).params, "lines": TAIL_LINES, "follow": True}
        self.reached: dict[str, Any] = {}  # where the next connection goes on
        self._follower = threading.Thread(target=self._follow, daemon=True)
        self.stream = Stream("run.tail", self._came, self._lost, lambda: {**self.run_params, **self.reached})

    def on_mount(self) -> None:
        """Begin to follow."""
        super().on_mount()
        self._follower.start()

    async def on_unmount(self) -> None:
        """Follow no more."""
        self.stream.close()
        await asyncio.to_thread(self._follower.join, LET_GO_S)

    def on_last(self, message: Last) -> None:
        """Show the end."""
        self.end(message.text)

    def _follow(self) -> None:
        try:
            text = str(self.stream.run().get("text") or "")
        except ArdaemonError as error:
            text = error.message
        self.post_message(Last(clean(text)))

    def _came(self, answer: Answer) -> None:
        text = clean(str(answer.get("text") or ""))
        if "offset" in answer:
            first = not self.reached
            self.reached = {"offset": answer["offset"]}
            text += "\n" if first and text and not text.endswith("\n") else ""
        self._add(text)

    def _lost(self, why: str) -> None:
        self._add(f"— {why} —\n")

    def _add(self, text: str) -> None:
        if self.is_running:  # else it was left, and belongs to no app
            self.app.call_from_thread(self.piece, text)  # waits for the screen: a log may grow faster
