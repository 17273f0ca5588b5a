"""A project that a daemon of another host has: its lease, and a person who takes it over."""

import json
import os
from collections.abc import Iterator

import pytest

from ardaemon.core.errors import OwnedElsewhere
from ardaemon.core.project_owner import STALE_S
from tests.support.lab import SLUG, Lab, wait_until
from tests.support.shell import Shell
from tests.support.two_daemons import KEY, adopted, owner, pair, rows, waiting

pytestmark = pytest.mark.promise("one-owner")
SHARED = "tests.support.shared"


@pytest.fixture
def two(lab: Lab) -> Iterator[tuple[Lab, Lab]]:
    """The daemon of a host, and one of another host that has the project's disk as well."""
    with pair(lab) as both:
        (both[1].state_home / KEY).unlink()  # its user's home is another one
        yield both


def die_far_away(lab: Lab) -> None:
    """End the daemon, as that of a host that cannot be reached: its job goes on there."""
    lab.kill()
    file = lab.project / ".autoresearch/.owner"
    record = {**json.loads(file.read_bytes()), "host": "node2", "machine": "m2", "boot_id": "b2"}
    file.write_text(json.dumps(record))


def test_a_run_whose_job_may_be_at_work_in_another_container_is_left_to_it(two: tuple[Lab, Lab]) -> None:
    one, other = two
    go = waiting(one)
    one.kill()
    file = one.project / ".autoresearch/.owner"
    file.write_text(json.dumps({**json.loads(file.read_bytes()), "pid_namespace": 1}))
    other.start(SHARED)
    assert adopted(other)["unseen"] == [f"{SLUG}/r0001: its job may be at work in another container"]
    other.edit(0.9)
    again = one.read("runs/r0001/run.json")["submit_id"]  # a client that has had no answer
    assert other.submit(submit_id=again)["run_id"] == "r0002"
    assert other.wait("r0002")["result"] is not None
    other.stop()
    go()
    one.start(SHARED)  # the container is there again
    assert one.wait("r0001")["result"]["verdict"] == "advance"


def silent(lab: Lab) -> None:
    """Let its last sign of life be as long ago as a lease lasts."""
    file = lab.project / ".autoresearch/.owner"
    os.utime(file, (0, file.stat().st_mtime - STALE_S))


def test_what_another_host_has_left_is_taken_over_by_a_person_alone_and_its_job_is_left_to_it(
    two: tuple[Lab, Lab],
) -> None:
    one, other = two
    go = waiting(one)
    one.edit(0.7)
    queued = one.submit()["run_id"]
    die_far_away(one)
    other.start(SHARED)
    with pytest.raises(OwnedElsewhere, match="on another host works in") as caught:
        other.submit()
    assert "10 minutes after its last sign" in caught.value.mend
    silent(one)
    shell = Shell(other)
    code, _, err = shell.end(shell.start("adopt"))
    assert (code, "arctl adopt --take-over" in err) == (65, True), err
    nobody = {**other.environment, "AR_NONINTERACTIVE": "1"}
    code, _, err = shell.end(shell.start("adopt", "--take-over", env=nobody))
    assert (code, "is for a person" in err) == (64, True), err
    said = shell("adopt", "--take-over", "--project", str(other.folder)).splitlines()
    assert said == [
        f"{SLUG}/{queued} goes on here",
        f"{SLUG}/r0001 does not: its job may be at work on node2",
    ]
    assert other.wait(queued)["result"] is not None
    assert other.tried(0.9)["run_id"] == "r0003"
    wait_until(lambda: owner(other) is None, "it to let go")
    go()
    one.start(SHARED)  # the host is back
    assert one.wait("r0001")["result"]["verdict"] == "advance"
    assert rows(one) == [queued, "r0003", "r0001"]


def test_where_a_disk_has_no_locks_the_record_keeps_others_out_and_that_is_told(
    two: tuple[Lab, Lab],
) -> None:
    one, other = two
    one.stop()
    one.start(SHARED, NO_LOCKS="1")
    one.get("session.stop")
    told = f"the file system of {one.project} has no locks"
    assert told in " ".join(one.session(resume="continue", gpus=0)["warnings"])
    go = waiting(one)
    other.start(SHARED, NO_LOCKS="1")
    with pytest.raises(OwnedElsewhere, match=f"pid {one.pid}"):
        other.submit()
    assert told in Shell(one)("doctor")
    go()
    assert one.wait("r0001")["result"]["verdict"] == "advance"
