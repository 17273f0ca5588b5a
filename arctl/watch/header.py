"""The upper part of the screen: the experiment, its limits, its chain, its agent. Pure: no I/O.

`now` is seconds since 1970.
"""

import re
from collections.abc import Iterator
from datetime import datetime

from arctl.dial import Answer
from arctl.render import audit as audit_lines
from arctl.render import status as status_lines
from arctl.render.line import ID_MAX, NAME_MAX, SLUG_MAX, WHY_MAX
from arctl.watch.model import Model, key_of
from arctl.watch.paint import GAP, Line, Piece, ago, bar, packed, safe
from arctl.watch.rows import note, verdict
from ardaemon.core.line import number

BAR = 5  # columns of a limit's bar
NEARLY = 0.8  # of a limit: from here on its bar is a warning
WARNINGS_MAX = 2  # lines; `arctl status` has all
AT_MOST = re.compile(r"([\d.]+)/([\d.]+)")


def header(model: Model, width: int, now: float) -> Iterator[Line]:
    """Yield what is known of the experiment: the best, the limits, the chain, the agent."""
    link = ("bad", f"not connected: {safe(model.lost, WHY_MAX)}") if model.lost else ("good", "live")
    yield ("title", f" {safe(model.place[1], SLUG_MAX)} "), ("dim", GAP), link
    if not model.status:
        return
    yield tuple(_best(model.status))
    yield from packed(_limits(model.status), width)
    yield from _audit(model.audit)
    for warning in (model.status.get("warnings") or ())[:WARNINGS_MAX]:
        yield (("bad", f" {safe(warning, WHY_MAX)}"),)
    if model.chain:
        yield tuple(_chain(model.chain, model.place[1]))
    yield _agent(model, now)


def _best(status: Answer) -> Iterator[Piece]:
    primary, best = status["contract"]["primary"], status.get("best")
    yield "", f" {safe(primary['metric'], NAME_MAX)} ({primary['direction']}) "
    if best is None:
        yield "dim", "no best yet"
    else:
        yield "best", f"best {number(best['value'])} @ {safe(best['run_id'], ID_MAX)}"
        if not best.get("valid", True):
            yield "bad", " violates a constraint"
    yield "dim", GAP
    yield "", status_lines.counted(status["session"]["counters"])
    if status.get("unclean"):
        yield "bad", " UNCLEAN: arctl clean"


def _limits(status: Answer) -> Iterator[Line]:
    """Yield whether the session is live, then each of its limits; those that count have a bar."""
    session = status["session"]
    yield (("" if session.get("live") else "warn", f" session {status_lines.liveness(session)}"),)
    for limit in status_lines.limits(status).split(", "):
        yield (("dim", GAP), ("", limit), *_bar_of(limit))


def _bar_of(limit: str) -> Iterator[Piece]:
    if (used := AT_MOST.search(limit)) and float(used[2]):
        share = float(used[1]) / float(used[2])
        yield ("warn" if share >= NEARLY else "dim"), f" {bar(share, BAR)}"


def _audit(view: Answer) -> Iterator[Line]:
    """Yield the last audit and what waits, then the warning that it does not confirm the advances."""
    if not view or (view["command"] is None and not view["rows"]):
        return
    said = (audit_lines.last(view), *audit_lines.waiting(view))
    yield (("", f" {' · '.join(filter(None, said)) or 'audit: none yet'}"),)
    if warning := audit_lines.warned(view):
        yield (("bad", f" {warning}"),)


def _chain(chain: Answer, expr: str) -> Iterator[Piece]:
    left = chain.get("chain_remaining")
    yield "", f" chain, {'unlimited' if left is None else f'{left} left'}: "
    if chain.get("earlier"):
        yield "dim", f"{chain['earlier']} earlier → "
    for place, link in enumerate(chain.get("links") or ()):
        yield "dim", " → " if place else ""
        yield ("title" if link["expr"] == expr else ""), safe(link["expr"], SLUG_MAX)


def _agent(model: Model, now: float) -> Line:
    """Say what the agent is doing, as far as it can be told by its runs."""
    ours = [run for run in model.runs if key_of(run)[:2] == model.place and not run.get("of")]
    if ours:
        last = max(ours, key=_submitted)
        since = _since(last.get("submitted_at"), now)
        return ("", f" agent: last submit {safe(last['run_id'], ID_MAX)}, {since} ago"), ("dim", note(last))
    rows = model.status.get("recent") or ()
    if not rows:
        return (("dim", " agent: nothing submitted yet"),)
    last = rows[-1]
    doing = "thinking for" if model.status["session"].get("live") else "nothing submitted for"
    since = _since(last.get("ended_at"), now)
    return (("", f" agent: {doing} {since}, since {safe(last['run_id'], ID_MAX)}: {verdict(last)}"),)


def _submitted(run: Answer) -> tuple[str, int, str]:
    """Return what sorts runs by their submit; of the same second the higher id is later."""
    return str(run.get("submitted_at") or ""), len(run["run_id"]), str(run["run_id"])


def _since(moment: object, now: float) -> str:
    try:
        return ago(now - datetime.fromisoformat(str(moment)).timestamp())
    except ValueError:
        return "?"
