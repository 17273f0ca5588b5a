"""Makes what `arctl status` shows to a person: words with their colours, graphs of one line. Pure: no I/O."""

from collections.abc import Iterator, Sequence

from arctl.dial import Answer
from arctl.render import status as status_lines
from arctl.render.line import ID_MAX, NAME_MAX, SLUG_MAX, WHY_MAX, short_id, spark
from ardaemon.core.line import number, short
from ardaemon.core.words import MEASURE, runner_of

Piece = tuple[str, str]  # text, and its style; "" is plain
Row = tuple[str, list[Piece]]  # its label
COLOURS = {"advance": "green", "revert": "yellow", MEASURE: ""}  # of a verdict; every other one is red
GOOD, BAD, DIM = "green", "red", "dim"
MISSING = "·"  # in a graph: a run without a value
GRAPH_MAX, GRAPH_LEAST = 60, 8  # runs in one graph
BESIDE_GRAPH = 50  # columns for its label, and what it spans
ROBUST = 10  # from so many values on the outermost twentieth at each end does not stretch the graph
RUNS_MAX = 8  # of those under way that have a row


def rows(view: Answer, columns: int) -> Iterator[Row]:
    """Yield the rows above the table of runs: best, trend, counts, limits, train.py, what runs and waits.

    `columns` are those of the terminal.
    """
    yield "session", [_liveness(view["session"])]
    yield "best", _best(view)
    recent = view.get("recent") or ()
    values = [value_of(row) for row in recent]
    if any(value is not None for value in values):
        width = max(min(GRAPH_MAX, columns - BESIDE_GRAPH), GRAPH_LEAST)
        yield "trend", _trend(values[-width:], [row.get("verdict") == "advance" for row in recent[-width:]])
    yield "runs", _counted(view["session"]["counters"])
    yield "limits", [(status_lines.limits(view), "")]
    if runner := runner_of(view["session"]):
        yield "runner", [(short(runner, WHY_MAX), "")]
    if view.get("chain"):
        yield "chain", [(status_lines.chain(view["chain"], view["expr"]).removeprefix("chain: "), "")]
    yield "train.py", [(short(view["train_py"], WHY_MAX), "")]
    yield from _under_way(view)
    if view.get("unclean"):
        yield "UNCLEAN", [("processes survived a kill; runs are refused until: arctl clean", BAD)]


def value_of(row: Answer) -> float | None:
    """Return the primary metric of a row of results.tsv."""
    return status_lines.as_float(row.get("primary") or "")


def better(direction: str) -> str:
    """Say which values are better."""
    return "lower is better" if direction == "min" else "higher is better"


def graph(values: Sequence[float | None], width: int) -> str:
    """Return the last values as a graph of one line, from the least to the greatest of them."""
    shown = values[-width:]
    known = sorted(value for value in shown if value is not None)
    if not known:
        return MISSING * len(shown)
    cut = len(known) // 20 if len(known) >= ROBUST else 0
    low, high = known[cut], known[-1 - cut]
    span = (high - low) or 1.0
    shares = [None if value is None else (value - low) / span for value in shown]
    return spark(shares, len(shown)).replace(" ", MISSING)


def _liveness(session: Answer) -> Piece:
    return status_lines.liveness(session), GOOD if session.get("live") else ""


def _best(view: Answer) -> list[Piece]:
    primary, best = view["contract"]["primary"], view.get("best")
    name, hint = short(primary["metric"], NAME_MAX), (f"  ({better(primary['direction'])})", DIM)
    if best is None:
        return [(f"{name}: none yet", ""), hint]
    broken = [] if best.get("valid", True) else [(" violates a constraint", BAD)]
    value = (number(best["value"]), f"bold {GOOD}")
    return [(f"{name} ", ""), value, (f" @ {short_id(best)}", ""), *broken, hint]


def _trend(values: list[float | None], wins: list[bool]) -> list[Piece]:
    """Return the graph, each advance in its colour, and what it spans."""
    drawn = graph(values, len(values))
    others = ["" if value is not None else BAD for value in values]
    styles = [GOOD if win else other for win, other in zip(wins, others, strict=True)]
    known = [value for value in values if value is not None]
    spans = f"  {number(min(known))} to {number(max(known))} in the last {len(drawn)}"
    return [*zip(drawn, styles, strict=True), (spans, DIM)]


def _counted(counters: Answer) -> list[Piece]:
    total, _, rest = status_lines.counted(counters).partition(" total (")
    pieces: list[Piece] = [(total, "bold"), (" in all", "")]
    for count in rest.rstrip(")").split(" / "):
        _, _, verdict = count.partition(" ")
        pieces += [("   ", ""), (count, "" if count.startswith("0 ") else COLOURS.get(verdict, BAD))]
    return pieces


def _under_way(view: Answer) -> Iterator[Row]:
    """Yield a row for each of the first runs under way: those at work, then those that wait."""
    active = sorted(view.get("active") or (), key=lambda run: run["state"] == "queued")
    name = short(view["contract"]["primary"]["metric"], NAME_MAX)
    for run in active[:RUNS_MAX]:
        yield ("queued" if run["state"] == "queued" else "running"), [_run(run, name)]
    more = status_lines.under_way(view) - len(active[:RUNS_MAX])
    if more > 0:
        yield "", [(f"and {more} more: arctl queue", DIM)]


def _run(run: Answer, metric: str) -> Piece:
    if run["state"] == "queued":
        place = f"{run['position']}: " if run.get("position") else ""
        return f"{short_id(run)}  {place}{short(run.get('why') or '', WHY_MAX)}", "yellow"
    gpus = ", ".join(map(str, run.get("gpus") or ()))
    return status_lines.progress(run, metric) + (f" on GPU {gpus}" if gpus else ""), "cyan"


# --- several experiments ---


def session_of(glance: Answer) -> Piece:
    """Return how an experiment's session stands."""
    if glance["live"]:
        return "live", GOOD
    return short(glance.get("terminated_by") or ("stopped" if glance["started"] else "not started"), 24), ""


def best_of(glance: Answer) -> str:
    """Return an experiment's best: `val/loss 0.851 @ r0040`."""
    name = short(glance["metric"], NAME_MAX)
    if glance.get("best") is None:
        return f"{name}: none yet"
    return f"{name} {number(glance['best'])} @ {short(glance.get('best_run'), ID_MAX)}"


def now_of(glance: Answer) -> str:
    """Return what an experiment does now: `r0043 runs, 2 wait`."""
    parts = [f"{short(glance['running'], ID_MAX)} runs"] if glance.get("running") else []
    parts += [f"{glance['at_work'] - 1} more run"] if glance["at_work"] > 1 else []
    parts += [f"{glance['waiting']} wait"] if glance["waiting"] else []
    return ", ".join(parts)


def listed(glances: Sequence[Answer]) -> list[str]:
    """Return a line for each experiment: `261122-lr  live  42 runs  val/loss 0.851 @ r0040  r0043 runs`."""
    rows = [
        (short(one["expr"], SLUG_MAX), session_of(one)[0], _runs(one["runs"]), best_of(one), now_of(one))
        for one in glances
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"
