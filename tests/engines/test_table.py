"""Several engines as one: each attempt is its own engine's, and an engine that is not here harms no run."""

import os
from pathlib import Path

import anyio
import pytest
from msgspec.structs import replace

from ardaemon.core.errors import UnknownSchema
from ardaemon.core.layout import Host, Run
from ardaemon.core.queue import Stranger
from ardaemon.engines.base import Engine, NeverStarted, Running
from ardaemon.engines.local.engine import LocalEngine
from ardaemon.engines.local.records import place_of
from ardaemon.engines.table import Engines
from ardaemon.host import file_lock
from tests.support.engines import FolderLessor


class OtherEngine(LocalEngine):
    """A second engine, with locks of its own."""

    name = "other"


@pytest.fixture
def local(tmp_path: Path) -> LocalEngine:
    return LocalEngine(Host(tmp_path / "s", tmp_path / "local"), FolderLessor(), pids_max=None)


@pytest.fixture
def other(tmp_path: Path) -> OtherEngine:
    return OtherEngine(Host(tmp_path / "s", tmp_path / "other"), FolderLessor(), pids_max=None)


@pytest.fixture
def engines(local: LocalEngine, other: OtherEngine) -> Engine:
    return Engines({"local": local, "other": other}, default="local")


def test_a_new_attempt_is_the_default_engines(engines: Engine, local: LocalEngine, tmp_path: Path) -> None:
    run = Run(tmp_path / "r0001")
    assert engines.handle(run, 1) == local.handle(run, 1)


def test_each_engine_is_asked_for_its_own_attempts(
    engines: Engine, local: LocalEngine, other: OtherEngine, tmp_path: Path
) -> None:
    run = Run(tmp_path / "r0001")
    run.attempt(1).folder.mkdir(parents=True)
    here, there = local.handle(run, 1), other.handle(run, 1)
    lock = file_lock.take(place_of(there).shim_lock)
    assert isinstance(engines.probe(there), Running)
    assert isinstance(engines.probe(here), NeverStarted)
    assert engines.strangers([here]) == [Stranger(run="r0001", attempt=1)]
    assert engines.strangers([here, there]) == []
    os.close(lock)
    engines.sweep([here, there])
    assert len(list(other.locks.iterdir())) == 1, "of an attempt that is known"
    engines.sweep([here])
    assert list(other.locks.iterdir()) == []


def test_all_engines_are_kept_ready_and_closed(
    engines: Engine, local: LocalEngine, other: OtherEngine
) -> None:
    anyio.run(engines.keep_ready)
    spares = [engine.starter.spare for engine in (local, other)]
    assert all(spare is not None and spare.usable for spare in spares)
    engines.close()
    assert not any(spare is not None and spare.usable for spare in spares)


def test_an_attempt_of_an_engine_that_this_version_does_not_have_is_refused(
    engines: Engine, local: LocalEngine, tmp_path: Path
) -> None:
    strange = replace(local.handle(Run(tmp_path / "r0001"), 1), engine="cloud")
    with pytest.raises(UnknownSchema, match=r"r0001/run\.json names the engine 'cloud'"):
        engines.check(strange)
