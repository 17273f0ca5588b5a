"""Makes the lines of `arctl run` and `arctl wait`, each within its limit of bytes (DESIGN §9).

Pure: no I/O.
"""

from arctl.dial import Answer
from arctl.render.line import ID_MAX, NAME_MAX, SLUG_MAX, WHY_MAX, short_id
from ardaemon.core.line import cut, fit, number, short
from ardaemon.core.reason import CHECK_FAILED, REASON_MAX, SHORTER, STALL, read

# The four lines of `run --wait` are at most 600 bytes together, newlines included.
LAUNCHED_MAX = 130
METRIC_MAX = 130
VERDICT_MAX = 150
CLOSING_MAX = 186
RERUN_MAX = 180  # a line of `arctl rerun` or `arctl noise`
NEXT_MAX = 64  # of that: what a loop has to do
GLOB_MAX = 32
CHECK_MAX = 80  # of the verdict's line: why a check failed
# Words of the closing line, and the field of the result that has how much of the limit is used up.
LIMITS = {
    "plateau": "plateau",
    "max_runs": "runs",
    "hours": "hours",
    "gpu_hours": "gpu_hours",
    "failures": "failures",
    "launches": "launches",
}
# Why a run is lost, by the token of its reason.
LOST_WORDS = {
    "host_restart": "the machine was restarted",
    "supervisor_lost": "its supervisor was killed",
    "lost": "it was gone when a daemon looked for it",
}
FEEDBACK_MAX = 300  # bytes, as the daemon cuts it (ardaemon/machine/on_event.py)


def launched(view: Answer) -> str:
    """Return `[r0043] launched: python train.py | seconds=600`."""
    tail = f" | seconds={number(view.get('seconds'))}"
    if (view.get("exit") or {}).get("ending") == "cancelled":
        return fit(f"[{short_id(view)}] never launched", "", tail, LAUNCHED_MAX)
    return fit(f"[{short_id(view)}] launched: ", command(view), tail, LAUNCHED_MAX)


def command(view: Answer) -> str:
    """Return the runner as it was written, its program with its path.

    A daemon of an earlier version says only what it launched: that is shown as the runner may have been
    written, with `train.py` in place of the snapshot's path. The view of a committed run had no command line;
    then it is "train.py", which was run in any case.
    """
    if view.get("runner"):
        return str(view["runner"])
    folder, project = str(view.get("folder") or ""), str(view.get("project") or "")
    words = [str(word) for word in view.get("argv") or ()]
    for inside in (f"{folder}/job/", f"{folder}/", f"{project}/"):
        words = [word.replace(inside, "") for word in words]
    return " ".join([words[0].rpartition("/")[2], *words[1:]]) if words else "train.py"


def metric_line(view: Answer, result: Answer) -> str:
    """Return `[r0043] metric backend=log, checkpoint glob=out/*.pt | val/loss=0.844 peak_vram=42800`."""
    glob = view.get("checkpoint_glob")
    head = f"[{short_id(result)}] metric backend={short(result.get('metrics_source') or 'none', NAME_MAX)}"
    head += f", checkpoint glob={short(glob, GLOB_MAX)}" if glob else ""
    head += f", attempt {result['attempts']}" if (result.get("attempts") or 1) > 1 else ""
    peak = result.get("peak_vram_mb")
    tail = _metric(result["primary"]) + (f" peak_vram={number(peak)}" if peak is not None else "")
    return cut(f"{head} | {tail}", METRIC_MAX - 1)


def _metric(primary: Answer) -> str:
    name, value = short(primary["name"], NAME_MAX), primary.get("value")
    return f"{name} not found" if value is None else f"{name}={number(value)}"


def verdict_line(result: Answer) -> str:
    """Return `[r0043] advance: val/loss 0.851 → 0.844 (best updated)`, or the line of another verdict."""
    tainted = result.get("tainted")
    tail = f"; tainted: {short(tainted, NAME_MAX)}" if tainted else ""
    tail += "; train.py was edited since: left alone" if result.get("train_py") == "edited_since" else ""
    if result["status"] != "ok":
        return _failed(result, tail)
    verdict = "measure" if result.get("measure") else result["verdict"]
    head = f"[{short_id(result)}] {verdict}: "
    if result.get("said"):
        return fit(head, f"{_broken(result, '', ' — ')}{result['said']}", tail, VERDICT_MAX)
    body = _advanced(result) if result["verdict"] == "advance" else _reverted(result)
    return fit(head, body, tail, VERDICT_MAX)


def rerun_line(run_id: str, result: Answer) -> str:
    """Return `[r0042m3] val/loss 0.851 with seed 3`; of a launch without a value, why it has none."""
    said, why = str(result.get("said") or result["status"]), ""
    if result["status"] == "ok":  # else it says that itself
        tainted = result.get("tainted")
        why = _broken(result, ": ") or (f"; tainted: {short(tainted, NAME_MAX)}" if tainted else "")
    return fit(f"[{run_id}] ", said, why, RERUN_MAX)


def _advanced(result: Answer) -> str:
    primary = result["primary"]
    name, value = short(primary["name"], NAME_MAX), number(primary.get("value"))
    if primary.get("best_before") is None:
        return f"baseline {name}={value} (best){_broken(result, ', although ')}"
    how = "equal, but shorter: best updated" if result.get("reason") == SHORTER else "best updated"
    return f"{name} {number(primary['best_before'])} → {value} ({how}){_broken(result, ', although ')}"


def _reverted(result: Answer) -> str:
    primary = result["primary"]
    name, value = short(primary["name"], NAME_MAX), number(primary.get("value"))
    best = number(primary.get("best_before"))
    broken = _broken(result, "", " — ")
    return f"{broken}{name} {value} vs best {best} @ {short(primary.get('best_run_before'), ID_MAX)}"


def _broken(result: Answer, before: str, after: str = "") -> str:
    """Return what was not kept, the first constraint or a check, between `before` and `after`; or ""."""
    for constraint in result.get("constraints") or ():
        if not constraint["ok"]:
            value = constraint.get("value")
            shown = "unknown" if value is None else number(value)
            return f"{before}constraint {short(constraint['expr'], NAME_MAX)} violated ({shown}){after}"
    reason = str(result.get("reason") or "")
    return f"{before}{short(reason, CHECK_MAX)}{after}" if reason.startswith(CHECK_FAILED) else ""


def _failed(result: Answer, tail: str) -> str:
    """Return `[r0043] crash: exception:ValueError bad shape — best stays 0.851 @ r0040; …`."""
    run = short_id(result)
    best = result.get("best")
    stays = (
        f"best stays {number(result.get('best_value'))} @ {short(best, ID_MAX)}" if best else "no best yet"
    )
    lost = LOST_WORDS.get(read(str(result.get("reason") or "")).token)
    if lost is not None:  # the machine's doing, and not the edit's: it is no crash to whoever reads this
        return fit(f"[{run}] lost: ", lost, f" — {stays}{tail}{_kept(result, run)}", VERDICT_MAX)
    head, why, rest = f"[{run}] {result['status']}: ", _why(result), f" — {stays}{tail}"
    lines = [fit(head, why, f"{rest}{look}", VERDICT_MAX) for look in _looks(result, run)]
    return next((line for line in lines if short(why, VERDICT_MAX) in line), lines[-1])


def _kept(result: Answer, run: str) -> str:
    """Return where the edit of a run is that was lost, if it is not in train.py any more."""
    restore = f"; its edit: runs/{run}/train.py, arctl restore {run}"
    return restore if result.get("train_py") == "restored" else f"; arctl tail {run}"


def _looks(result: Answer, run: str) -> tuple[str, ...]:
    """Return the commands that show why; if the edit was taken away, where it is and what brings it back.

    The next ones are shorter: the reason, which may name the option to give, needs the room more.
    """
    if result["status"] == "unclean":
        return ("; arctl clean",)
    why = "" if result["status"] == "interrupted" else f"; arctl tail {run}"
    if result.get("train_py") != "restored":
        return (why,)
    restore = f"; arctl {'tail or ' if why else ''}restore {run}"
    return (f"; edit: runs/{run}/train.py{restore}", restore, why)


def _why(result: Answer) -> str:
    text, code, signal = str(result.get("reason") or ""), result.get("exit_code"), result.get("signal")
    reason = read(text)
    if result["status"] == "timeout":
        what = "silent for longer than --stall; ended" if reason.token == STALL else "time limit reached"
        after = f"{what} after {number(round(result.get('seconds') or 0.0, 1))} s"
        return "; ".join((after, *reason.notes))
    if not text:
        return f"exit code {code}" if code else str(signal or "no reason known")
    how = f" ({signal})" if signal and reason.token != f"signal:{signal}" else ""
    return f"{short(text, REASON_MAX)}{how}"


def closing_line(result: Answer) -> str:
    """Return `[r0043] continue: plateau 0/5, max_runs 43/200`, or what to do now that the session is over.

    What a loop has to do next (`next` of the result) is the first that stands behind the run's id.
    """
    head = f"[{short_id(result)}] {next_step(result)}"
    if not result.get("should_terminate"):
        limits = [f"{name} {short(result[key], 24)}" for name, key in LIMITS.items() if result.get(key)]
        return short(f"{head}: {', '.join(limits) or 'no limit set'}", CLOSING_MAX - 1)
    best = "no best"
    if result.get("best"):
        name = short(result["primary"]["name"], NAME_MAX)
        best = f"best {name}={number(result.get('best_value'))} at {short(result['best'], ID_MAX)}"
    return short(f"{head} — {best}, expr {short(result['expr'], SLUG_MAX)} terminated", CLOSING_MAX - 1)


def next_step(result: Answer) -> str:
    """Return `next` of a result; of one by an earlier version, which had none, what it comes to."""
    if result.get("next"):
        return short(result["next"], NEXT_MAX)
    if not result.get("should_terminate"):
        return "continue"
    return f"stop: {short(result.get('terminated_by') or 'over', 24)}"


def verdict_lines(view: Answer, result: Answer) -> list[str]:
    """Return lines two to four of `run --wait`."""
    return [metric_line(view, result), verdict_line(result), closing_line(result)]


def feedback(view: Answer) -> str:
    """Return `[r0043] feedback: …`: what a person's command printed of the run, cut by the daemon."""
    return f"[{short_id(view)}] feedback: {short(view['feedback'], FEEDBACK_MAX)}"


def submitted(view: Answer) -> str:
    """Return `[r0044] queued (position 2): base r0040`."""
    position = view.get("position")
    place = f" (position {position})" if position else ""
    # A run with a place moves on by itself, and `arctl queue` says what is before it. One without does not
    # move.
    why = f" — {short(view['why'], WHY_MAX)}" if view.get("why") and not position else ""
    return f"[{short_id(view)}] {view['state']}{place}: base {short(view.get('base') or 'none', ID_MAX)}{why}"


def too_late(view: Answer, hint: str) -> str:
    """[r0043] has ended already: nothing is interrupted, its verdict stands, call: arctl wait r0043"""
    return f"[{short_id(view)}] has ended already: nothing is interrupted, its verdict stands, call: {hint}"


def still_running(view: Answer, hint: str) -> str:
    """Return `[r0043] still running (12 s of 600 s), call: arctl wait r0043`."""
    elapsed, position = view.get("elapsed"), view.get("position")
    if elapsed is not None and not view.get("why"):
        where = f"running ({elapsed:.0f} s of {number(view.get('seconds'))} s)"
    elif view.get("why") and not position:  # the run does not move on by itself
        where = f"{view['state']}: {short(view['why'], WHY_MAX)}"
    else:
        where = f"{view['state']} (position {position})" if position else str(view["state"])
    return f"[{short_id(view)}] still {where}, call: {hint}"
