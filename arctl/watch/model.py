"""What the screen shows: events and answers in, the state of the view out. Pure: no I/O.

Everything here is bounded, whatever the number of runs: the queue by the daemon (its first 64 runs), verdicts
and curves by the limits below. The daemon is asked only after an event that may have changed an answer.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from arctl.dial import Answer
from arctl.watch.curves import RunCurve, curve_of

VERDICTS_MAX = 200  # of the experiment, the newest: more are in `arctl report`
LINKS_MAX = 8  # of the chain
CURVES_MAX = 8  # that are kept, the last that were shown
SAMPLES_MAX = 200  # of one GPU: as many as a wide terminal has columns
EXPERIMENTS_MAX = 64  # that can be switched to
FILTERED = ("run_id", "verdict", "status", "state", "expr", "note")  # where the filter's text is looked for
# Events after which the experiment stands otherwise than it did.
CHANGING = frozenset({"submitted", "committed", "session", "dropped"})

Place = tuple[str, str]  # project, experiment
Key = tuple[str, str, str]  # project, experiment, run id


class Ask(NamedTuple):
    """One question to the daemon: what it is about says who gets the answer."""

    method: str
    about: tuple[str, ...]
    more: tuple[tuple[str, Any], ...] = ()

    @property
    def params(self) -> Answer:
        """Return the parameters of the call."""
        names = ("project", "expr", "run_id")
        given = dict(zip(names, self.about, strict=False))
        return {**given, **dict(self.more)}


@dataclass
class Trace:
    """What one GPU did, as shares of what it can do; None is unknown."""

    busy: deque[float | None] = field(default_factory=lambda: deque(maxlen=SAMPLES_MAX))
    memory: deque[float | None] = field(default_factory=lambda: deque(maxlen=SAMPLES_MAX))


@dataclass
class Model:
    """The state of the view."""

    place: Place
    lost: str = ""  # why nothing comes from the daemon; "": all is well
    notice: str = ""  # what became of the last key
    status: Answer = field(default_factory=dict)
    chain: Answer = field(default_factory=dict)
    shows_audit: bool = False  # a person looks, and no agent
    audit: Answer = field(default_factory=dict)
    runs: list[Answer] = field(default_factory=list)  # under way, as the queue has them
    total: int = 0
    closed: str = ""  # why no run may start now
    logs: dict[Key, str] = field(default_factory=dict)  # the last line of each
    gpus: list[Answer] = field(default_factory=list)
    traces: dict[str, Trace] = field(default_factory=dict)
    curves: OrderedDict[Key, RunCurve] = field(default_factory=OrderedDict)
    places: OrderedDict[Place, None] = field(default_factory=OrderedDict)
    filter: str = ""
    selected: Key | None = None
    stale: bool = True  # the experiment must be asked for
    stale_audit: bool = True  # and its audit
    asked: set[Ask] = field(default_factory=set)  # without an answer yet

    # --- events ---

    def take(self, event: Answer) -> None:
        """Take in one event."""
        match str(event.get("event")):
            case "subscribed":
                self.lost, self.notice, self.stale, self.stale_audit = "", "", True, True
                self.asked.clear()
                self.curves.clear()  # what came meanwhile is not in them
            case "lost":
                self.lost = str(event.get("why"))
            case "queue":
                self._queue(event)
            case "progress":
                self._progress(event)
            case "gpus":
                self._gpus(event["gpus"])
            case name:
                self._happened(name, event)

    def _happened(self, name: str, event: Answer) -> None:
        place = str(event.get("project")), str(event.get("expr"))
        if name in CHANGING and place == self.place:
            self.stale = True
        if name == "audited" and place == self.place:
            self.stale_audit = True
        if name in ("committed", "dropped"):
            self._over(key_of(event))

    def _over(self, run: Key) -> None:
        """Take a run off the queue at once; its file has all of its curve by now."""
        self.curves.pop(run, None)
        left = [other for other in self.runs if key_of(other) != run]
        self.total -= len(self.runs) - len(left)
        self.runs = left

    def _queue(self, event: Answer) -> None:
        self.runs, self.total = list(event["runs"]), int(event["total"])
        self.closed = str(event.get("closed") or "")
        keys = {key_of(run) for run in self.runs}
        self.logs = {key: line for key, line in self.logs.items() if key in keys}
        for run in self.runs:
            self.know((run["project"], run["expr"]))

    def _progress(self, event: Answer) -> None:
        key = key_of(event)
        for run in self.runs:
            if key_of(run) == key:
                run.update({name: event.get(name) for name in ("elapsed", "latest", "vram_mb", "rss_mb")})
                self.logs[key] = str(event.get("line") or "")
        if key in self.curves and event.get("latest") is not None:
            self.curves[key].add(event["latest"], event.get("step"), event.get("elapsed"))

    def _gpus(self, gpus: list[Answer]) -> None:
        self.gpus = gpus
        self.traces = {gpu["uuid"]: self.traces.get(gpu["uuid"], Trace()) for gpu in gpus}
        for gpu in gpus:
            trace, busy = self.traces[gpu["uuid"]], gpu.get("utilisation")
            used, total = gpu.get("used_mb"), gpu.get("total_mb")
            trace.busy.append(None if busy is None else busy / 100)
            trace.memory.append(None if used is None or not total else used / total)

    # --- questions and answers ---

    def asks(self) -> Iterator[Ask]:
        """Yield what must be asked now; each question once, until its answer is here."""
        if self.lost:
            return
        status = Ask("status.get", self.place, (("last", VERDICTS_MAX),))
        audit = Ask("audit.get", self.place)
        if self.shows_audit and self.stale_audit and audit not in self.asked:
            self.asked.add(audit)
            self.stale_audit = False
            yield audit
        shown = [key for key in (self.focus(), self.best()) if key is not None and key not in self.curves]
        for ask in [*([status] if self.stale else []), *(Ask("run.curve", key) for key in shown)]:
            if ask not in self.asked:
                self.asked.add(ask)
                self.stale = self.stale and ask != status
                yield ask

    def answer(self, ask: Ask, answer: Answer) -> list[Ask]:
        """Take in an answer; return what must be asked because of it. An answer of before is passed over."""
        self.asked.discard(ask)
        if ask.method == "run.curve":
            about = key(ask.about)
            if answer["state"] == "committed" or self.run(about) is not None:  # else it ended meanwhile
                self.curves[about] = curve_of(answer)
            while len(self.curves) > CURVES_MAX:
                self.curves.popitem(last=False)
        elif ask.method == "chain.get" and ask.about == self.place[:1]:
            self.chain = answer
        elif ask.method == "audit.get":
            self.audit = answer if ask.about == self.place else self.audit
        elif ask.about == self.place:
            self.status = answer
            self.know(self.place)
            if answer.get("chain"):
                return [Ask("chain.get", self.place[:1], (("last", LINKS_MAX),))]
            self.chain = {}
        return []

    def failed(self, ask: Ask) -> None:
        """Note that there is no answer: it is not asked again until something happens."""
        self.asked.discard(ask)
        if ask.method == "run.curve":
            self.curves[key(ask.about)] = RunCurve()

    # --- what is shown ---

    def switch(self, place: Place) -> None:
        """Show another experiment."""
        self.place, self.status, self.chain, self.audit = place, {}, {}, {}
        self.selected, self.stale, self.stale_audit = None, True, True
        self.know(place)

    def know(self, place: Place) -> None:
        """Remember an experiment, to switch to it; the one that was seen longest ago is forgotten."""
        self.places[place] = None
        self.places.move_to_end(place)
        while len(self.places) > EXPERIMENTS_MAX:
            self.places.popitem(last=False)

    @property
    def metric(self) -> str:
        """Return the primary metric's name; "" while it is not known."""
        return str(self.status["contract"]["primary"]["metric"]) if self.status else ""

    @property
    def lower_is_better(self) -> bool:
        """Tell which direction of the primary metric is better."""
        return not self.status or self.status["contract"]["primary"]["direction"] == "min"

    def under_way(self) -> list[Answer]:
        """Return the runs that are under way and pass the filter."""
        return [run for run in self.runs if self._passes(run)]

    def verdicts(self) -> list[Answer]:
        """Return the experiment's last runs that pass the filter, the newest first."""
        return [row for row in reversed(self.status.get("recent") or ()) if self._passes(row)]

    def _passes(self, run: Answer) -> bool:
        said = " ".join(str(run.get(name) or "") for name in FILTERED)
        return self.filter.casefold() in said.casefold()

    def best(self) -> Key | None:
        """Return the best run of the experiment."""
        best = self.status.get("best")
        return (*self.place, str(best["run_id"])) if best else None

    def focus(self) -> Key | None:
        """Return the run that keys and curve are about: the selected one, else what runs, else the latest."""
        keys = self.keys()
        if self.selected in keys:
            return self.selected
        ours = (
            run for run in self.under_way() if run["state"] == "running" and key_of(run)[:2] == self.place
        )
        return next((key_of(run) for run in ours), next(iter(self._verdict_keys()), next(iter(keys), None)))

    def keys(self) -> list[Key]:
        """Return all runs that can be selected, from top to bottom."""
        return [*map(key_of, self.under_way()), *self._verdict_keys()]

    def _verdict_keys(self) -> list[Key]:
        under_way = {key_of(run) for run in self.runs}
        keys = [(*self.place, str(row["run_id"])) for row in self.verdicts()]
        return [one for one in keys if one not in under_way]

    def move(self, by: int) -> None:
        """Select another run, so many lines further down."""
        keys = self.keys()
        if not keys:
            self.selected = None
        elif self.selected not in keys:
            self.selected = keys[0 if by > 0 else -1]
        else:
            self.selected = keys[min(max(keys.index(self.selected) + by, 0), len(keys) - 1)]

    def run(self, wanted: Key | None) -> Answer | None:
        """Return a run that is under way."""
        return next((run for run in self.runs if key_of(run) == wanted), None)


def key_of(run: Answer) -> Key:
    """Return whose event or run this is."""
    return str(run.get("project")), str(run.get("expr")), str(run.get("run_id"))


def key(about: tuple[str, ...]) -> Key:
    """Return the run that a question was about."""
    project, expr, run_id = about
    return project, expr, run_id
