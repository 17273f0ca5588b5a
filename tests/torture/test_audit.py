"""SIGKILL of the daemon, or a full disk, before each operation of a hidden audit: each is recorded once."""

import errno
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from tests.support.faulty import TAKES_SPACE
from tests.support.lab import Lab, wait_until
from tests.support.promises import FULL, some
from tests.torture.points import Point, Record, none_wrong, points, recorded, world
from tests.torture.story import PRINT, SAVE, Candidate, Story

QUICK = 3
# Each audit leaves a mark.
AUDIT = """import os
home = os.environ["AR_EXPR_DIR"]
with open(home + "/../../audits", "a") as file:
    file.write(os.environ["AR_RUN_ID"] + "\\n")
with open(os.environ["AR_CHECKPOINT"] + "/state.pt") as file:
    print('{"holdout": %d}' % len(file.read()))
"""


class AuditStory(Story):
    """A baseline, a run that is no better, and one that is."""

    candidates = (
        Candidate("baseline", SAVE.format(name="baseline") + PRINT.format(value=1.0), "advance"),
        Candidate("worse", PRINT.format(value=2.0), "revert"),
        Candidate("better", SAVE.format(name="better") + PRINT.format(value=0.5), "advance"),
    )
    settings: ClassVar[Mapping[str, Any]] = {**Story.settings, "audit": "python -I -S audit.py"}

    def begin(self) -> None:
        """The audit is there before the session that seals it."""
        (self.lab.project / "audit.py").write_text(AUDIT)
        super().begin()

    def settled(self) -> None:
        """Every audit is recorded; what strikes one may do so after the last verdict."""
        super().settled()
        wait_until(self._all_audited, "the audits")
        self.mend()

    def _all_audited(self) -> bool:
        self.mend()
        view = self.insist(lambda: self.lab.get("audit.get"))
        return len(view["rows"]) == 2 and not view["waiting"]


def each_audit_recorded_once(lab: Lab, _story: Story, point: Point) -> None:
    """Two advances, two values; one audit may have been run twice, but none that was recorded."""
    rows = [(row["run_id"], row["value"], row["problem"]) for row in lab.get("audit.get")["rows"]]
    assert rows == [
        ("r0001", 99.0 * len("state of baseline"), ""),
        ("r0003", 99.0 * len("state of better"), ""),
    ]
    marks = (lab.project / "audits").read_text().splitlines()
    assert sorted({*marks}) == ["r0001", "r0003"]
    assert len(marks) <= 2 + (not is_after_record(point))
    assert not any((lab.home / "audits-waiting").iterdir())


def is_after_record(point: Point) -> bool:
    """Whether the daemon is struck when an audit is recorded and its entry is not gone yet."""
    return point.name == "unlink" and "audits-waiting" in point.subject


@pytest.fixture(scope="module")
def found() -> list[Point]:
    """What the daemon does for audits in the undisturbed story."""
    with world() as lab:
        operations, _ = recorded(lab, AuditStory)
    ours = [point for point in points(operations) if point.who == "daemon" and "/audits" in point.subject]
    mine = [point for point in ours if point.name != "symlink"]  # a job's link to the marks
    assert len(mine) > 20, "the story has become too short to prove anything"
    return mine


@pytest.mark.timeout(900 if FULL else 120)
@pytest.mark.promise("audit")
def test_an_audit_is_recorded_once_whenever_the_daemon_is_killed(
    found: list[Point], record_property: Record
) -> None:
    ends = [point for point in found if is_after_record(point)]
    mine = list(dict.fromkeys([*some(found, QUICK), ends[0]]))
    none_wrong(mine, "kill", each_audit_recorded_once, record_property, AuditStory)


@pytest.mark.timeout(900 if FULL else 120)
@pytest.mark.promise("audit")
def test_a_full_disk_puts_an_audit_off_and_loses_none(found: list[Point], record_property: Record) -> None:
    mine = [point for point in found if point.name in TAKES_SPACE]
    begins = [point for point in mine if "/active/" in point.subject]
    mine = list(dict.fromkeys([*some(mine, QUICK - 1), begins[0]]))
    none_wrong(mine, errno.ENOSPC, each_audit_recorded_once, record_property, AuditStory)
