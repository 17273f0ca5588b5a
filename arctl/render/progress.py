"""Makes the line that a client shows while it waits for a run. Pure: no I/O."""

from collections.abc import Iterable

from arctl.base import NOT_LAUNCHED
from arctl.dial import Answer
from arctl.render.columns import cut_columns
from arctl.render.line import ID_MAX, NAME_MAX, WHY_MAX, ordinal, short_id
from ardaemon.core.direction import is_better
from ardaemon.core.line import cut, number, short

WAITING_MAX = 200  # bytes: an agent reads it beside the four lines
AFTER_END = {"exited": "has ended, is being judged", "judged": "is judged, is being committed"}
# The live value: better than the best, or not.
BETTER, WORSE = "green", "yellow"

Piece = tuple[str, str | None]  # text, and its colour


def waiting(view: Answer) -> str:
    """Return `[r0043] queued, 2nd: waits for 1 GPU, 0 of 1 free: GPU 0 261122-lr/r0042`."""
    return cut(f"[{short_id(view)}] {_waits(view)}", WAITING_MAX)


def _waits(view: Answer) -> str:
    place = f", {ordinal(view['position'])}" if view.get("position") else ""
    why = f": {short(view['why'], WHY_MAX)}" if view.get("why") else ""
    return f"{short(view['state'], 16)}{place}{why}"


class Standing:
    """How the run stands that somebody waits for, as far as the daemon's events have told it.

    `run_id` None: any of the experiment's runs, so the first of them that is under way.
    """

    def __init__(self, view: Answer, any_run: bool) -> None:
        self.view, self.whose = view, (view["project"], view["expr"])
        self.run_id = None if any_run else str(view["run_id"])
        self.others = 0  # of the experiment, under way as well
        self.step: object = None
        self.copied: object = None  # percent of the checkpoint
        self.best: tuple[float, str] | None = None
        self.metric, self.direction = "", "min"
        self.lost: str | None = None

    def see(self, view: Answer) -> None:
        """Take the run as it stands now, which may be another one than before."""
        self.step = self.step if view["run_id"] == self.view["run_id"] else None
        self.view = view

    def learn(self, status: Answer) -> None:
        """Take the name of the metric, and the best, from a status of the experiment."""
        primary, best = status["contract"]["primary"], status.get("best")
        self.metric, self.direction = short(primary["metric"], NAME_MAX), str(primary["direction"])
        self.best = (best["value"], short(best["run_id"], ID_MAX)) if best else None

    def take(self, event: Answer) -> None:
        """Take what an event tells of the run."""
        self.lost = None
        name = event.get("event")
        if name == "queue":
            self._take_queue([run for run in event["runs"] if self._is_ours(run)])
        elif name == "committed" and event.get("verdict") == "advance" and self._is_ours(event):
            self.best = (event["value"], short(event["run_id"], ID_MAX))
        elif event.get("run_id") == self.view["run_id"] and self._is_ours(event):
            self._take_own(str(name), event)

    def _is_ours(self, run: Answer) -> bool:
        """Tell whether a run, or an event of one, is of the experiment."""
        return (run.get("project"), run.get("expr")) == self.whose

    def _take_queue(self, runs: list[Answer]) -> None:
        """Take the run's own view. One that is not among them is behind those, or committed."""
        self.others = len(runs) - 1 if self.run_id is None else 0
        for run in runs:
            if run["run_id"] == (self.run_id or run["run_id"]):
                return self.see(run)

    def _take_own(self, name: str, event: Answer) -> None:
        if name == "progress":
            self.view = {**self.view, "state": "running", **_known(event, ("elapsed", "latest"))}
            self.step = event.get("step")
        elif name == "started":
            self.view = {**self.view, "state": "running", "elapsed": 0.0, "latest": None}
        elif name == "ended":
            self.view = {**self.view, "state": "exited"}
        elif name == "promoting" and event.get("total"):
            self.copied = 100 * event["done"] // event["total"]

    def line(self, columns: int) -> list[Piece]:
        """Return the line, of at most so many columns, piece by piece."""
        return list(_fitted(self._pieces(), columns))

    def _pieces(self) -> list[Piece]:
        head: list[Piece] = [(f"[{short_id(self.view)}] ", "cyan")]
        if self.lost is not None:
            return [*head, (short(self.lost, WHY_MAX), "red")]
        more: list[Piece] = [(f", {self.others} more under way", None)] if self.others > 0 else []
        return [*head, *self._state(), *more]

    def _state(self) -> list[Piece]:
        state = self.view["state"]
        if state in NOT_LAUNCHED:
            return [(_waits(self.view), "yellow")]
        if state != "running" or self.view.get("why"):
            copied = "" if self.copied is None else f", checkpoint {self.copied}% copied"
            return [(short(self.view.get("why") or AFTER_END.get(state, state), WHY_MAX) + copied, None)]
        return [(self._time(), None), *self._value(), (self._best(), None)]

    def _time(self) -> str:
        elapsed, limit = self.view.get("elapsed"), self.view.get("seconds")
        return f"{elapsed or 0.0:.0f}/{number(limit)} s" if limit is not None else "running"

    def _value(self) -> list[Piece]:
        latest = self.view.get("latest")
        if latest is None:
            return []
        step = f" (step {number(self.step)})" if self.step is not None else ""
        return [
            (" | ", None),
            (f"{self.metric or 'value'}={number(latest)}", self._colour(latest)),
            (step, None),
        ]

    def _colour(self, latest: float) -> str | None:
        if self.best is None:
            return None
        return BETTER if is_better(latest, self.best[0], self.direction) else WORSE

    def _best(self) -> str:
        return "" if self.best is None else f" | best {number(self.best[0])} @ {self.best[1]}"


def _known(event: Answer, names: Iterable[str]) -> Answer:
    return {name: event[name] for name in names if event.get(name) is not None}


def _fitted(pieces: Iterable[Piece], columns: int) -> Iterable[Piece]:
    """Yield the pieces as far as they fit; the one that does not is cut."""
    for text, colour in pieces:
        fits, used = cut_columns(text, columns)
        yield fits, colour
        columns -= used
        if fits != text:
            return
