"""Who may take a project, by what is seen of its owner: facts in, decision out."""

from msgspec.structs import replace

from ardaemon.core.locking import Lock
from ardaemon.core.project_owner import STALE_S, ProjectOwner, Seen, Standing, standing
from tests.support.every import every

ME = ProjectOwner(
    host="node1",
    machine="m1",
    boot_id="b1",
    pid_namespace=1,
    pid=10,
    start=100,
    uid=1000,
    state="/home/ann/s",
    key="k1",
    since="2026-11-22T10:00:00Z",
)
EARLIER = replace(ME, pid=9)  # of the same state folder, which has one daemon at a time
OTHER = replace(ME, pid=20, state="/home/ann/other", key="k2")
RESTED = replace(OTHER, active=False)
CONTAINER = replace(OTHER, machine="", host="c0ffee", pid_namespace=2, state=ME.state)
BOOTED = replace(OTHER, boot_id="b0")
FAR = replace(OTHER, host="node2", machine="m2", boot_id="b2")
USER = replace(OTHER, uid=1001)
CASES: list[tuple[str, ProjectOwner | None, Lock, bool | None, Standing]] = [
    ("nobody", None, "free", None, "own"),
    ("one whose record cannot be read", None, "held", None, "busy"),
    ("one whose record cannot be read, where there are no locks", None, "unknown", True, "busy"),
    ("nobody, where there are no locks", None, "unknown", False, "own"),
    ("a daemon of mine that was killed", EARLIER, "free", False, "own"),
    ("a daemon of mine that was killed, where there are no locks", EARLIER, "unknown", False, "own"),
    ("a copy of my state folder", replace(OTHER, key="k1"), "free", False, "left"),
    ("another one with a run", OTHER, "held", True, "busy"),
    ("another one with a run, where there are no locks", OTHER, "unknown", True, "busy"),
    ("another one without a run", RESTED, "held", True, "resting"),
    ("another one that has ended and left runs", OTHER, "free", False, "left"),
    ("another one that has ended", RESTED, "free", False, "own"),
    ("a container's", CONTAINER, "held", None, "busy"),
    ("a container's that is gone", CONTAINER, "free", None, "left"),
    ("a container's, where there are no locks", CONTAINER, "unknown", None, "host"),
    ("one of before the last boot", BOOTED, "free", None, "left"),
    ("another host's, whose lock is seen", FAR, "held", None, "busy"),
    ("another host's, on a disk of this one", FAR, "free", None, "left"),
    ("another host's without a run, on a disk of this one", replace(FAR, active=False), "free", None, "own"),
    ("another user's", USER, "held", True, "user"),
    ("another user's that has left runs", USER, "free", False, "user"),
    ("another user's that has ended", replace(USER, active=False), "free", False, "own"),
]


@every("who, record, lock, lives, expected", CASES, ids=lambda case: case[0])
def test_who_may_take_a_project(
    who: str, record: ProjectOwner | None, lock: Lock, lives: bool | None, expected: Standing
) -> None:
    assert standing(Seen(record, lock, lives), ME) == expected, who


UP_S = 500.0  # this machine was started so long ago
TWIN = replace(OTHER, boot_id="b2")  # of this machine before its last boot, or of one that has its name
MINE = replace(EARLIER, boot_id="b2")
SHARED: list[tuple[str, ProjectOwner, Lock, float | None, Standing]] = [
    ("another host's", FAR, "free", 0.0, "host"),
    ("another host's, of which nobody knows the age", FAR, "free", None, "host"),
    ("another host's whose clock is ahead", FAR, "free", -9e9, "host"),
    ("another host's a moment before its lease is over", FAR, "free", STALE_S - 1, "host"),
    ("another host's whose lease is over", FAR, "free", STALE_S, "stale"),
    ("another host's whose lock is seen, whatever its lease", FAR, "held", STALE_S, "busy"),
    ("another host's without a run", replace(FAR, active=False), "free", 0.0, "resting"),
    ("another host's without a run whose lease is over", replace(FAR, active=False), "free", STALE_S, "own"),
    ("another host's, where there are no locks", FAR, "unknown", 0.0, "host"),
    ("one of before the last boot", TWIN, "free", UP_S, "left"),
    ("one of before the last boot, where there are no locks", TWIN, "unknown", UP_S, "left"),
    ("mine of before the last boot", MINE, "free", UP_S, "own"),
    ("one of a node with the same name and machine-id", TWIN, "free", UP_S - 1, "host"),
    ("one of such a node, of the same state folder", MINE, "free", UP_S - 1, "host"),
    ("a container's, where there are no locks", CONTAINER, "unknown", 0.0, "host"),
    ("a container's whose lease is over, where there are no locks", CONTAINER, "unknown", STALE_S, "stale"),
]


@every("who, record, lock, renewed_s, expected", SHARED, ids=lambda case: case[0])
def test_who_may_take_a_project_that_other_machines_may_have(
    who: str, record: ProjectOwner, lock: Lock, renewed_s: float | None, expected: Standing
) -> None:
    seen = Seen(record, lock, None, local=False, renewed_s=renewed_s)
    assert standing(seen, ME, UP_S) == expected, who
