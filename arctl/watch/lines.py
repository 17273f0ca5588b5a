"""Makes one line of each event, for `arctl watch --plain`: clean, short, and readable aloud. Pure: no I/O."""

from collections.abc import Callable

from arctl.dial import Answer
from arctl.render.line import ID_MAX, SLUG_MAX, WHY_MAX
from ardaemon.core.line import cut, number, short

LINE_MAX = 500  # bytes of one line
NOTE_MAX = 200
# What is no news for a person: how a copy gets on, and what `subscribed` is followed by.
SILENT = frozenset({"progress", "queue", "gpus", "promoting"})


def line(event: Answer) -> str | None:
    """Return what an event says; None for one that a person need not hear of."""
    name = str(event.get("event"))
    if name in SILENT:
        return None
    said = SAYS.get(name, _other)(event)
    where = " ".join(short(event[key], most) for key, most in WHERE if event.get(key))
    return cut(f"{where} {said}" if where else said, LINE_MAX)


WHERE = (("expr", SLUG_MAX), ("run_id", ID_MAX))


def _submitted(event: Answer) -> str:
    note = short(event.get("note") or "", NOTE_MAX)
    if event.get("of"):
        return f"a rerun of {short(event['of'], ID_MAX)} waits"
    base = f" (from {short(event['base'], ID_MAX)})" if event.get("base") else ""
    return f"submitted{base}" + (f": {note}" if note else "")


def _started(event: Answer) -> str:
    attempt = event.get("attempt") or 1
    return "started" if attempt == 1 else f"started again, attempt {number(attempt)}"


def _ended(event: Answer) -> str:
    return f"ended after {number(round(event.get('seconds') or 0.0, 1))} s: {short(event.get('ending'), 32)}"


def _committed(event: Answer) -> str:
    said = f"a rerun of {short(event['of'], ID_MAX)}" if event.get("of") else short(event.get("verdict"), 16)
    said += "" if event.get("value") is None else f", value {number(event['value'])}"
    said += f" ({short(event['reason'], WHY_MAX)})" if event.get("reason") else ""
    over = event.get("terminated_by")
    return f"{said}; the session is over: {short(over, 32)}" if over else said


def _cancel(event: Answer) -> str:
    if event.get("wanted") == "give_way":
        return "gives way: a run wants its place, or its session is over"
    late = event.get("wanted") in ("judge", "judge_stop")
    return "somebody wants its end, too late: it is judged" if late else "somebody wants its end"


def _moved(event: Answer) -> str:
    return "is held" if event.get("held") else f"has another place, priority {number(event.get('priority'))}"


def _session(event: Answer) -> str:
    return "the session was started or changed" if event.get("live") else "the session was stopped"


def _logs_removed(event: Answer) -> str:
    return f"old logs of {number(event.get('runs'))} runs were removed by {short(event.get('by'), WHY_MAX)}"


def _config(event: Answer) -> str:
    changed = ", ".join(event.get("changed") or ()) or "as before"
    return f"config.toml was taken up: {short(changed, NOTE_MAX)}"


def _other(event: Answer) -> str:
    """Return the event's name and fields: one that this version does not know is shown all the same."""
    fields = {key: value for key, value in event.items() if key not in ("event", "project", "expr", "run_id")}
    facts = " ".join(f"{short(key, 32)}={short(value, NOTE_MAX)}" for key, value in fields.items())
    return f"{short(event.get('event'), 32)} {facts}".rstrip()


def _why(said: str) -> Callable[[Answer], str]:
    return lambda event: f"{said}: {short(event.get('why'), WHY_MAX)}"


SAYS: dict[str, Callable[[Answer], str]] = {
    "subscribed": lambda _: "connected to the daemon",
    "lost": lambda event: f"not connected: {short(event.get('why'), WHY_MAX)}",
    "submitted": _submitted,
    "started": _started,
    "ended": _ended,
    "again": _why("its attempt did not count, it waits for another"),
    "committed": _committed,
    "config": _config,
    "quarantined": _why("a GPU takes no run"),
    "drift": _why("the best is not as it was"),
    "blocked": _why("is held up"),
    "unblocked": lambda _: "is tried again",
    "limit": lambda event: f"takes more memory than it may, and is ended: {short(event.get('limit'), 32)}",
    "cancel": _cancel,
    "moved": _moved,
    "dropped": _why("is given up"),
    "lease refused": lambda event: f"waits for a GPU of another daemon: {short(event.get('why'), WHY_MAX)}",
    "not measured": _why("is not measured"),
    "not followed": _why("its live value is not known"),
    "session": _session,
    "logs removed": _logs_removed,
    "audited": lambda _: "its hidden audit is recorded",
}
