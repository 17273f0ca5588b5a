"""Makes the lines of `arctl status`, each within its limit of bytes (DESIGN §9). Pure: no I/O."""

from arctl.dial import Answer
from arctl.render.line import NAME_MAX, short_id
from ardaemon.core.line import cut, fit, hours, number, short
from ardaemon.core.words import MEASURE, runner_of

STATUS_MAX = 800  # bytes of all lines of `status --compact`, line ends included
STATUS_LINE_MAX = 88  # bytes; nine such lines have at most STATUS_MAX, of ten each is shorter
EXTRA_MAX = 5  # lines beside the five that are always there
BLOCKED, NOISE = "blocked: ", "noise: "  # begin the lines of a run that cannot go on, and of the noise
RECENT_MAX = 200  # bytes of the line of one run in `status --last N`


def compact(status: Answer) -> str:
    """Return the text of `status --compact`: at most 10 lines and 800 bytes, whatever the number of runs."""
    lines = [
        f"expr: {status['expr']}",
        f"primary: {_primary(status)}",
        f"runs: {counted(status['session']['counters'])}",
        f"termination: {limits(status)}",
        f"train.py: {status['train_py']}",
        *_extra(status),
    ]
    most = min(STATUS_LINE_MAX, STATUS_MAX // len(lines))
    shown = [short(line, most - 1) for line in lines]
    spare = STATUS_MAX - sum(len(line.encode()) + 1 for line in shown)
    for begin in (BLOCKED, NOISE):  # what is in the way first, then the noise: as whole as there is room
        for at, line in enumerate(lines):
            if line.startswith(begin):
                spare += len(shown[at].encode())
                shown[at] = short(line, spare)
                spare -= len(shown[at].encode())
    return "\n".join(shown)


def whole(status: Answer) -> str:
    """Return the text of `status`: as `--compact`, with the runner of the session."""
    runner = runner_of(status["session"])
    return compact(status) + (f"\n{short(f'runner: {runner}', RECENT_MAX)}" if runner else "")


def _primary(status: Answer) -> str:
    primary, best = status["contract"]["primary"], status.get("best")
    name = f"{short(primary['metric'], NAME_MAX)} ({primary['direction']})"
    if best is None:
        return f"{name} — best: none yet"
    invalid = "" if best.get("valid", True) else ", violates a constraint"
    return f"{name} — best: {number(best['value'])} @ {best['run_id']}{invalid}"


def counted(counters: Answer) -> str:
    """Count the runs: `42 total (18 advance / 21 revert / 3 crash)`, and other verdicts if there are any."""
    names = ("advance", "revert", "crash", "timeout", "invalid", "interrupted", MEASURE)
    counts = {name: int(counters.get(name, 0)) for name in names}
    shown = [f"{count} {name}" for name, count in counts.items() if count or name in names[:3]]
    return f"{sum(counts.values())} total ({' / '.join(shown)})"


def limits(view: Answer) -> str:
    """Return the limits of a view's session: `plateau 2/5, max_runs 42/200`."""
    session = view["session"]
    settings, counters = session.get("settings") or {}, session["counters"]
    shown = []
    if settings.get("threshold") is not None:
        shown.append(f"primary_threshold {number(settings['threshold'])}")
    if settings.get("plateau") is not None:
        shown.append(f"plateau {counters['plateau']}/{settings['plateau']}")
    if settings.get("max_runs") is not None:
        shown.append(f"max_runs {counters['since_start']}/{settings['max_runs']}")
    if settings.get("max_hours") is not None:
        shown.append(f"hours {hours(view.get('hours', 0.0), settings['max_hours'])}")
    if settings.get("max_gpu_hours") is not None:
        shown.append(f"gpu_hours {hours(view.get('gpu_hours', 0.0), settings['max_gpu_hours'])}")
    if settings.get("max_failures") is not None:
        shown.append(f"failures {counters.get('failures', 0)}/{settings['max_failures']}")
    if settings.get("max_launches") is not None:
        shown.append(f"launches {counters.get('launches', 0)}/{settings['max_launches']}")
    return ", ".join(shown) or "no limit set"


def chain(place: Answer, slug: str) -> str:
    """Return `chain: 2 left, experiment 3`; of an earlier link, who is current now."""
    if place["current"] != slug:
        return f"chain: experiment {place['position']}, current is {place['current']}"
    left = "unlimited" if place.get("remaining") is None else f"{place['remaining']} left"
    return f"chain: {left}, experiment {place['position']}"


def _extra(status: Answer) -> list[str]:
    """Return the lines that are not always there: chain, session, blocked, running, queued, unclean."""
    session, active = status["session"], status.get("active") or ()
    lines = []
    if status.get("chain"):
        lines.append(chain(status["chain"], status["expr"]))
    if not session.get("live"):
        lines.append(f"session: {liveness(session)}")
    blocked = [view for view in active if view.get("blocked")]
    if blocked:
        more = _more(status, "blocked", len(blocked))
        lines.append(f"{BLOCKED}{short_id(blocked[0])}{more} — {blocked[0].get('why')}")
    waiting = [view for view in active if view["state"] == "queued" and view not in blocked]
    running = [view for view in active if view["state"] != "queued" and view not in blocked]
    if running:
        more = _more(status, "at_work", len(running))
        name = short(status["contract"]["primary"]["metric"], NAME_MAX)
        lines.append(f"running: {progress(running[0], name)}{more}")
    if count := status.get("waiting", len(waiting)):
        stuck = waiting[0].get("why") if waiting and not waiting[0].get("position") else None
        lines.append(f"queued: {count}" + (f" — {stuck}" if stuck else ""))
    if blocked and running and waiting and len(lines) == EXTRA_MAX:
        lines[-2:] = ["; ".join(lines[-2:])]
    if session.get("noise") and len(lines) < EXTRA_MAX - bool(status.get("unclean")):
        lines.append(session["noise"])
    if status.get("unclean"):
        lines.append("UNCLEAN: processes survived a kill; runs are refused until: arctl clean")
    return lines


def _more(status: Answer, kind: str, shown: int) -> str:
    """Return how many there are beside the first; a daemon of an earlier version shows them all."""
    count = status.get(kind, shown)
    return f" (+{count - 1} more)" if count > 1 else ""


def under_way(status: Answer) -> int:
    """Return how many runs are under way; a daemon of an earlier version shows them all."""
    counts = [status.get(kind) for kind in ("blocked", "at_work", "waiting")]
    return len(status.get("active") or ()) if None in counts else sum(map(int, filter(None, counts)))


def liveness(session: Answer) -> str:
    """Say whether the session is live, and if not, why."""
    if session.get("live"):
        return "live"
    if session.get("settings") is None:
        return "not started; arctl session start --seconds N"
    return f"not live ({session.get('terminated_by') or 'stopped'})"


def progress(view: Answer, metric: str) -> str:
    """Return a run at work in few words: `r0043 12/600 s val/loss=0.9`, `r0043 exited: …`."""
    if view["state"] != "running" and view.get("why"):
        return f"{short_id(view)} {view['state']}: {short(view['why'], STATUS_LINE_MAX)}"
    elapsed = view.get("elapsed")
    line = f"{short_id(view)} " + (
        view["state"] if elapsed is None else f"{elapsed:.0f}/{number(view.get('seconds'))} s"
    )
    latest = view.get("latest")
    return line if latest is None else f"{line} {metric}={number(latest)}"


def recent(row: Answer, metric: str) -> str:
    """Return a line of `status --last N`: `r0041 revert  val/loss=0.855 note: "grad clip 1.0 → 0.5"`."""
    name = short(metric, NAME_MAX)
    value = row.get("primary") or ""
    shown = f"{name}={number(as_float(value))}" if value else f"no {name}"
    head = f"{short_id(row)} {short(row.get('verdict') or row.get('status') or '?', 12):<7} {shown}"
    note = row.get("note") or ""
    return fit(f'{head} note: "', note, '"', RECENT_MAX) if note else cut(head, RECENT_MAX - 1)


def as_float(text: str) -> float | None:
    """Return a number of results.tsv; None where there is none."""
    try:
        return float(text)
    except ValueError:
        return None
