"""The worker that reads sources: late, killed or idle, it takes nothing else with it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import anyio.from_thread
import pytest
from anyio.from_thread import BlockingPortal

from ardaemon.source import reader
from ardaemon.source.normal import AST, raw
from ardaemon.source.reader import Reader
from tests.support.lab import DEADLINE_S, wait_until

SLOW = b'f"' + b"{x}" * 120_000 + b'"'  # some 17 s of Python's parser


class Asked:
    """A reader in a loop of its own."""

    def __init__(self, portal: BlockingPortal, source: Reader) -> None:
        self.portal, self.source = portal, source

    def normal(self, source: bytes) -> str:
        return self.portal.call(self.source.normal, source)

    @property
    def pid(self) -> int | None:
        worker = self.source._worker
        return None if worker is None else worker.process.pid


@contextmanager
def asking(idle_s: float = 60.0) -> Iterator[Asked]:
    with anyio.from_thread.start_blocking_portal() as portal:
        ready: list[Reader] = []

        async def serve() -> None:
            async with anyio.create_task_group() as tasks:
                ready.append(Reader(tasks, idle_s))
                try:
                    await anyio.sleep_forever()
                finally:
                    ready[0].close()

        served = portal.start_task_soon(serve)
        wait_until(lambda: ready, "the reader to be made")
        try:
            yield Asked(portal, ready[0])
        finally:
            served.cancel()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker is not late because the machine is busy."""
    monkeypatch.setattr(reader, "NORMAL_S", DEADLINE_S)


@pytest.fixture
def asked() -> Iterator[Asked]:
    with asking() as found:
        yield found


def test_sources_are_read_by_one_process_that_ends_with_the_daemon() -> None:
    with asking() as asked:
        assert not asked.source._worker, "it is started when it is first needed"
        assert asked.normal(b"x = 1") == asked.normal(b"x = 1 # one") != asked.normal(b"x = 2")
        pid = asked.pid
        assert pid is not None
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "the worker to be gone")


def test_a_source_that_takes_too_long_is_known_by_its_bytes(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked.normal(b"x = 1")
    pid = asked.pid
    monkeypatch.setattr(reader, "NORMAL_S", 0.3)
    assert asked.normal(SLOW) == raw(SLOW)  # its normal form would be another one
    assert not os.path.exists(f"/proc/{pid}"), "nothing goes on parsing it"
    monkeypatch.setattr(reader, "NORMAL_S", DEADLINE_S)
    assert asked.normal(b"x = 1").startswith(AST)


def test_a_worker_that_was_killed_is_replaced(asked: Asked) -> None:
    asked.normal(b"x = 1")
    assert asked.pid is not None
    os.kill(asked.pid, signal.SIGKILL)
    asked.normal(b"x = 1")
    assert asked.normal(b"x = 1").startswith(AST)


def test_a_large_source_goes_through_in_pieces(asked: Asked) -> None:
    text = b"x = '" + b"a" * 900_000 + b"'"
    assert asked.normal(text) == asked.normal(text + b"  # a comment")
    assert asked.normal(text).startswith(AST)


def test_an_idle_worker_ends_and_the_next_question_starts_another() -> None:
    with asking(idle_s=0.1) as asked:
        asked.normal(b"x = 1")
        wait_until(lambda: asked.pid is None, "the worker to be ended")
        assert asked.normal(b"x = 1").startswith(AST)


def test_what_an_edit_changed_arrives_as_types(asked: Asked) -> None:
    found = asked.portal.call(asked.source.edit, b"lr = 1\n", b"lr = 2\n# why\n")
    assert [(one.name, one.before, one.after) for one in found.changes] == [("lr", "1", "2")]
    assert (found.added, found.removed, found.lines) == (2, 1, 1)
    assert found.normal == asked.normal(b"lr = 2")


def test_the_worker_has_nothing_of_the_users_environment(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AR_SECRET", "s3cret")
    asked.normal(b"x = 1")
    assert asked.pid is not None
    assert Path(f"/proc/{asked.pid}/environ").read_bytes() == b""
