"""Leasing: leases are taken in threads, and what is known of them is changed on the event loop alone."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from ardaemon.core.config import Config
from ardaemon.core.layout import Experiment, Host
from ardaemon.core.live_config import LiveConfig
from ardaemon.core.queue import Seat
from ardaemon.core.run_record import Active, Handle
from ardaemon.engines.base import Unsupervised
from ardaemon.engines.local.adoption import Adoption
from ardaemon.engines.local.prober import Prober
from ardaemon.gpus.book import GpuBook
from ardaemon.gpus.lease import CardId, Lease, Leases, Taken
from ardaemon.machine.leasing import Leasing
from ardaemon.pipeline.flight import Flight, Going
from ardaemon.queue.board import Board
from ardaemon.queue.gate import Gate
from ardaemon.queue.placement import Placement
from tests.support.folders import record
from tests.support.leases import shared_folder

UUID = "GPU-aaaaaaaa-0000-1111-2222-333333333333"


class Noting(dict[str, Any]):
    """A dict that notes in which threads it is changed."""

    def __init__(self, known: dict[str, Any]) -> None:
        super().__init__(known)
        self.threads: set[int] = set()

    def __setitem__(self, name: str, value: Any) -> None:
        self.threads.add(threading.get_ident())
        super().__setitem__(name, value)

    def pop(self, *arguments: Any) -> Any:
        self.threads.add(threading.get_ident())
        return super().pop(*arguments)


class Bench:
    """The leasing of a daemon, a flight with a GPU, and where its leases are taken."""

    def __init__(self, root: Path, folder: Path) -> None:
        config = Config(lease_folder=str(folder))
        board = Board(LiveConfig(config), Placement(config, GpuBook()), Gate(root / "queue.json", None))
        self.leasing = Leasing(Host(root / "s", root / "r"), config, board)
        self.neighbour = Leases(folder, root / "another")
        experiment = Experiment(root / "e")
        active = Active(folder=str(root / "e"), run_id="r0001", seq=1, environment={})
        self.flight = Flight(experiment, experiment.run("r0001"), active, record(), root / "entry")
        self.flight.going = Going(seat=Seat(cards=(UUID,)))
        place = {"shim_lock": "/no/shim", "job_lock": "/no/job", "boot_id": "-"}
        self.handle = Handle(engine="local", attempt=1, folder=str(root), place=place)
        self.taken_in: list[int] = []
        self.leasing.leases = _Watched(self.leasing.leases, self.taken_in)
        self.leasing._refusals = self.refusals = Noting({})


class _Watched(Leases):
    """The same leases; it notes in which threads they are taken and asked for."""

    def __init__(self, known: Leases, threads: list[int]) -> None:
        self.folder, self.owner, self.threads = known.folder, known.owner, threads

    def take(self, *arguments: Any) -> Lease | Taken:
        self.threads.append(threading.get_ident())
        return super().take(*arguments)

    def holder(self, card: CardId) -> str | None:
        self.threads.append(threading.get_ident())
        return super().holder(card)


class Late:
    """Takes leases, and hands them out when their attempt was given up."""

    def __init__(self, leasing: Leasing) -> None:
        self.leasing, self.given_up = leasing, anyio.Event()

    async def lease(self, seat: Seat) -> Lease | Taken:
        """Take the GPUs of a seat."""
        lease = await self.leasing.lease(seat)
        await self.given_up.wait()
        return lease


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with shared_folder() as folder:
        yield Bench(tmp_path, folder)


def test_a_lease_is_taken_and_its_holder_looked_for_in_a_thread_and_the_loop_notes_it(bench: Bench) -> None:
    async def work() -> None:
        other = bench.neighbour.take([CardId(UUID)])
        assert isinstance(other, Lease)
        taken = await bench.leasing.lease(bench.flight.seat)
        assert isinstance(taken, Taken)
        await bench.leasing.refused(bench.flight, taken)
        assert UUID in bench.leasing.gpus.leased
        other.close()
        lease = await bench.leasing.lease(bench.flight.seat)
        assert isinstance(lease, Lease)
        lease.close()
        assert bench.refusals == {}
        assert bench.refusals.threads == {threading.get_ident()}
        assert len(bench.taken_in) == 3
        assert threading.get_ident() not in bench.taken_in

    anyio.run(work)


def test_a_job_without_a_shim_has_its_gpus_taken_in_a_thread(bench: Bench) -> None:
    async def work() -> None:
        adoption = Adoption(Prober("-"), bench.leasing, grace=lambda: 0.0)
        adoption.hold(bench.handle, bench.flight.seat)
        await adoption.adopt(bench.handle, Unsupervised(processes=(), deadline=time.monotonic() + 0.01))
        assert isinstance(adoption.cards[bench.handle.folder].lease, Lease)
        adoption.forget(bench.handle)
        assert threading.get_ident() not in bench.taken_in
        assert len(bench.taken_in) == 1

    anyio.run(work)


def test_a_lease_that_comes_when_its_attempt_was_given_up_is_let_go(bench: Bench) -> None:
    async def work() -> None:
        late = Late(bench.leasing)
        adoption = Adoption(Prober("-"), late, grace=lambda: 0.0)
        adoption.hold(bench.handle, bench.flight.seat)
        found = Unsupervised(processes=(), deadline=time.monotonic() + 0.01)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(adoption.adopt, bench.handle, found)
            await anyio.wait_all_tasks_blocked()
            adoption.forget(bench.handle)
            late.given_up.set()
        assert isinstance(bench.neighbour.take([CardId(UUID)]), Lease)

    anyio.run(work)
