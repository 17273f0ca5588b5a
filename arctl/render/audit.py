"""The hidden audit as text, for a person. Pure."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from arctl.dial import Answer
from arctl.render.columns import aligned
from arctl.render.line import ID_MAX, NAME_MAX, SLUG_MAX, WHY_MAX
from ardaemon.core.line import number, short

HEAD = ("run", "primary", "audit", "trend")
PATH_MAX = 400  # bytes: it is copied from the terminal
NAMED_MAX = 8  # runs that wait, of a line
NO_AUDIT = "there is no audit: arctl session set --audit COMMAND; or with the next session start"


def lines(view: Answer, machine: str) -> Iterator[str]:
    """Yield what the audit has shown: a heading, a row for each advance, what waits.

    `machine` is this machine's id: audits that lie with a daemon of another one are shown there alone.
    """
    others = view.get("elsewhere") or {}  # an earlier daemon says nothing of them
    if view["command"] is None and not view["rows"] and not others:
        yield NO_AUDIT
        return
    yield _heading(view)
    if view["rows"] or not others:
        yield from aligned([HEAD, *(_row(row) for row in view["rows"])])
    if view["total"] > len(view["rows"]):
        yield f"({view['total']} in all)"
    yield from waiting(view)
    if view["rows"]:
        yield f"what they printed: {short(view['log'], PATH_MAX)}"
    command = f"arctl audit --expr {shlex.quote(short(view['expr'], SLUG_MAX))}"
    yield from (_elsewhere(folder, others[folder], machine, command) for folder in sorted(others))


def warned(view: Answer) -> str:
    """Return the warning that the audit does not confirm the advances; "" if there is none."""
    return short(view.get("warning") or "", 2 * WHY_MAX)


def waiting(view: Answer) -> Iterator[str]:
    """Yield a line of the audits that are to come, if there are any."""
    names = [short(name, ID_MAX) for name in view["waiting"]]
    if names:
        more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
        at_work = f"; at work: {short(view['at_work'], ID_MAX)}" if view["at_work"] else ""
        yield f"to be audited: {', '.join(names[:NAMED_MAX])}{more}{at_work}"


def last(view: Answer) -> str:
    """Return the last audit in a few words: `audit 0.871 @ r0043 (worse)`; "" if there is none."""
    if not view["rows"]:
        return ""
    row = view["rows"][-1]
    said = f"({row['trend']})" if row["trend"] else ""
    value = "failed" if row["value"] is None else number(row["value"])
    return " ".join(filter(None, ("audit", value, "@", short(row["run_id"], ID_MAX), said)))


def _elsewhere(state_folder: str, count: int, machine: str, command: str) -> str:
    """Say that another daemon has audits of this experiment, and how to see them.

    A state folder is named as its machine (core/places.py); no variable leads to another one.
    """
    are, runs = (
        ("audit of this experiment is", "run") if count == 1 else ("audits of this experiment are", "runs")
    )
    if not state_folder:
        return f"{count} {are} with another daemon: call {command} with its HOME or XDG_STATE_HOME"
    folder = Path(state_folder)
    if folder.name != machine:
        where = f"on another machine, or in a container (state folder {short(state_folder, PATH_MAX)})"
        return f"{count} {are} with a daemon {where}; there: {command}"
    there = shlex.quote(short(str(folder.parent.parent), PATH_MAX))
    where = f"with the daemon that had the {runs} (if in a container, there)"
    return f"{count} {are} {where}: XDG_STATE_HOME={there} {command}"


def _heading(view: Answer) -> str:
    of = "lower" if view["direction"] == "min" else "higher"
    better = "lower" if view["audit_direction"] == "min" else "higher"
    metric = short(view["metric"], NAME_MAX)
    return f"{short(view['expr'], SLUG_MAX)}: {metric} ({of} is better), audit ({better} is better)"


def _row(row: Answer) -> tuple[str, ...]:
    value = number(row["value"]) if row["value"] is not None else "-"
    said = row["trend"] or short(row["problem"], WHY_MAX)
    primary = "-" if row["primary"] is None else number(row["primary"])
    return short(row["run_id"], ID_MAX), primary, value, said
