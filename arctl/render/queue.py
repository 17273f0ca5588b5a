"""Makes the lines of `arctl queue` and `arctl gpus`, each within its limit of bytes. Pure: no I/O."""

import time
from collections.abc import Sequence

from arctl.dial import Answer
from arctl.render.line import ID_MAX, NAME_MAX, SLUG_MAX, WHY_MAX, short_id, unit
from ardaemon.core.line import cut, number, short

LISTED_MAX = 8  # runs in one line
GPU_NAME_MAX = 32
STATE_MAX = 16
WORDS = 3  # columns of a GPU's line that are words: index, name, state; figures are flush right
GPU_LINE_MAX = 400  # bytes of the line of one GPU, with a few processes or runs on it


def queued(view: Answer) -> str:
    """Return a run's line, `261122-lr r0043 running 12/600 s`, or one with its place and why it waits."""
    head = f"{short(view['expr'], SLUG_MAX)} {short_id(view)} {view['state']}"
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


def shut(view: Answer) -> str:
    """Return why nothing starts, and how many wait for that: `the queue is paused: … (2 wait)`."""
    waiting = sum(run["state"] == "queued" for run in view["runs"])
    return short(view["closed"], WHY_MAX) + (f" ({waiting} wait)" if waiting else "")


def opened(view: Answer) -> str:
    """Return that runs may start: `the queue is open until 16:40, whatever the hours say`."""
    until = view.get("opened_until")
    clock = "" if until is None else time.strftime(" until %Y-%m-%d %H:%M", time.localtime(until))
    return f"the queue is open{clock}" + (", whatever the hours say" if clock else "")


def at_work(view: Answer) -> str:
    """Return the runs whose end is waited for: `2 at work: 261122-lr r0043 running 12/600 s; …`."""
    runs = [queued(run) for run in view["runs"] if run["state"] != "queued"]
    more = [f"and {len(runs) - LISTED_MAX} more"] if len(runs) > LISTED_MAX else []
    return f"{view['busy']} at work: " + "; ".join(runs[:LISTED_MAX] + more)


def gpus(views: Sequence[Answer]) -> list[str]:
    """Return a line for each GPU, one below the other in columns.

    Such as `0 NVIDIA H100 held 42.1/79.6 GiB 97% 61 °C 412 W: 261122-lr r0043 41.8 GiB`.
    """
    rows = [_cells(view) for view in views]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_gpu(view, row, widths) for view, row in zip(views, rows, strict=True)]


def _cells(view: Answer) -> tuple[str, ...]:
    return (
        str(view["index"]),
        short(view["name"], GPU_NAME_MAX),
        short(view["state"], STATE_MAX),
        *figures(view),
    )


def _gpu(view: Answer, cells: Sequence[str], widths: Sequence[int]) -> str:
    words = [cell.ljust(width) for cell, width in zip(cells[:WORDS], widths, strict=False)]
    numbers = [cell.rjust(width) for cell, width in zip(cells[WORDS:], widths[WORDS:], strict=True)]
    who = "; ".join(holders(view)) or short(view.get("why") or "", WHY_MAX)
    line = " ".join(part for part in (*words, *numbers) if part)  # less what no driver tells here
    return cut(line + (f": {who}" if who else ""), GPU_LINE_MAX)


def figures(view: Answer) -> tuple[str, str, str, str]:
    """Return a GPU's memory, utilisation, temperature and power, rounded; "" where the driver gives none."""
    return (
        memory(view),
        unit(view.get("utilisation"), "%"),
        unit(view.get("temperature"), " °C"),
        unit(view.get("power_w"), " W"),
    )


def memory(view: Answer) -> str:
    """Return a GPU's memory, used and total: `42.1/79.6 GiB`."""
    used, total = view.get("used_mb"), view.get("total_mb")
    shown = ["?" if value is None else f"{value / 1024:.1f}" for value in (used, total)]
    return f"{shown[0]}/{shown[1]} GiB"


def holders(view: Answer) -> list[str]:
    """Return who uses a GPU, one text each: a run of this daemon, or a process of somebody else's."""
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
