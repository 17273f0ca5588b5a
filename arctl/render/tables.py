"""Prints tables for people at a terminal; the only module that imports rich."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from arctl.dial import Answer
from arctl.render import queue as queue_lines
from arctl.render import status as status_lines
from arctl.render.line import NAME_MAX, SLUG_MAX, WHY_MAX
from ardaemon.core.line import number, short
from ardaemon.core.text import one_line

NOTE_MAX = 60
FIGURES = ("memory", "busy", "temp", "power")  # of a GPU
COLOURS = {"advance": "green", "revert": "yellow"}


def status(view: Answer) -> None:
    """Print the compact status, then the last runs as a table."""
    console = Console()
    console.print(Text(status_lines.compact(view)))
    rows = view.get("recent") or ()
    if not rows:
        return
    metric = str(view["contract"]["primary"]["metric"])
    table = _table("run", "verdict", one_line(metric, NAME_MAX), "seconds", "base", "note")
    for row in rows:
        verdict = _cell(row["verdict"])
        verdict.stylize(COLOURS.get(row["verdict"], "red"))
        note = Text(one_line(row["note"], NOTE_MAX))
        table.add_row(
            _cell(row["run_id"]),
            verdict,
            _cell(row["primary"]),
            _cell(row["seconds"]),
            _cell(row["base"]),
            note,
        )
    console.print(table)


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
