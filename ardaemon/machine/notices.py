"""Decides which events are worth a person's notice, and when an agent has been idle. Pure: no I/O.

A notice is what the command `on_event` of config.toml gets. Names and reasons in it come from projects and
jobs: they are cleaned here, on one line each.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from ardaemon.core.audits import Audits
from ardaemon.core.config import Notable
from ardaemon.core.text import one_line
from ardaemon.judging.audit import warning

WORD_MAX = 200  # characters of a name or a reason
SENTENCE_MAX = 400  # characters of what the audit says
Message = dict[str, Any]  # an event as subscribers of the board get it
Whose = tuple[str, str]  # project, experiment


class Notice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is worth notice; `text` says it in one line, for a person."""

    event: Notable
    text: str
    at: str | None = None  # when it happened: the command may get it later
    project: str | None = None
    expr: str | None = None
    run_id: str | None = None
    value: float | None = None  # of the primary metric
    reason: str | None = None  # of a crash
    terminated_by: str | None = None
    gpu: str | None = None


def of(message: Message) -> Iterator[Notice]:
    """Yield the notices that an event is worth, with the one about its session last."""
    match message["event"]:
        case "committed":
            if not message.get("of"):
                yield from _of_run(message)
            if message["terminated_by"] is not None:
                yield _terminated(message, message["terminated_by"])
        case "session" if not message["live"]:
            yield _terminated(message, "manual")
        case "quarantined":
            why = _clean(message["why"])
            yield Notice(event="gpu_quarantined", text=why, gpu=message["gpu"])


def _of_run(message: Message) -> Iterator[Notice]:
    value, reason = message["value"], _clean(message["reason"])
    because = f": {reason}" if reason else ""
    if message["verdict"] == "advance":
        text = "is the new best" if value is None else f"is the new best: {value:.6g}"
        yield _notice("advance", message, text, value=value)
    elif message["status"] == "crash":
        yield _notice("crash", message, f"crashed{because}", reason=reason or None)
    elif message["status"] == "unclean":
        yield _notice("unclean", message, "left processes that cannot be killed: arctl clean")


def _terminated(message: Message, by: str) -> Notice:
    return _notice("terminated", message, f"the session is over: {_clean(by)}", terminated_by=_clean(by))


def idle(whose: Whose, minutes: float) -> Notice:
    """Return the notice that no run of the experiment came for so many minutes, and none is under way."""
    project, expr = whose
    text = f"no run was submitted for {minutes:g} minutes"
    return _notice("idle", {"project": project, "expr": expr}, text)


def audit(project: str, expr: str, audits: Audits) -> Notice | None:
    """Return the notice that the hidden audit is worth by now; None: it confirms the advances.

    No run is named in its fields: what the command prints of a run's notices may reach the run's agent.
    """
    last = audits.values[-1]
    text = warning(audits.values, audits.direction)
    if last.problem:
        text = f"the audit of {last.run_id} says nothing: {last.problem}"
    if not text:
        return None
    return _notice("audit", {"project": project, "expr": expr}, one_line(text, SENTENCE_MAX))


def _notice(event: Notable, message: Message, text: str, **facts: Any) -> Notice:
    expr, run_id = _clean(message["expr"]), message.get("run_id")
    named = f"{expr} {run_id}" if run_id else expr
    project = _clean(message["project"])
    return Notice(event=event, text=f"{named} {text}", project=project, expr=expr, run_id=run_id, **facts)


def _clean(text: str | None) -> str:
    return one_line(text or "", WORD_MAX)


class Endings:
    """The sessions whose end was told: what was at work then ends after it, and names the same end again."""

    def __init__(self) -> None:
        self.told: set[tuple[str | None, str | None]] = set()  # project, experiment

    def heard(self, message: Message) -> None:
        """Take an event: a session that is live again may end again."""
        if message["event"] == "submitted" or (message["event"] == "session" and message["live"]):
            self.told.discard((_clean(message["project"]), _clean(message["expr"])))

    def is_new(self, notice: Notice) -> bool:
        """Tell whether it says something new, and take it as told."""
        whose = (notice.project, notice.expr)
        if notice.event != "terminated":
            return True
        if whose in self.told:
            return False
        self.told.add(whose)
        return True


class Idleness:
    """Since when no run of each live experiment has come. An idle one is told once, until its next event."""

    def __init__(self) -> None:
        self.since: dict[Whose, float] = {}  # CLOCK_MONOTONIC

    def heard(self, message: Message, now: float) -> None:
        """Take an event: whatever happens to an experiment, its agent is not idle yet."""
        if "expr" not in message:
            return
        whose = (message["project"], message["expr"])
        if message.get("terminated_by") or message.get("live") is False:
            self.since.pop(whose, None)
        elif message["event"] in ("submitted", "committed", "session") and not message.get("of"):
            self.since[whose] = now

    def next_s(self, minutes: float | None, now: float) -> float | None:
        """Return in how many seconds the next experiment may be idle; None: never."""
        if minutes is None or not self.since:
            return None
        return max(min(self.since.values()) + minutes * 60 - now, 0.0)

    def over(self, minutes: float | None, now: float) -> list[Whose]:
        """Take out the experiments that are idle by now, and return them."""
        if minutes is None:
            return []
        idle = [whose for whose, since in self.since.items() if now >= since + minutes * 60]
        for whose in idle:
            del self.since[whose]
        return idle
