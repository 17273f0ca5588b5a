"""A record (run.json) that a pull has changed while no daemon looked is not believed by the next one."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ardaemon.core.errors import Unfollowed
from tests.support.jobs import alive, job_of, launched
from tests.support.lab import Lab, wait_until
from tests.support.shell import UNTIL_TOLD

pytestmark = pytest.mark.promise("trust")


def at_work(lab: Lab) -> tuple[str, Path]:
    """A run whose daemon is gone, and its record."""
    run_id = launched(lab, UNTIL_TOLD.format(go=str(lab.root / "go"), value=0.5))
    lab.kill()
    return run_id, lab.folder / f"runs/{run_id}/run.json"


def edit(path: Path, work: Callable[[dict[str, Any]], object]) -> None:
    facts = json.loads(path.read_bytes())
    work(facts)
    path.write_text(json.dumps(facts))


def with_command(ran: Path) -> Callable[[dict[str, Any]], object]:
    command = f"{sys.executable} -c \"open({str(ran)!r}, 'w')\""
    return lambda facts: facts["settings"].update(metrics="custom", metric_command=command)


@pytest.mark.parametrize("signature", ["kept", "taken off"])
def test_the_metric_command_that_a_pull_brought_is_not_run_and_the_run_goes_on_when_its_record_is_back(
    lab: Lab, signature: str
) -> None:
    lab.ready()
    run_id, record = at_work(lab)
    before, ran = record.read_bytes(), lab.root / "ran"
    edit(record, with_command(ran))
    if signature == "taken off":
        edit(record, lambda facts: facts.pop("signature"))
    lab.start()
    (lab.root / "go").touch()
    wait_until((record.parent / "a1/exit.json").exists, "the end of the job")
    with pytest.raises(Unfollowed, match=f"{record} is not as the daemon wrote it"):
        lab.wait(run_id)
    record.write_bytes(before)
    wait_until(lambda: lab.get("run.get", run_id=run_id)["result"] is not None, "the verdict")
    assert lab.wait(run_id)["result"]["verdict"] == "advance"
    assert not ran.exists()


def test_a_run_whose_record_was_changed_is_given_up_by_the_command_that_is_named(lab: Lab) -> None:
    lab.ready()
    run_id, record = at_work(lab)
    job = job_of(lab, run_id)
    edit(record, lambda facts: facts["settings"].update(seconds=9))
    lab.start()
    [warning] = wait_until(lambda: lab.call("queue.list")["warnings"], "the daemon's look at it")
    assert f"rm -r {record.parent}" in warning
    assert alive(job)
    shutil.rmtree(record.parent, ignore_errors=True)  # the shim may write its record meanwhile
    assert not record.exists()
    wait_until(lambda: not alive(job), "the end of the job")
    assert lab.tried(1.0)["run_id"] == "r0002"


@pytest.mark.parametrize("lose", [Path.unlink, lambda key: os.truncate(key, 5)], ids=["gone", "broken"])
def test_a_run_at_work_goes_on_though_the_key_was_lost(lab: Lab, lose: Callable[[Path], None]) -> None:
    """The daemon that makes a new key signs the record anew, so that the one after it knows it too."""
    lab.ready()
    run_id, record = at_work(lab)
    lose(lab.home.parent / "session.key")
    for _ in range(2):
        lab.start()
        wait_until(lambda: lab.get("run.get", run_id=run_id)["state"] == "running", "the run to be found")
        lab.kill()
    edit(record, lambda facts: facts["settings"].update(seconds=9))
    lab.start()
    [warning] = wait_until(lambda: lab.call("queue.list")["warnings"], "the daemon's look at it")
    assert "is not as the daemon wrote it" in warning
