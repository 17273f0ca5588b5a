"""Where an attempt is, as run.json has it: written by this version or an earlier one, or not whole."""

import errno
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ardaemon.core import files
from ardaemon.core.errors import CorruptState, StorageError
from ardaemon.core.layout import Host, Run
from ardaemon.core.run_record import Handle, Launching
from ardaemon.engines.base import Finished, Lost, NeverStarted, Running
from ardaemon.engines.local.engine import LocalEngine
from ardaemon.engines.local.records import Given, place_of
from ardaemon.host import file_lock
from tests.support.engines import FolderLessor
from tests.support.older import as_before

OTHER_BOOT = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def engine(tmp_path: Path) -> LocalEngine:
    return LocalEngine(Host(tmp_path / "state", tmp_path / "run"), FolderLessor())


@pytest.fixture
def handle(engine: LocalEngine, tmp_path: Path) -> Handle:
    made = engine.handle(Run(tmp_path / "r0001"), 1)
    Path(made.folder).mkdir(parents=True)
    return made


def read(facts: dict[str, Any]) -> Handle:
    """The handle as it is read from run.json."""
    return msgspec.json.decode(json.dumps({"state": "launching", "handle": facts}), type=Launching).handle


def facts_of(handle: Handle) -> dict[str, Any]:
    """The handle as it stands in run.json."""
    facts: dict[str, Any] = json.loads(msgspec.json.encode(handle))
    return facts


def test_a_handle_is_written_with_its_place_and_without_what_earlier_versions_wrote(handle: Handle) -> None:
    assert facts_of(handle).keys() == {"engine", "attempt", "folder", "place"}
    assert facts_of(handle)["place"].keys() == {"shim_lock", "job_lock", "boot_id"}
    assert read(facts_of(handle)) == handle


def test_a_handle_of_an_earlier_version_leads_to_the_same_place_and_keeps_what_it_had(
    engine: LocalEngine, handle: Handle
) -> None:
    before = as_before(facts_of(handle))
    assert before.keys() == {"engine", "attempt", "folder", "shim_lock", "job_lock", "boot_id"}
    old = read(before)
    assert place_of(old) == place_of(handle)
    assert facts_of(old) == {**before, "place": {}}
    assert read(facts_of(old)) == old
    engine.check(old)
    lock = file_lock.take(place_of(handle).shim_lock)
    assert isinstance(engine.probe(old), Running)
    assert engine.strangers([old]) == []
    os.close(lock)
    assert isinstance(engine.probe(old), NeverStarted)
    engine.forget(old)
    assert list(engine.locks.iterdir()) == []


@pytest.mark.promise("wishes")
def test_a_shim_that_ends_before_it_has_begun_is_not_taken_for_its_job(
    engine: LocalEngine, handle: Handle
) -> None:
    """A cancel comes before it can hear it: it dies, its lock is free, and for a moment it is there still."""
    with subprocess.Popen(["sleep", "60"]) as ending:
        lock = file_lock.take(place_of(handle).shim_lock)
        given = Given(cgroup="", pids_cgroup="", deadline=1e9, over_by=1e9)
        file_lock.name_holder(lock, ending.pid, msgspec.json.encode(given))
        os.close(lock)
        try:
            assert isinstance(engine.probe(handle), NeverStarted)
        finally:
            ending.kill()


@pytest.mark.parametrize("old", [False, True], ids=["this version", "an earlier version"])
def test_an_attempt_of_another_boot_is_lost_and_what_survived_its_end_survived_in_that_boot(
    engine: LocalEngine, handle: Handle, old: bool
) -> None:
    facts = facts_of(handle)
    facts["place"]["boot_id"] = OTHER_BOOT
    other = read(as_before(facts) if old else facts)
    assert engine.probe(other) == Lost(ending="host_restart")
    end = {"schema": 1, "ending": "limit", "survivors": [{"pid": 1, "start": 2, "name": "python"}]}
    (Path(handle.folder) / "exit.json").write_text(json.dumps(end))
    found = engine.probe(other)
    assert isinstance(found, Finished)
    assert (found.restarted, found.boot_id, found.exit.survivors[0].pid) == (True, OTHER_BOOT, 1)
    here = engine.probe(handle)
    assert isinstance(here, Finished)
    assert (here.restarted, here.boot_id) == (False, engine.boot)


@pytest.mark.parametrize("missing", ["shim_lock", "job_lock", "boot_id"])
def test_a_handle_that_is_not_whole_is_refused_by_the_name_of_its_file(
    engine: LocalEngine, handle: Handle, missing: str
) -> None:
    facts = facts_of(handle)
    del facts["place"][missing]
    for broken in (read(facts), read(as_before(facts))):
        with pytest.raises(CorruptState, match=f"r0001/run.json .*{missing}"):
            engine.check(broken)


@pytest.mark.promise("disk-error")
def test_a_file_that_the_disk_does_not_give_is_not_taken_for_one_that_is_not_there(
    engine: LocalEngine, handle: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt that has ended would be lost, and one that has begun would be launched again."""
    assert isinstance(engine.prober.probe(handle), NeverStarted)

    def refuse(path: os.PathLike[str], *_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO), os.fspath(path))

    monkeypatch.setattr(files, "read", refuse)
    with pytest.raises(StorageError, match="Input/output error"):
        engine.prober.probe(handle)
