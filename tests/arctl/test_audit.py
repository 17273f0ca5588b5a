"""What `arctl audit` prints, to whom, and that no other part of the client asks for the values."""

from pathlib import Path
from typing import Any

import pytest

import arctl
from arctl.person import is_person, require_person
from arctl.render.audit import NO_AUDIT, last, lines, warned
from arctl.sandbox import AGENTS
from ardaemon.core.errors import Refused

MACHINE = "a" * 32  # this one
NASTY = "\x1b[2J\x1b]0;title\x07宽\u202e\n" * 99


def row(run_id: str, primary: float | None, value: float | None, **more: Any) -> dict[str, Any]:
    said = {"at": "", "name": "holdout", "problem": "", "seconds": 1.0, "trend": ""}
    return {"run_id": run_id, "primary": primary, "value": value, **said, **more}


def view(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    directions = {"direction": "min", "audit_direction": "max"}
    about = {"expr": "261122-lr", "command": "python audit.py", "metric": "val/loss", **directions}
    rest = {"rows": rows, "total": len(rows), "waiting": [], "at_work": None, "warning": "", "log": "/s/a"}
    return {**about, **rest, **more}


def printed(view: dict[str, Any]) -> list[str]:
    return list(lines(view, MACHINE))


def test_each_advance_has_a_row_with_the_reason_where_there_is_no_value() -> None:
    rows = (
        row("r0001", 0.982, 0.51),
        row("r0012", 0.95, 0.5, trend="worse"),
        row("r0020", None, None, problem="printed nothing"),
    )
    more = {"waiting": [f"r{n:04d}" for n in range(21, 31)], "at_work": "r0021", "total": 300}
    assert printed(view(*rows, **more)) == [
        "261122-lr: val/loss (lower is better), audit (higher is better)",
        "run    primary  audit  trend",
        "r0001  0.982    0.51",
        "r0012  0.95     0.5    worse",
        "r0020  -        -      printed nothing",
        "(300 in all)",
        "to be audited: r0021, r0022, r0023, r0024, r0025, r0026, r0027, r0028 and 2 more; at work: r0021",
        "what they printed: /s/a",
    ]
    assert last(view(*rows[:2])) == "audit 0.5 @ r0012 (worse)"
    assert last(view(*rows)) == "audit failed @ r0020"


def test_without_an_audit_it_says_how_to_have_one() -> None:
    assert printed(view(command=None)) == [NO_AUDIT]
    assert printed(view())[1:] == ["run  primary  audit  trend"]
    assert last(view()) == ""


def test_audits_that_lie_with_another_daemon_are_named_with_a_command_that_shows_them() -> None:
    """No variable leads to a daemon on another machine, though it may have the same HOME."""
    beside, afar = (f"/home/u/my state/ardaemon/{machine}" for machine in (MACHINE, "b" * 32))
    assert printed(view(elsewhere={beside: 1, afar: 2, "": 3}))[1:] == [
        "3 audits of this experiment are with another daemon: call arctl audit --expr 261122-lr with its HOME"
        " or XDG_STATE_HOME",
        "1 audit of this experiment is with the daemon that had the run (if in a container, there):"
        " XDG_STATE_HOME='/home/u/my state' arctl audit --expr 261122-lr",
        "2 audits of this experiment are with a daemon on another machine, or in a container (state folder"
        f" {afar}); there: arctl audit --expr 261122-lr",
    ]


def test_nothing_that_others_wrote_acts_on_a_terminal() -> None:
    hostile = view(
        row(NASTY, 1.0, None, problem=NASTY),
        expr=NASTY,
        metric=NASTY,
        log=NASTY,
        warning=NASTY,
        elsewhere={NASTY: 1},
    )
    for line in (*printed(hostile), warned(hostile), last(hostile)):
        assert line.isprintable(), line
        assert len(line.encode()) < 1000


def test_only_a_person_is_shown_the_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    signs = ["AR_NONINTERACTIVE", *(mark for agent in AGENTS for mark in agent.marks)]
    for sign in signs:
        monkeypatch.delenv(sign, raising=False)
    assert is_person()
    require_person("arctl audit")
    for sign in signs:
        monkeypatch.setenv(sign, "1")
        assert not is_person()
        with pytest.raises(Refused, match=f"{sign} says that an agent calls"):
            require_person("arctl audit")
        monkeypatch.setenv(sign, "0")
        assert is_person()


def test_the_commands_of_people_alone_ask_for_the_values() -> None:
    """MCP's tools and the commands of the loop do not name the method."""
    home = Path(arctl.__file__).parent
    asking = {str(path.relative_to(home)) for path in home.rglob("*.py") if '"audit.get"' in path.read_text()}
    assert asking == {"commands/audit.py", "watch/model.py"}
