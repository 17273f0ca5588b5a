"""Attempts that nobody follows: the local engine finds them by the locks that they still hold."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ardaemon.core.layout import Host, Run
from ardaemon.core.queue import Stranger
from ardaemon.core.run_record import Handle
from ardaemon.engines.local.engine import LocalEngine
from ardaemon.host import file_lock
from tests.support.engines import FolderLessor


@contextmanager
def held(*paths: str) -> Iterator[None]:
    locks = [file_lock.take(path) for path in paths]
    try:
        yield
    finally:
        for lock in locks:
            os.close(lock)


def locks(handle: Handle) -> tuple[str, str]:
    """The paths of an attempt's locks."""
    return handle.place["shim_lock"], handle.place["job_lock"]


def test_an_attempt_whose_locks_are_held_is_a_stranger_unless_it_is_known(tmp_path: Path) -> None:
    engine = LocalEngine(Host(tmp_path / "state", tmp_path / "run"), FolderLessor())
    known = engine.handle(Run(tmp_path / "one/runs/r0001"), 1)
    same_id = engine.handle(Run(tmp_path / "two/runs/r0001"), 1)
    third = engine.handle(Run(tmp_path / "two/runs/r10000"), 12)
    ended = engine.handle(Run(tmp_path / "two/runs/r0004"), 1)
    with held(ended.place["shim_lock"]):
        pass
    with held(*locks(known), same_id.place["job_lock"], *locks(third)):
        strangers = engine.strangers([known])
    expected = [Stranger(run="r0001", attempt=1), Stranger(run="r10000", attempt=12)]
    assert sorted(strangers, key=lambda stranger: stranger.run) == expected
    assert engine.strangers([]) == []


def test_another_lock_in_the_folder_is_nobodys_attempt(tmp_path: Path) -> None:
    engine = LocalEngine(Host(tmp_path / "state", tmp_path / "run"), FolderLessor())
    with held(str(engine.locks / "other.lock")):
        assert engine.strangers([]) == []
