"""The lists of the screen: the runs that are under way, and the last verdicts. Pure: no I/O."""

from collections.abc import Iterator
from datetime import datetime

from arctl.dial import Answer
from arctl.render.line import ID_MAX, SLUG_MAX, WHY_MAX, ordinal
from arctl.watch.model import Key, Model, key_of
from arctl.watch.paint import Line, Piece, bar, clock, fitted, marked, safe
from ardaemon.core.line import number
from ardaemon.core.words import MEASURE

VERDICT_STYLES = {"advance": "good", "revert": "warn", MEASURE: ""}  # all others are failures
BAR = 10  # columns of a bar
DELTA_FROM = 70  # columns from which on a verdict has room for its distance to the best
SHORT_NAME_MAX = 16  # characters of the metric's name in a run's line
NOTE_MAX = 200


def note(run: Answer) -> str:
    """Return the note behind a run, cleaned; "" if it has none."""
    return f'  "{safe(run["note"], NOTE_MAX)}"' if run.get("note") else ""


# --- runs under way ---


def runs_title(model: Model) -> str:
    """Return the title of the panel of runs."""
    at_work = sum(run["state"] != "queued" for run in model.runs)
    return f"runs: {at_work} at work, {model.total - at_work} waiting{_filtered(model)}"


def runs(model: Model, width: int, height: int) -> list[Line]:
    """Return the runs that are under way; the selected one is among them."""
    closed: list[Line] = [(("warn", f" {safe(model.closed, WHY_MAX)}"),)] if model.closed else []
    under_way = model.under_way()
    blocks = [list(_run(model, run, width)) for run in under_way]
    hidden = model.total - len(model.runs)
    room = height - len(closed)
    if hidden or sum(map(len, blocks)) > room:
        room -= 1  # for the line that says how many are not shown
    keys = [key_of(run) for run in under_way]
    first, end = _window([len(block) for block in blocks], _place_of(model.selected, keys), room)
    lines = [*closed, *(line for block in blocks[first:end] for line in block)]
    hidden += len(blocks) - (end - first)
    if hidden:
        return [*lines, (("dim", f" … and {hidden} more: arctl queue"),)]
    return lines or [(("dim", " nothing runs, nothing waits"),)]


def _place_of(selected: Key | None, keys: list[Key]) -> int:
    return keys.index(selected) if selected in keys else 0


def _window(sizes: list[int], at: int, room: int) -> tuple[int, int]:
    """Return from where to where blocks of these sizes are shown: at least one, and the one at `at`."""
    first = 0
    while first < at and sum(sizes[first : at + 1]) > room:
        first += 1
    end = min(first + 1, len(sizes))
    while end < len(sizes) and sum(sizes[first : end + 1]) <= room:
        end += 1
    return first, end


def _run(model: Model, run: Answer, width: int) -> Iterator[Line]:
    key = key_of(run)
    line = fitted(tuple(_run_line(model, run)), width)
    yield marked(line) if model.selected == key else line
    if model.logs.get(key):
        yield (("dim", f"     {safe(model.logs[key], NOTE_MAX)}"),)


def _run_line(model: Model, run: Answer) -> Iterator[Piece]:
    elapsed, limit = run.get("elapsed"), run.get("seconds")
    yield "title", f" {run_name(model, key_of(run))} "
    if run["state"] == "queued":
        yield "", f"{ordinal(run['position'])} in the queue" if run.get("position") else "waits"
    elif elapsed is None or run["state"] != "running":
        yield "info", str(run["state"])
    else:
        yield "info", f"{bar(elapsed / (limit or elapsed or 1), BAR)} {clock(elapsed)}/{clock(limit or 0)}"
        yield "", f"  {clock((limit or 0) - elapsed)} left"
        metric = safe(model.metric, SHORT_NAME_MAX) if key_of(run)[:2] == model.place else "value"
        yield from _figures(run, metric)
    if run.get("why"):
        yield "warn", f": {safe(run['why'], WHY_MAX)}"
    yield "dim", note(run)


def _figures(run: Answer, metric: str) -> Iterator[Piece]:
    if run.get("latest") is not None:
        yield "good", f"  {metric} {number(run['latest'])}"
    if run.get("gpus"):
        yield "", f"  GPU {','.join(map(str, run['gpus']))}"
    if run.get("vram_mb"):
        yield "", f"  {run['vram_mb'] / 1024:.1f} GiB"


def run_name(model: Model, key: Key) -> str:
    """Return the run's id, with its experiment where that is not the one that is shown."""
    run_id = safe(key[2], ID_MAX)
    return run_id if key[:2] == model.place else f"{safe(key[1], SLUG_MAX)} {run_id}"


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
    word = verdict(row)
    yield "", f" {safe(row['run_id'], ID_MAX)} "
    yield VERDICT_STYLES.get(word, "bad"), f"{word:<11}"
    yield "", f"{_value(row.get('primary')):>9} "
    if with_delta:
        yield "dim", f"{_signed(row.get('delta')):>9} "
    yield "dim", f" {_moment(row.get('ended_at'))}  "
    yield "", safe(row.get("note") or "", NOTE_MAX)


def verdict(row: Answer) -> str:
    """Return the verdict of a row, or its status where a version of before wrote none."""
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


def _moment(moment: object) -> str:
    """Return the time of day here, `09:40`."""
    try:
        return datetime.fromisoformat(str(moment)).astimezone().strftime("%H:%M")
    except ValueError:
        return "     "
