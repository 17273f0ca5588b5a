"""Prints tables for people at a terminal; the only module that imports rich."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from arctl.dial import Answer
from arctl.render import overview as lines
from arctl.render import queue as queue_lines
from arctl.render.line import NAME_MAX, SLUG_MAX, WHY_MAX
from arctl.render.status import as_float
from ardaemon.core.line import number, short
from ardaemon.core.text import clean, one_line

NOTE_MAX = 200
TREND_MAX = 24  # columns of a graph beside those of other experiments
BESIDE_TREND = 80  # columns for the rest of that line
FIGURES = ("memory", "busy", "temp", "power")  # of a GPU


def status(view: Answer, recent: int) -> None:
    """Print an experiment: what is known of it row by row, then its last runs as a table."""
    console = Console(highlight=False)
    console.print(Text(one_line(view["expr"], SLUG_MAX), style="bold"))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for label, pieces in lines.rows(view, console.width):
        table.add_row(f"  {label}", Text.assemble(*((clean(text), style) for text, style in pieces)))
    console.print(table)
    rows = (view.get("recent") or ())[-recent:]
    if rows:
        console.print()
        console.print(_runs(rows, one_line(view["contract"]["primary"]["metric"], NAME_MAX)))


def _runs(rows: Sequence[Answer], metric: str) -> Table:
    table = _table(
        "run", "verdict", metric, "delta", "seconds", "base", "note", right=(metric, "delta", "seconds")
    )
    table.columns[-1].no_wrap, table.columns[-1].overflow = True, "ellipsis"
    for row in rows:
        delta = as_float(row.get("delta") or "")
        table.add_row(
            _cell(row["run_id"]),
            Text(one_line(row["verdict"], 16), style=lines.COLOURS.get(row["verdict"], lines.BAD)),
            Text(_number(row["primary"])),
            Text("" if delta is None else f"{delta:+.3g}"),
            Text(_number(row["seconds"])),
            _cell(row["base"]),
            _cell(row["note"], NOTE_MAX),
        )
    return table


def _number(text: str) -> str:
    value = as_float(text)
    return "" if value is None else number(value)


def overview(view: Answer, shown: str | None) -> None:
    """Print a line for each experiment of a project; `shown` is the one that was shown above."""
    console = Console(highlight=False)
    if shown is not None:
        console.print()
    width = max(min(TREND_MAX, console.width - BESIDE_TREND), lines.GRAPH_LEAST)
    table = _table("experiment", "session", "best", "runs", "trend", "now", right=("runs",))
    table.columns[4].no_wrap = True
    for glance in view["experiments"]:
        session, colour = lines.session_of(glance)
        table.add_row(
            Text(one_line(glance["expr"], SLUG_MAX), style="bold" if glance["expr"] == shown else ""),
            Text(session, style=colour),
            Text(lines.best_of(glance)),
            Text(str(glance["runs"])),
            Text(lines.graph(glance.get("values") or (), width)),
            Text(lines.now_of(glance), style="cyan"),
        )
    console.print(table)
    if view.get("more"):
        console.print(Text(f"and {view['more']} more in .autoresearch/", style="dim"))


def queue(view: Answer) -> None:
    """Print every run that is not committed."""
    table = _table("experiment", "run", "state", "place", "elapsed", "waits for")
    for run in view["runs"]:
        elapsed = run.get("elapsed")
        table.add_row(
            _cell(run["expr"], SLUG_MAX),
            _cell(run["run_id"]),
            _cell(run["state"]),
            _cell(run.get("position")),
            Text("" if elapsed is None else f"{elapsed:.0f}/{number(run.get('seconds'))} s"),
            _cell(run.get("why"), WHY_MAX),
        )
    Console().print(table)


def gpus(view: Answer) -> None:
    """Print every GPU, with a line for each run or process on it."""
    table = _table("gpu", "name", *FIGURES, "state", "who", right=FIGURES)
    for gpu in view["gpus"]:
        table.add_row(
            _cell(gpu["index"]),
            _cell(gpu["name"], queue_lines.GPU_NAME_MAX),
            *map(Text, queue_lines.figures(gpu)),
            _cell(gpu["state"]),
            Text("\n".join(queue_lines.holders(gpu)) or short(gpu.get("why") or "", WHY_MAX)),
        )
    Console().print(table)


def _table(*columns: str, right: Iterable[str] = ()) -> Table:
    """Return a table with these columns; those in `right` are flush right."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(Text(column), overflow="fold", justify="right" if column in right else "left")
    return table


def _cell(value: object, most: int = 24) -> Text:
    # Text, not str: rich must not read markup in a text that others wrote.
    return Text("" if value is None else one_line(str(value), most))
