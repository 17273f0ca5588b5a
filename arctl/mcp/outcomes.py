"""Makes the answers about runs, of at most 1 KiB each. Pure: no I/O."""

from collections.abc import Sequence
from typing import Any

from mcp.types import CallToolResult

from arctl.base import has_ended
from arctl.dial import Answer
from arctl.mcp.answers import TEXT_MAX, WARNING_MAX, WARNINGS_MAX, Outcome, answer
from arctl.render import run as run_lines
from arctl.render.line import ID_MAX, SLUG_MAX
from ardaemon.core.line import number, short

WAIT = "wait"  # `next` of a run that has no verdict yet
CLOSING = (
    2  # lines of a verdict that say what became of the run; the one before says where its metric is from
)


def outcome(view: Answer, warnings: Sequence[str] = (), text: str | None = None) -> CallToolResult:
    """Return the answer about a run: its verdict if there is one, else that it still runs."""
    lines = _lines(view) if text is None else [text]
    content = _outcome(view, "\n".join(lines[-CLOSING:]), bounded(warnings))
    if view.get("feedback"):  # before the last line, by which a loop goes on
        lines.insert(-1, run_lines.feedback(view))
    return answer("\n".join(lines), content, TEXT_MAX)


def submitted(view: Answer, warnings: Sequence[str]) -> CallToolResult:
    """Return the answer about a run that nobody waits for yet."""
    return outcome(view, warnings, f"{run_lines.submitted(view)}; for its verdict call: {_hint(view)}")


def cancelled(view: Answer, warnings: Sequence[str]) -> CallToolResult:
    """Return the answer about a run whose end is wanted."""
    if view.get("result"):
        return outcome(view, warnings)
    if has_ended(view):
        return outcome(view, warnings, run_lines.too_late(view, _hint(view)))
    name = short(view["run_id"], ID_MAX)
    text = f"[{name}] cancelled: it is judged when its processes are gone, call: {_hint(view)}"
    return outcome(view, warnings, text)


def line(view: Answer) -> str:
    """Return the message of a progress notification: `r0043 running, 12 of 600 s, newest value 0.9`."""
    shown = f"{short(view['run_id'], ID_MAX)} {view['state']}"
    if view.get("elapsed") is not None:
        shown += f", {view['elapsed']:.0f} of {number(view.get('seconds'))} s"
    if view.get("latest") is not None:
        shown += f", newest value {number(view['latest'])}"
    if view.get("position"):
        shown += f", position {view['position']} in the queue"
    return f"{shown} — {short(view['why'], WARNING_MAX)}" if view.get("why") else shown


def lacking(names: Sequence[str]) -> list[str]:
    """Return the warning about variables that the best's run had: as many names as one line holds."""
    if not names:
        return []
    lines = [_lacking(names, shown) for shown in range(len(names), 0, -1)]
    return [next((line for line in lines if len(line) < WARNING_MAX), lines[-1])]


def _lacking(names: Sequence[str], shown: int) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"missing variables, which the best's run had: {', '.join(names[:shown])}{more}; tell the person"


def bounded(warnings: Sequence[str]) -> list[str]:
    """Return the first warnings, each once and cut to its limit."""
    different = list(dict.fromkeys(short(warning, WARNING_MAX) for warning in warnings))
    return different[:WARNINGS_MAX]


def _lines(view: Answer) -> list[str]:
    if view.get("result"):
        return run_lines.verdict_lines(view, view["result"])
    return [run_lines.still_running(view, _hint(view))]


def _hint(view: Answer) -> str:
    return f"wait run_id={short(view['run_id'], ID_MAX)}"


def _outcome(view: Answer, text: str, warnings: list[str]) -> Outcome:
    seen = Outcome(
        expr=short(view["expr"], SLUG_MAX),
        run_id=short(view["run_id"], ID_MAX),
        state=str(view["state"]),
        next=WAIT,
        text=text,
        feedback=short(view.get("feedback") or "", run_lines.FEEDBACK_MAX),
        warnings=warnings,
    )
    return seen.model_copy(update=_judged(view["result"])) if view.get("result") else seen


def _judged(result: Answer) -> dict[str, Any]:
    """Return the fields that a verdict fills."""
    return {
        "next": run_lines.next_step(result),
        "status": result["status"],
        "verdict": "measure" if result.get("measure") else result["verdict"],
        "value": result["primary"].get("value"),
        "best_run": short(result["best"], ID_MAX) if result.get("best") else None,
        "best_value": result.get("best_value"),
        "train_py": result.get("train_py"),
    }
