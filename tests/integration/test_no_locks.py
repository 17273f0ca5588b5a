"""A real disk without working locks, as NFS without lockd is: projects and the daemon's folders on it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.errors import OwnedElsewhere, Unfollowed
from ardaemon.core.layout import boot_id
from ardaemon.core.project_owner import STALE_S
from tests.support import elsewhere
from tests.support.lab import SLUG, Lab, wait_until
from tests.support.lockless import Locks, mounted
from tests.support.shell import Shell
from tests.support.two_daemons import KEY, PROMPT, adopted, owner, pair, rows, waiting

pytestmark = pytest.mark.promise("one-owner")


@contextmanager
def pair_on(lab: Lab, locks: Locks) -> Iterator[tuple[Lab, Lab]]:
    """Two daemons and one project, which lies on such a disk."""
    with mounted(lab.root / "disk", lab.project, locks), pair(lab) as both:
        yield both
        lab.stop()  # before the disk goes


def test_a_project_without_locks_has_one_owner_too_and_what_a_killed_one_left_is_adopted(lab: Lab) -> None:
    told = f"the file system of {lab.project} has no locks"
    with pair_on(lab, "none") as (one, other):
        go = waiting(one)
        assert told in Shell(one)("doctor")
        other.start(PROMPT)
        with pytest.raises(OwnedElsewhere, match=f"pid {one.pid}"):
            other.submit()
        one.kill()
        with pytest.raises(OwnedElsewhere, match="has ended, and has left runs"):
            other.submit()
        assert adopted(other)["runs"] == [f"{SLUG}/r0001"]
        go()
        assert other.wait("r0001")["result"]["verdict"] == "advance"
        wait_until(lambda: owner(one) is None, "it to let go")
        assert told in Shell(other)("doctor")  # also while nobody has it
        one.start(PROMPT).get("session.stop")
        assert told in " ".join(one.session(resume="continue", gpus=0)["warnings"])
        assert one.tried(0.4)["run_id"] == "r0002"
        assert rows(one) == ["r0001", "r0002"]
        other.stop()


@contextmanager
def host(lab: Lab) -> Iterator[tuple[str, ...]]:
    """Another host that has mounted the same disk at the same place; the words that lead there."""
    if not elsewhere.can():
        pytest.skip("needs root and namespaces, for another host")
    boot = lab.root / "boot_id"
    boot.write_text(f"{boot_id()[:-1]}x\n")
    with mounted(lab.root / "disk", lab.root / "far", "own"), elsewhere.container() as words:
        for there, here in ((boot, "/proc/sys/kernel/random/boot_id"), (lab.root / "far", lab.project)):
            elsewhere.within(words, "mount", "--bind", there, here)
        yield words


def test_where_two_hosts_see_no_lock_of_each_other_one_has_the_project_until_its_lease_is_over(
    lab: Lab,
) -> None:
    with pair_on(lab, "own") as (one, other), host(lab) as other.within:
        go = waiting(one)
        (other.state_home / KEY).unlink()  # its user's home is another one
        other.start(PROMPT)
        with pytest.raises(OwnedElsewhere, match="a daemon on another host works in"):
            other.submit()
        one.kill()
        with pytest.raises(OwnedElsewhere, match="a daemon on another host works in"):
            adopted(other)
        record = one.project / ".autoresearch/.owner"
        os.utime(record, (0, record.stat().st_mtime - STALE_S))
        taken = wait_until(lambda: taken_over(other), "the other host to see that the lease is over")
        assert taken["unseen"] == [
            f"{SLUG}/r0001: its job may be at work on {json.loads(record.read_bytes())['host']}"
        ]
        other.edit(0.9)
        assert other.run()["run_id"] == "r0002"
        other.stop()
        go()
        one.start(PROMPT)  # that host is back; what it sees of the disk may be a second old
        ended = wait_until(lambda: followed(one), "it to have the project, and the run")
        assert ended["result"]["verdict"] == "advance"
        assert rows(one) == ["r0002", "r0001"]


def followed(lab: Lab) -> dict[str, Any] | None:
    """The run, once it is over; None while nobody follows it."""
    try:
        return lab.wait("r0001")
    except Unfollowed:
        return None


def taken_over(lab: Lab) -> dict[str, object] | None:
    """What a person takes over; None while the owner may live."""
    try:
        answer: dict[str, object] = lab.call("project.adopt", project=str(lab.project), take_over=True)
    except OwnedElsewhere:
        return None
    return answer


@pytest.mark.parametrize(("variable", "folder"), [("XDG_STATE_HOME", "s"), ("XDG_RUNTIME_DIR", "r")])
def test_the_daemons_own_folders_need_locks_and_where_they_have_none_it_says_which_and_what_to_do(
    lab: Lab, variable: str, folder: str
) -> None:
    with mounted(lab.root / "disk", lab.root / folder, "none"):
        (lab.root / folder).chmod(0o700)
        shell = Shell(lab)
        code, _, err = shell.end(shell.start("status"))
        assert code == 74
        assert f"the file system of {lab.root / folder}/ardaemon" in err
        assert f" has no locks, and the daemon needs them there\n→ set {variable} in" in err
        checks = {check["name"]: check for check in shell.json("doctor", code=65)["checks"]}
        failed = checks["state folder" if folder == "s" else "runtime folder"]
        assert (failed["level"], variable in failed["mend"]) == ("FAIL", True)
        assert [path for path in Path(lab.root / folder).rglob("*") if path.name.startswith(".locks")] == []
