"""Which events are worth a person's notice, and when an agent counts as idle."""

from typing import Any

import pytest

from ardaemon.core.audits import Audits, AuditValue
from ardaemon.machine import notices
from ardaemon.machine.notices import Endings, Idleness

WHOSE = {"project": "/p", "expr": "261122-lr"}
COMMITTED = {
    "event": "committed",
    **WHOSE,
    "run_id": "r0001",
    "status": "ok",
    "verdict": "revert",
    "value": 0.5,
    "reason": None,
    "terminated_by": None,
    "to_result_ms": 1.0,
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"verdict": "advance"}, [("advance", "261122-lr r0001 is the new best: 0.5")]),
        ({"status": "timeout", "verdict": "timeout"}, []),
        ({"status": "crash", "reason": "oom"}, [("crash", "261122-lr r0001 crashed: oom")]),
        ({"status": "crash", "reason": "a\x1b[31m\nb"}, [("crash", "261122-lr r0001 crashed: a b")]),
        (
            {"status": "unclean", "terminated_by": "unclean"},
            [
                ("unclean", "261122-lr r0001 left processes that cannot be killed: arctl clean"),
                ("terminated", "261122-lr r0001 the session is over: unclean"),
            ],
        ),
        (
            {"verdict": "advance", "value": None, "terminated_by": "max_runs"},
            [
                ("advance", "261122-lr r0001 is the new best"),
                ("terminated", "261122-lr r0001 the session is over: max_runs"),
            ],
        ),
    ],
)
def test_a_commit_is_worth_these_notices(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert [(n.event, n.text) for n in notices.of({**COMMITTED, **changes})] == expected


def test_a_stopped_session_and_a_sick_gpu_are_worth_notice_and_a_started_one_is_not() -> None:
    stopped, started = ({"event": "session", **WHOSE, "live": live} for live in (False, True))
    assert [n.terminated_by for n in notices.of(stopped)] == ["manual"]
    assert list(notices.of(started)) == []
    sick = {"event": "quarantined", "gpu": "GPU-5a", "why": "GPU 0 is sick"}
    assert [(n.event, n.gpu, n.text) for n in notices.of(sick)] == [
        ("gpu_quarantined", "GPU-5a", "GPU 0 is sick")
    ]


def test_the_end_of_a_session_is_new_once_whatever_was_at_work_then() -> None:
    endings = Endings()
    session = {"event": "session", **WHOSE}
    (stopped,) = notices.of({**session, "live": False})
    late = list(notices.of({**COMMITTED, "status": "crash", "terminated_by": "manual"}))
    assert [endings.is_new(notice) for notice in (stopped, *late)] == [True, True, False]
    other = notices.of({**COMMITTED, "expr": "another", "terminated_by": "manual"})
    assert [endings.is_new(notice) for notice in other] == [True]
    endings.heard({**session, "live": False})
    assert not endings.is_new(stopped)
    for again in ({**session, "live": True}, {"event": "submitted", **WHOSE}):
        endings.heard(again)
        assert endings.is_new(stopped)


def test_an_idle_agent_is_told_once_until_its_next_event() -> None:
    idleness = Idleness()
    idleness.heard({"event": "submitted", **WHOSE}, now=0.0)
    assert idleness.next_s(1.0, now=10.0) == 50.0
    assert idleness.over(1.0, now=59.0) == []
    assert idleness.over(1.0, now=60.0) == [("/p", "261122-lr")]
    assert idleness.over(1.0, now=600.0) == []
    assert idleness.next_s(1.0, now=600.0) is None
    idleness.heard(COMMITTED, now=600.0)
    assert idleness.over(1.0, now=660.0) == [("/p", "261122-lr")]


@pytest.mark.parametrize(
    "end", [{**COMMITTED, "terminated_by": "plateau"}, {"event": "session", **WHOSE, "live": False}]
)
def test_nobody_is_idle_after_the_session(end: dict[str, Any]) -> None:
    idleness = Idleness()
    idleness.heard(COMMITTED, now=0.0)
    idleness.heard(end, now=1.0)
    idleness.heard({"event": "config", "changed": ["grace"]}, now=2.0)
    assert idleness.next_s(1.0, now=3.0) is None
    assert idleness.over(None, now=9e9) == []


def test_an_audit_is_worth_notice_where_it_failed_or_does_not_confirm_and_names_no_run_in_a_field() -> None:
    primaries, values = (1.0, 0.9, 0.8, 0.7), (5.0, 5.1, 5.2, 5.3)
    audits = [
        AuditValue(run_id=f"r{n:04d}", submit_id="", at="", primary=primary, value=value)
        for n, (primary, value) in enumerate(zip(primaries, values, strict=True), 1)
    ]
    assert notices.audit("/p", "261122-lr", Audits(folder="", values=tuple(audits[:3]))) is None
    notice = notices.audit("/p", "261122-lr", Audits(folder="", values=tuple(audits)))
    assert notice is not None
    assert (notice.event, notice.run_id) == ("audit", None)
    assert notice.text.startswith("261122-lr in the last 3 advances the primary metric went from 1 to 0.7")
    assert notice.text.endswith("5 @ r0001 before, 5.1 @ r0002 at best since")
    failed = AuditValue(run_id="r0005", submit_id="", at="", problem="exited 1: \x1b[31mno data")
    notice = notices.audit("/p", "261122-lr", Audits(folder="", values=(*audits, failed)))
    assert notice is not None
    assert notice.text == "261122-lr the audit of r0005 says nothing: exited 1: no data"
