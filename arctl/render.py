"""Answers -> text, each line within its limit of bytes (DESIGN §9); pure."""

from arctl.client import Answer
from ardaemon.core.text import cut_bytes, one_line

# The four lines of `run --wait` are at most 600 bytes together, newlines included.
LAUNCHED_MAX = 130
METRIC_MAX = 130
VERDICT_MAX = 150
CLOSING_MAX = 186
NAME_MAX = 32  # bytes of a metric's name in a line
GLOB_MAX = 32
STATUS_LINE_MAX = 88  # nine lines of it are at most 800 bytes
RECENT_MAX = 200  # one run in `status --last N`
ID_MAX = 12
SLUG_MAX = 64
ELLIPSIS = "…"
WHY_MAX = 240  # what a run waits for: room for pids, a project's path and the command that mends it
GPU_NAME_MAX = 32
GPU_LINE_MAX = 400  # one GPU with a few that are on it
REASON_MAX = 120  # characters: the daemon keeps no more


def number(value: object) -> str:
    """A value as a person reads it: six digits at most."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:.6g}"
    return "none"


def short(text: object, most: int) -> str:
    """One clean line of at most `most` bytes."""
    return cut(one_line(str(text), most), most)


def cut(line: str, most: int) -> str:
    """At most `most` bytes of a line whose parts are clean."""
    if len(line.encode()) <= most:
        return line
    return cut_bytes(line, most - len(ELLIPSIS.encode())) + ELLIPSIS


def fit(head: str, body: object, tail: str, most: int) -> str:
    """`head body tail` as one line below `most` bytes; what is too long is cut from the body."""
    room = most - 1 - len((head + tail).encode())
    return cut(head + short(body, max(room, 0)) + tail, most - 1)


def launched(view: Answer) -> str:
    """[r0043] launched: python train.py | seconds=600"""
    tail = f" | seconds={number(view.get('seconds'))}"
    if (view.get("exit") or {}).get("ending") == "cancelled":
        return fit(f"[{_id(view)}] never launched", "", tail, LAUNCHED_MAX)
    return fit(f"[{_id(view)}] launched: ", command(view), tail, LAUNCHED_MAX)


def command(view: Answer) -> str:
    """The command line as the runner was written: the snapshot is `train.py` again.

    A view of a run that is committed already has no argv; what was run is its train.py in any case.
    """
    folder, project = str(view.get("folder") or ""), str(view.get("project") or "")
    words = [str(word) for word in view.get("argv") or ()]
    words = [word.replace(f"{folder}/", "").replace(f"{project}/", "") for word in words]
    return " ".join([words[0].rpartition("/")[2], *words[1:]]) if words else "train.py"


def metric_line(view: Answer, result: Answer) -> str:
    """[r0043] metric backend=log, checkpoint glob=out/*.pt | val/loss=0.844 peak_vram=42800"""
    glob = view.get("checkpoint_glob")
    head = f"[{_id(result)}] metric backend={short(result.get('metrics_source') or 'none', NAME_MAX)}"
    head += f", checkpoint glob={short(glob, GLOB_MAX)}" if glob else ""
    head += f", attempt {result['attempts']}" if (result.get("attempts") or 1) > 1 else ""
    peak = result.get("peak_vram_mb")
    tail = _metric(result["primary"]) + (f" peak_vram={number(peak)}" if peak is not None else "")
    return cut(f"{head} | {tail}", METRIC_MAX - 1)


def _metric(primary: Answer) -> str:
    name, value = short(primary["name"], NAME_MAX), primary.get("value")
    return f"{name} not found" if value is None else f"{name}={number(value)}"


def verdict_line(result: Answer) -> str:
    """[r0043] advance: val/loss 0.851 → 0.844 (best updated)"""
    tainted = result.get("tainted")
    tail = f"; tainted: {short(tainted, NAME_MAX)}" if tainted else ""
    tail += "; train.py was edited since: left alone" if result.get("train_py") == "edited_since" else ""
    if result["status"] != "ok":
        return _failed(result, tail)
    head = f"[{_id(result)}] {result['verdict']}: "
    body = _advanced(result) if result["verdict"] == "advance" else _reverted(result)
    return fit(head, body, tail, VERDICT_MAX)


def _advanced(result: Answer) -> str:
    primary = result["primary"]
    name, value = short(primary["name"], NAME_MAX), number(primary.get("value"))
    if primary.get("best_before") is None:
        return f"baseline {name}={value} (best){_broken(result, ', although ')}"
    return f"{name} {number(primary['best_before'])} → {value} (best updated){_broken(result, ', although ')}"


def _reverted(result: Answer) -> str:
    primary = result["primary"]
    name, value = short(primary["name"], NAME_MAX), number(primary.get("value"))
    best = number(primary.get("best_before"))
    broken = _broken(result, "", " — ")
    return f"{broken}{name} {value} vs best {best} @ {short(primary.get('best_run_before'), ID_MAX)}"


def _broken(result: Answer, before: str, after: str = "") -> str:
    """The first constraint that did not hold."""
    for constraint in result.get("constraints") or ():
        if not constraint["ok"]:
            value = constraint.get("value")
            shown = "unknown" if value is None else number(value)
            return f"{before}constraint {short(constraint['expr'], NAME_MAX)} violated ({shown}){after}"
    return ""


def _failed(result: Answer, tail: str) -> str:
    """[r0043] crash: exception:ValueError bad shape — best stays 0.851 @ r0040; …"""
    run = _id(result)
    best = result.get("best")
    stays = (
        f"best stays {number(result.get('best_value'))} @ {short(best, ID_MAX)}" if best else "no best yet"
    )
    if result["status"] == "unclean":
        tail += "; arctl clean"
    elif result["status"] != "interrupted":
        tail += f"; arctl tail {run}"
    return fit(f"[{run}] {result['status']}: ", _why(result), f" — {stays}{tail}", VERDICT_MAX)


def _why(result: Answer) -> str:
    reason, code, signal = result.get("reason"), result.get("exit_code"), result.get("signal")
    if result["status"] == "timeout":
        ending, _, more = str(reason).partition(";")
        what = "no output" if ending == "stall" else "time limit"
        after = f"{what} reached after {number(round(result.get('seconds') or 0.0, 1))} s"
        return f"{after};{more}" if more else after
    if not reason:
        return f"exit code {code}" if code else str(signal or "no reason known")
    how = f" ({signal})" if signal and signal not in reason else ""
    return f"{short(str(reason), REASON_MAX)}{how}"


def closing_line(result: Answer) -> str:
    """[r0043] continue: plateau 0/5, max_runs 43/200 — or how the experiment ended."""
    if not result.get("should_terminate"):
        limits = [
            f"{name} {short(result[key], 24)}"
            for name, key in (("plateau", "plateau"), ("max_runs", "runs"))
            if result.get(key)
        ]
        return short(f"[{_id(result)}] continue: {', '.join(limits) or 'no limit set'}", CLOSING_MAX - 1)
    why = short(result.get("terminated_by") or "over", 24)
    line = f"expr {short(result['expr'], SLUG_MAX)} terminated: {why} — "
    if result.get("best"):
        name = short(result["primary"]["name"], NAME_MAX)
        line += f"best {name}={number(result.get('best_value'))} at {short(result['best'], ID_MAX)}"
    else:
        line += "no best"
    left = result.get("chain_remaining")
    return short(line + (f", chain_remaining {left}" if left is not None else ""), CLOSING_MAX - 1)


def verdict_lines(view: Answer, result: Answer) -> list[str]:
    """Lines two to four of `run --wait`."""
    return [metric_line(view, result), verdict_line(result), closing_line(result)]


def submitted(view: Answer) -> str:
    """[r0044] queued (position 2): base r0040"""
    position = view.get("position")
    place = f" (position {position})" if position else ""
    # With a place in the queue, what is before it is `arctl queue`; without one it does not move.
    why = f" — {short(view['why'], WHY_MAX)}" if view.get("why") and not position else ""
    return f"[{_id(view)}] {view['state']}{place}: base {short(view.get('base') or 'none', ID_MAX)}{why}"


def still_running(view: Answer, hint: str) -> str:
    """[r0043] still running (12 s of 600 s), call: arctl wait r0043"""
    elapsed, position = view.get("elapsed"), view.get("position")
    if elapsed is not None and not view.get("why"):
        where = f"running ({elapsed:.0f} s of {number(view.get('seconds'))} s)"
    elif view.get("why") and not position:  # it does not move by itself
        where = f"{view['state']}: {short(view['why'], WHY_MAX)}"
    else:
        where = f"{view['state']} (position {position})" if position else str(view["state"])
    return f"[{_id(view)}] still {where}, call: {hint}"


def compact(status: Answer) -> str:
    """`status --compact`: at most 10 lines and 800 bytes, whatever the number of runs."""
    lines = [
        f"expr: {status['expr']}",
        f"primary: {_primary(status)}",
        f"runs: {counted(status['session']['counters'])}",
        f"termination: {limits(status['session'])}",
        f"train.py: {status['train_py']}",
        *_extra(status),
    ]
    return "\n".join(short(line, STATUS_LINE_MAX - 1) for line in lines)


def _primary(status: Answer) -> str:
    primary, best = status["contract"]["primary"], status.get("best")
    name = f"{short(primary['metric'], NAME_MAX)} ({primary['direction']})"
    if best is None:
        return f"{name} — best: none yet"
    invalid = "" if best.get("valid", True) else ", violates a constraint"
    return f"{name} — best: {number(best['value'])} @ {best['run_id']}{invalid}"


def counted(counters: Answer) -> str:
    """42 total (18 advance / 21 revert / 3 crash): these three always, others where there are any."""
    names = ("advance", "revert", "crash", "timeout", "invalid", "interrupted")
    counts = {name: int(counters.get(name, 0)) for name in names}
    shown = [f"{count} {name}" for name, count in counts.items() if count or name in names[:3]]
    return f"{sum(counts.values())} total ({' / '.join(shown)})"


def limits(session: Answer) -> str:
    """plateau 2/5, max_runs 42/200"""
    settings, counters = session.get("settings") or {}, session["counters"]
    shown = []
    if settings.get("threshold") is not None:
        shown.append(f"primary_threshold {number(settings['threshold'])}")
    if settings.get("plateau") is not None:
        shown.append(f"plateau {counters['plateau']}/{settings['plateau']}")
    if settings.get("max_runs") is not None:
        shown.append(f"max_runs {counters['since_start']}/{settings['max_runs']}")
    return ", ".join(shown) or "no limit set"


def _extra(status: Answer) -> list[str]:
    """Lines that stand only where there is something to say."""
    session, active = status["session"], status.get("active") or ()
    lines = []
    if not session.get("live"):
        lines.append(f"session: {liveness(session)}")
    waiting = [view for view in active if view["state"] == "queued"]
    running = [view for view in active if view["state"] != "queued"]
    if running:
        more = f" (+{len(running) - 1} more)" if len(running) > 1 else ""
        name = short(status["contract"]["primary"]["metric"], NAME_MAX)
        lines.append(f"running: {progress(running[0], name)}{more}")
    if waiting:
        stuck = waiting[0].get("why") if not waiting[0].get("position") else None
        lines.append(f"queued: {len(waiting)}" + (f" — {stuck}" if stuck else ""))
    if status.get("unclean"):
        lines.append("UNCLEAN: processes survived a kill; runs are refused until: arctl clean")
    return lines


def liveness(session: Answer) -> str:
    """live, or why not."""
    if session.get("live"):
        return "live"
    if session.get("settings") is None:
        return "not started; arctl session start --seconds N"
    return f"not live ({session.get('terminated_by') or 'stopped'})"


def progress(view: Answer, metric: str) -> str:
    """r0043 12/600 s val/loss=0.9"""
    elapsed = view.get("elapsed")
    line = f"{_id(view)} " + (
        view["state"] if elapsed is None else f"{elapsed:.0f}/{number(view.get('seconds'))} s"
    )
    latest = view.get("latest")
    return line if latest is None else f"{line} {metric}={number(latest)}"


def recent(row: Answer, metric: str) -> str:
    """r0041 revert  val/loss=0.855 note: "grad clip 1.0 → 0.5" """
    name = short(metric, NAME_MAX)
    value = row.get("primary") or ""
    shown = f"{name}={number(_float(value))}" if value else f"no {name}"
    head = f"{_id(row)} {short(row.get('verdict') or row.get('status') or '?', 12):<7} {shown}"
    note = row.get("note") or ""
    return fit(f'{head} note: "', note, '"', RECENT_MAX) if note else cut(head, RECENT_MAX - 1)


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _id(view: Answer) -> str:
    return short(view["run_id"], ID_MAX)


def queued(view: Answer) -> str:
    """261122-lr r0043 running 12/600 s — or its place in the queue and what it waits for."""
    head = f"{short(view['expr'], SLUG_MAX)} {_id(view)} {view['state']}"
    if view["state"] != "queued":
        if view.get("why"):
            return f"{head}: {short(view['why'], WHY_MAX)}"
        elapsed = view.get("elapsed")
        if elapsed is None:
            return head
        gpus = ",".join(map(str, view.get("gpus") or ()))
        return f"{head} {elapsed:.0f}/{number(view.get('seconds'))} s" + (f" on GPU {gpus}" if gpus else "")
    place = f" {view['position']}" if view.get("position") else ""
    why = f": {short(view['why'], WHY_MAX)}" if view.get("why") else ""
    return f"{head}{place}{why}"


def gpu(view: Answer) -> str:
    """0 NVIDIA H100 held 42.1/79.6 GiB 97% 61 °C 412 W: 261122-lr r0043 41.8 GiB"""
    figures = (
        memory(view),
        unit(view.get("utilisation"), "%"),
        unit(view.get("temperature"), " °C"),
        unit(view.get("power_w"), " W"),
    )
    head = f"{view['index']} {short(view['name'], GPU_NAME_MAX)} {view['state']} "
    who = "; ".join(holders(view)) or short(view.get("why") or "", WHY_MAX)
    return cut(head + " ".join(part for part in figures if part) + (f": {who}" if who else ""), GPU_LINE_MAX)


def memory(view: Answer) -> str:
    """42.1/79.6 GiB"""
    used, total = view.get("used_mb"), view.get("total_mb")
    shown = ["?" if value is None else f"{value / 1024:.1f}" for value in (used, total)]
    return f"{shown[0]}/{shown[1]} GiB"


def unit(value: object, sign: str) -> str:
    """A measured value with its unit; nothing where the driver gives none."""
    return "" if value is None else f"{number(value)}{sign}"


def holders(view: Answer) -> list[str]:
    """Who is on a GPU, one line each: a run of ours, or another's process."""
    lines = []
    for one in view.get("holders") or ():
        if one.get("run_id"):
            who = f"{short(one['expr'], SLUG_MAX)} {short(one['run_id'], ID_MAX)}"
        else:
            who = f"pid {one['pid']} {short(one.get('name') or '?', NAME_MAX)}"
            who += f" of {short(one['user'], NAME_MAX)}" if one.get("user") else ""
        used = one.get("used_mb")
        lines.append(who if used is None else f"{who} {used / 1024:.1f} GiB")
    return lines


def setting(value: object) -> str:
    """One value of a session's settings."""
    return str(value) if isinstance(value, (str, bool)) else number(value)
