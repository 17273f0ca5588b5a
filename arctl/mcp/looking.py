"""The tools that only look: status, result, tail, history, report."""

from typing import Any

from mcp.types import CallToolResult

from arctl.dial import Answer
from arctl.mcp.answers import History, Line, Log, Report, Status, answer
from arctl.mcp.outcomes import bounded, outcome
from arctl.mcp.place import Place
from arctl.render import history as history_lines
from arctl.render import status as status_lines
from arctl.render.line import ID_MAX, NAME_MAX, SLUG_MAX, short_id
from ardaemon.core.line import short

ACTIVE_MAX = 8  # runs that are named


def status(place: Place) -> CallToolResult:
    """Say how the experiment stands, and which file is to be edited."""
    view = place.ask("status.get", last=0)
    text = status_lines.compact(view)
    content = _status(view, text, bounded(place.warnings))
    return answer(f"{text}\nedit: {content.train_py}", content)


def _status(view: Answer, text: str, warnings: list[str]) -> Status:
    primary, best, session = view["contract"]["primary"], view.get("best") or {}, view["session"]
    return Status(
        expr=short(view["expr"], SLUG_MAX),
        project=str(view["project"]),
        train_py=train_file(view),
        metric=short(primary["metric"], NAME_MAX),
        direction=primary["direction"],
        best_run=best.get("run_id"),
        best_value=best.get("value"),
        session=status_lines.liveness(session),
        active=[f"{short_id(each)} {each['state']}" for each in (view.get("active") or ())[:ACTIVE_MAX]],
        chain_remaining=(view.get("chain") or {}).get("remaining"),
        text=text,
        warnings=warnings,
    )


def train_file(view: Answer) -> str:
    """Return the path of the experiment's train.py."""
    return f"{view['folder']}/train.py"


def result(place: Place, run_id: str | None) -> CallToolResult:
    """Say what became of a run."""
    view = place.ask("run.get", run_id=run_id)
    if view.get("result") is None:
        # `run.wait` tells a run that moves from one that does not, which it refuses with what to do.
        view = place.ask("run.wait", run_id=view["run_id"], timeout=0.0)
    return outcome(view, place.warnings)


def tail(place: Place, run_id: str | None, lines: int) -> CallToolResult:
    """Show the end of a run's log."""
    view = place.ask("run.tail", run_id=run_id, lines=lines)
    names = {"expr": short(view["expr"], SLUG_MAX), "run_id": short(view["run_id"], ID_MAX)}
    text = str(view["text"])
    log = Log(**names, state=view["state"], text=text, warnings=bounded(place.warnings))
    return answer(text or f"[{log.run_id}] nothing is in the log", log)


def history(place: Place, **question: Any) -> CallToolResult:
    """Say what has been tried."""
    view = place.ask("history.get", **question)
    content = History(
        expr=short(view["expr"], SLUG_MAX),
        metric=view["metric"],
        direction=view["direction"],
        found=view["found"],
        lines=[Line(**line) for line in view["lines"]],
        hint=view.get("hint") or "",
        warnings=bounded(place.warnings),
    )
    return answer("\n".join(history_lines.lines(view)), content)


def report(place: Place) -> CallToolResult:
    """Show what all runs have shown."""
    view = place.ask("report.get", format="markdown", all=False)
    text = str(view["text"])
    return answer(
        text, Report(expr=short(view["expr"], SLUG_MAX), text=text, warnings=bounded(place.warnings))
    )
