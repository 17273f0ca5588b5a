"""The parts of the screen: what the model knows, as lines. Pure: no I/O. `now` is seconds since 1970."""

import re
from collections.abc import Iterator
from datetime import datetime

from arctl.dial import Answer
from arctl.render import queue as queue_lines
from arctl.render import status as status_lines
from arctl.render.line import ID_MAX, NAME_MAX, SLUG_MAX, WHY_MAX, unit
from arctl.watch.chart import Series, draw
from arctl.watch.curves import have_steps
from arctl.watch.model import Key, Model, Trace, key_of
from arctl.watch.paint import GAP, Line, Piece, ago, bar, clock, fitted, marked, ordinal, safe, spark
from ardaemon.core.line import number

VERDICT_STYLES = {"advance": "good", "revert": "warn"}  # all others are failures
BAR = 10  # columns of a bar
FIGURES, GRAPH_MAX = 60, 60  # columns for the figures of a GPU beside its two graphs, and of each graph
DELTA_FROM = 70  # columns from which on a verdict has room for its distance to the best
SHORT_NAME_MAX = 16  # characters of the metric's name in a run's line
NOTE_MAX = 200
WARNINGS_MAX = 2  # lines; `arctl status` has all
AT_MOST = re.compile(r"([\d.]+)/([\d.]+)")
KEYS = "l log  d diff  o report  c cancel  h hold  e switch  / filter  ? help  q leave"


# --- the experiment ---


def header(model: Model, now: float) -> Iterator[Line]:
    """Yield what is known of the experiment: the best, the limits, the chain, the agent."""
    link = ("bad", f"not connected: {safe(model.lost, WHY_MAX)}") if model.lost else ("good", "live")
    yield ("title", f" {safe(model.place[1], SLUG_MAX)} "), ("dim", GAP), link
    if not model.status:
        return
    yield tuple(_best(model.status))
    yield tuple(_limits(model.status))
    for warning in (model.status.get("warnings") or ())[:WARNINGS_MAX]:
        yield (("bad", f" {safe(warning, WHY_MAX)}"),)
    if model.chain:
        yield tuple(_chain(model.chain, model.place[1]))
    yield _agent(model, now)


def _best(status: Answer) -> Iterator[Piece]:
    primary, best = status["contract"]["primary"], status.get("best")
    yield "", f" {safe(primary['metric'], NAME_MAX)} ({primary['direction']}) "
    if best is None:
        yield "dim", "no best yet"
    else:
        yield "best", f"best {number(best['value'])} @ {safe(best['run_id'], ID_MAX)}"
        if not best.get("valid", True):
            yield "bad", " violates a constraint"
    yield "dim", GAP
    yield "", status_lines.counted(status["session"]["counters"])
    if status.get("unclean"):
        yield "bad", " UNCLEAN: arctl clean"


def _limits(status: Answer) -> Iterator[Piece]:
    """Yield each limit of the session, those that count with a bar."""
    session = status["session"]
    live = bool(session.get("live"))
    yield ("" if live else "warn"), f" session {status_lines.liveness(session)}"
    for limit in status_lines.limits(status).split(", "):
        yield "dim", GAP
        yield "", limit
        if (used := AT_MOST.search(limit)) and float(used[2]):
            share = float(used[1]) / float(used[2])
            yield ("warn" if share >= 0.8 else "dim"), f" {bar(share, BAR // 2)}"


def _chain(chain: Answer, expr: str) -> Iterator[Piece]:
    left = chain.get("chain_remaining")
    yield "", f" chain, {'unlimited' if left is None else f'{left} left'}: "
    if chain.get("earlier"):
        yield "dim", f"{chain['earlier']} earlier → "
    for place, link in enumerate(chain.get("links") or ()):
        yield "dim", " → " if place else ""
        yield ("title" if link["expr"] == expr else ""), safe(link["expr"], SLUG_MAX)


def _agent(model: Model, now: float) -> Line:
    """Say what the agent is doing, as far as it can be told by its runs."""
    ours = [run for run in model.runs if key_of(run)[:2] == model.place]
    if ours:
        last = max(ours, key=_submitted)
        since = _since(last.get("submitted_at"), now)
        return ("", f" agent: last submit {safe(last['run_id'], ID_MAX)}, {since} ago"), ("dim", _note(last))
    rows = model.status.get("recent") or ()
    if not rows:
        return (("dim", " agent: nothing submitted yet"),)
    last = rows[-1]
    doing = "thinking for" if model.status["session"].get("live") else "nothing submitted for"
    since = _since(last.get("ended_at"), now)
    return (("", f" agent: {doing} {since}, since {safe(last['run_id'], ID_MAX)}: {_verdict(last)}"),)


def _submitted(run: Answer) -> tuple[str, int, str]:
    """Return what sorts runs by their submit; of the same second the higher id is later."""
    return str(run.get("submitted_at") or ""), len(run["run_id"]), str(run["run_id"])


def _since(moment: object, now: float) -> str:
    try:
        return ago(now - datetime.fromisoformat(str(moment)).timestamp())
    except ValueError:
        return "?"


def _moment(moment: object) -> str:
    """Return the time of day here, `09:40`."""
    try:
        return datetime.fromisoformat(str(moment)).astimezone().strftime("%H:%M")
    except ValueError:
        return "     "


def _note(run: Answer) -> str:
    return f'  "{safe(run["note"], NOTE_MAX)}"' if run.get("note") else ""


# --- runs under way ---


def runs_title(model: Model) -> str:
    """Return the title of the panel of runs."""
    at_work = sum(run["state"] != "queued" for run in model.runs)
    return f"runs: {at_work} at work, {model.total - at_work} waiting{_filtered(model)}"


def runs(model: Model, width: int, height: int) -> list[Line]:
    """Return the runs that are under way, each at work with the last line of its log."""
    lines: list[Line] = []
    shown = 0
    for run in model.under_way():
        more = list(_run(model, run, width))
        if len(lines) + len(more) > height - (1 if shown < len(model.under_way()) - 1 else 0) and lines:
            break
        lines += more
        shown += 1
    left = model.total - len(model.runs) + len(model.under_way()) - shown
    if not lines:
        return [(("dim", " nothing runs, nothing waits"),)]
    return [*lines, (("dim", f" … and {left} more: arctl queue"),)] if left > 0 else lines


def _run(model: Model, run: Answer, width: int) -> Iterator[Line]:
    key = key_of(run)
    line = fitted(tuple(_run_line(model, run)), width)
    yield marked(line) if model.selected == key else line
    if model.logs.get(key):
        yield (("dim", f"     {safe(model.logs[key], NOTE_MAX)}"),)


def _run_line(model: Model, run: Answer) -> Iterator[Piece]:
    elapsed, limit = run.get("elapsed"), run.get("seconds")
    yield "title", f" {_name(model, key_of(run))} "
    if run["state"] == "queued":
        yield "", f"{ordinal(run['position'])} in the queue" if run.get("position") else "waits"
    elif elapsed is None or run["state"] != "running":
        yield "info", str(run["state"])
    else:
        yield "info", f"{bar(elapsed / (limit or elapsed or 1), BAR)} {clock(elapsed)}/{clock(limit or 0)}"
        yield "", f"  {clock((limit or 0) - elapsed)} left"
        yield from _figures(run, safe(model.metric, SHORT_NAME_MAX))
    if run.get("why"):
        yield "warn", f": {safe(run['why'], WHY_MAX)}"
    yield "dim", _note(run)


def _figures(run: Answer, metric: str) -> Iterator[Piece]:
    if run.get("latest") is not None:
        yield "good", f"  {metric} {number(run['latest'])}"
    if run.get("gpus"):
        yield "", f"  GPU {','.join(map(str, run['gpus']))}"
    if run.get("vram_mb"):
        yield "", f"  {run['vram_mb'] / 1024:.1f} GiB"


def _name(model: Model, key: Key) -> str:
    """Return the run's id, with its experiment where that is not the one that is shown."""
    run_id = safe(key[2], ID_MAX)
    return run_id if key[:2] == model.place else f"{safe(key[1], SLUG_MAX)} {run_id}"


# --- the curve ---


def curve_title(model: Model) -> str:
    """Return the title of the curve: whose it is, and what it is compared with."""
    focus, best = model.focus(), model.best()
    name = safe(model.metric, NAME_MAX)
    if focus is None:
        return name or "curve"
    against = f", dotted: the best, {safe(best[2], ID_MAX)}" if best and best != focus else ""
    return f"{name} of {_name(model, focus)}{against}"


def curve(model: Model, width: int, height: int) -> list[Line]:
    """Return the curve of the run in focus against that of the best."""
    keys = [key for key in dict.fromkeys((model.focus(), model.best())) if key is not None]
    known = {key: model.curves[key] for key in keys if key in model.curves}
    by_step = have_steps(known.values())
    series = [
        Series("info" if key == model.focus() else "best", one.points(by_step), dotted=key != model.focus())
        for key, one in known.items()
    ]
    return draw(series, width, height, model.lower_is_better, "steps" if by_step else "s")


# --- GPUs ---


def gpus(model: Model, width: int) -> Iterator[Line]:
    """Yield each GPU: how busy it is and how full, as figures and as graphs of the last minutes."""
    for gpu in model.gpus:
        yield fitted(tuple(_gpu(gpu, model.traces.get(gpu["uuid"], Trace()), width)), width)


def _gpu(gpu: Answer, trace: Trace, width: int) -> Iterator[Piece]:
    room = min(max((width - FIGURES) // 2, 4), GRAPH_MAX)
    used = queue_lines.memory(gpu)
    yield "", f" {gpu['index']} {safe(gpu['state'], 11):<8}"
    yield "info", spark(trace.busy, room)
    yield "", f"{_rounded(gpu.get('utilisation'), '%'):>5} "
    yield "good", spark(trace.memory, room)
    yield "", f" {used}"
    if gpu.get("why"):
        yield "warn", f" {safe(gpu['why'], WHY_MAX)}"
    yield "dim", f" {_rounded(gpu.get('temperature'), ' °C')} {_rounded(gpu.get('power_w'), ' W')}"
    yield "dim", f" {safe(gpu['name'], queue_lines.GPU_NAME_MAX)}"


def _rounded(value: float | None, sign: str) -> str:
    return unit(None if value is None else round(value), sign)


# --- verdicts ---


def verdicts_title(model: Model) -> str:
    """Return the title of the verdicts."""
    return f"verdicts{_filtered(model)}"


def verdicts(model: Model, width: int, height: int) -> list[Line]:
    """Return the last verdicts, the newest first; the selected one is among them."""
    under_way = {key_of(run) for run in model.runs}
    rows = [row for row in model.verdicts() if (*model.place, str(row["run_id"])) not in under_way]
    ids = [str(row["run_id"]) for row in rows]
    selected = model.selected[2] if model.selected and model.selected[:2] == model.place else None
    at = ids.index(selected) if selected in ids else 0
    first = max(0, at - height + 1)
    if not rows:
        return [(("dim", " none yet" if not model.filter else " none passes the filter"),)]
    return [_row(row, width, row["run_id"] == selected) for row in rows[first : first + height]]


def _row(row: Answer, width: int, selected: bool) -> Line:
    line = fitted(tuple(_row_line(row, width >= DELTA_FROM)), width)
    return marked(line) if selected else line


def _row_line(row: Answer, with_delta: bool) -> Iterator[Piece]:
    verdict = _verdict(row)
    yield "", f" {safe(row['run_id'], ID_MAX)} "
    yield VERDICT_STYLES.get(verdict, "bad"), f"{verdict:<11}"
    yield "", f"{_value(row.get('primary')):>9} "
    if with_delta:
        yield "dim", f"{_signed(row.get('delta')):>9} "
    yield "dim", f" {_moment(row.get('ended_at'))}  "
    yield "", safe(row.get("note") or "", NOTE_MAX)


def _verdict(row: Answer) -> str:
    return safe(row.get("verdict") or row.get("status") or "?", 11)


def _value(text: object) -> str:
    try:
        return number(float(str(text)))
    except ValueError:
        return "–"


def _signed(text: object) -> str:
    value = _value(text)
    return "" if value == "–" else value if value.startswith("-") else f"+{value}"


def _filtered(model: Model) -> str:
    return f" (filter: {safe(model.filter, 40)})" if model.filter else ""
