"""Tables for people at a terminal: the one module that loads rich."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from arctl import render
from arctl.client import Answer
from ardaemon.core.text import one_line

NOTE_MAX = 60
COLOURS = {"advance": "green", "revert": "yellow"}


def status(view: Answer) -> None:
    """The compact status, then the last runs as a table."""
    console = Console()
    console.print(Text(render.compact(view)))
    rows = view.get("recent") or ()
    if not rows:
        return
    metric = str(view["contract"]["primary"]["metric"])
    table = _table("run", "verdict", one_line(metric, render.NAME_MAX), "seconds", "base", "note")
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
    """Every run that is not committed."""
    table = _table("experiment", "run", "state", "place", "elapsed", "waits for")
    for run in view["runs"]:
        elapsed = run.get("elapsed")
        table.add_row(
            _cell(run["expr"], render.SLUG_MAX),
            _cell(run["run_id"]),
            _cell(run["state"]),
            _cell(run.get("position")),
            Text("" if elapsed is None else f"{elapsed:.0f}/{render.number(run.get('seconds'))} s"),
            _cell(run.get("why"), render.WHY_MAX),
        )
    Console().print(table)


def gpus(view: Answer) -> None:
    """Every GPU, and a line for each that is on it."""
    table = _table("gpu", "name", "memory", "busy", "temp", "power", "state", "who")
    for gpu in view["gpus"]:
        table.add_row(
            _cell(gpu["index"]),
            _cell(gpu["name"], render.GPU_NAME_MAX),
            Text(render.memory(gpu)),
            Text(render.unit(gpu.get("utilisation"), "%")),
            Text(render.unit(gpu.get("temperature"), " °C")),
            Text(render.unit(gpu.get("power_w"), " W")),
            _cell(gpu["state"]),
            Text("\n".join(render.holders(gpu)) or render.short(gpu.get("why") or "", render.WHY_MAX)),
        )
    Console().print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    return table


def _cell(value: object, most: int = 24) -> Text:
    # Text, not str: what others wrote must not be read as rich's markup.
    return Text("" if value is None else one_line(str(value), most))
