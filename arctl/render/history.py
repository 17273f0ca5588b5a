"""The experiment's memory as text: at most 4 KiB, as the daemon has cut its lines. Pure."""

from arctl.dial import Answer
from ardaemon.core.line import number
from ardaemon.core.words import told_verdict


def lines(view: Answer) -> list[str]:
    """Return a line that says what is shown, and a line for each run."""
    return [_head(view), *map(_line, view["lines"]), *([f"({view['hint']})"] if view.get("hint") else [])]


def _head(view: Answer) -> str:
    better = "lower" if view["direction"] == "min" else "higher"
    shown, found = len(view["lines"]), view["found"]
    count = f"{found} found" if shown == found else f"{found} found, {shown} shown"
    pending = f", {view['pending']} not read yet" if view.get("pending") else ""
    return f"{view['expr']}: {view['metric']}, {better} is better; runs: {count}{pending}"


def _line(line: Answer) -> str:
    """Return `r0041 revert 0.855 "grad clip 1.0 → 0.5": clip 1.0 → 0.5`."""
    verdict = told_verdict(line["verdict"], bool(line.get("measure")))
    value = "no value" if line.get("value") is None else number(line["value"])
    note = f' "{line["note"]}"' if line.get("note") else ""
    why = f": {line['why']}" if line.get("why") else ""
    return f"{line['run_id']} {verdict} {value}{note}{why}"
