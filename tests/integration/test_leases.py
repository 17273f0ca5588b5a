"""A GPU's lease goes with the job: two real users, real shims, and everything killed in turn."""

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from ardaemon.core.layout import Host
from ardaemon.core.queue import Seat
from ardaemon.engines.base import Finished, NeverStarted, Started, Unsupervised
from ardaemon.engines.local.engine import LocalEngine
from ardaemon.engines.local.starter import specification
from ardaemon.gpus.lease import CardId, Lease, Leases, Taken
from ardaemon.shim import handover
from tests.support.engines import EngineWorld, FolderLessor
from tests.support.jobs import alive
from tests.support.lab import wait_until
from tests.support.leases import ROOT, Other, contents, shared_folder
from tests.support.promises import times

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="needs root, to act as another user")
NOBODY, HOMELESS = 65534, 54321
UUID = "GPU-aaaaaaaa-0000-1111-2222-333333333333"
CARD = CardId(UUID)
SEAT = Seat(cards=(UUID,))
DEADLINE_S = 20.0
OFTEN = 100  # times that each racer has a card
PROTECTED = Path("/proc/sys/fs/protected_regular")


@pytest.fixture
def folder() -> Iterator[Path]:
    with shared_folder() as made:
        yield made


@pytest.fixture
def other(folder: Path) -> Iterator[Other]:
    """Another user's daemon."""
    it = Other(folder, NOBODY if os.getuid() == 0 else os.getuid(), umask=0o077)
    try:
        yield it
    finally:
        it.end()


# --- two users ---


@needs_root
def test_users_with_any_umask_see_each_others_leases(
    folder: Path, record_property: Callable[..., None]
) -> None:
    """Whatever fs.protected_regular is: nobody opens another's file with O_CREAT."""
    record_property("protected_regular", PROTECTED.read_text().strip() if PROTECTED.exists() else "none")
    users = {uid: Other(folder, uid, umask) for uid, umask in ((0, 0o077), (NOBODY, 0o777), (HOMELESS, 0))}
    names = {0: "root (uid 0)", NOBODY: f"nobody (uid {NOBODY})", HOMELESS: f"uid {HOMELESS}"}
    for uid, user in users.items():
        assert user.take((UUID, None)) is None
        for other_uid, other_user in users.items():
            if other_uid != uid:
                assert other_user.take((UUID, None)) == [UUID, f"another daemon has it: {names[uid]}", False]
                assert other_user.take((UUID, None), share=True) is not None
                assert other_user.holder(UUID) == f"another daemon has it: {names[uid]}"
        user.close()
    assert {size for _, _, size in contents(folder).values()} == {0}
    for user in users.values():
        user.end()


def test_a_daemon_that_is_killed_before_its_launch_frees_the_card(folder: Path, other: Other) -> None:
    assert other.take((UUID, None)) is None
    mine = Leases(folder, Path("/state"))
    assert not isinstance(mine.take([CARD]), Lease)
    other.end()
    again = mine.take([CARD])
    assert isinstance(again, Lease)
    again.close()


@needs_root
def test_a_file_that_only_its_owner_can_open_holds_no_card(folder: Path, other: Other) -> None:
    """As a daemon leaves it that was killed before its first lock: the others must not wait for ever."""
    path = folder / f"ardaemon-{UUID}.0-0123abcd.lease"
    path.touch(mode=0o600)
    before = contents(folder)
    assert other.take((UUID, None)) is None
    assert contents(folder)[path.name] == before[path.name]


@needs_root
def test_a_user_who_squats_a_name_denies_a_card_and_nothing_is_done_to_his_file(
    folder: Path, other: Other
) -> None:
    mine = Leases(folder, Path("/state/of", str(NOBODY)))
    path = folder / f"ardaemon-{UUID}.{mine.owner.replace('0-', f'{NOBODY}-', 1)}.lease"
    path.write_text("root's")
    before = contents(folder)
    found = other.take((UUID, None))
    assert found is not None
    assert path.name in found[1]
    assert contents(folder) == before


@needs_root
def test_a_user_who_removes_his_own_lease_makes_no_two_others_meet(folder: Path, other: Other) -> None:
    """With one file per card for all, its maker could: the lease of a second would be gone for a third."""
    third = Other(folder, HOMELESS)
    assert other.take((UUID, None)) is None
    for name in os.listdir(folder):
        (folder / name).unlink()
    other.close()
    mine = Leases(folder, Path("/state")).take([CARD])
    assert isinstance(mine, Lease)
    assert other.take((UUID, None)) is not None
    assert third.take((UUID, None)) is not None
    third.end()
    mine.close()


# Takes the card again and again until the file `over` is there, and shows that it is alone by a folder that
# only one can make; leaves a file once it has had it often, and says how often it had it.
RACE = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from ardaemon.gpus.lease import CardId, Lease, Leases, Taken
import grp, pwd, encodings.idna
uid, often = int(sys.argv[3]), int(sys.argv[5])
if uid != os.getuid():
    os.setgroups([]); os.setgid(uid); os.setuid(uid)
leases = Leases(Path(sys.argv[2]), Path("/state", sys.argv[3]))
had = met = 0
while not os.path.exists(sys.argv[2] + "/over"):
    found = leases.take([CardId(sys.argv[4])])
    if isinstance(found, Lease):
        try:
            os.mkdir(sys.argv[2] + "/alone")
            os.rmdir(sys.argv[2] + "/alone")
        except FileExistsError:
            met += 1
        had += 1
        if had == often:
            open(sys.argv[2] + "/often-" + sys.argv[3], "x").close()
        found.close()
        time.sleep(0)
print(had, met)
"""


@needs_root
@pytest.mark.parametrize("again", times(10, 1))
def test_users_that_race_for_a_card_never_have_it_together(folder: Path, again: int) -> None:
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, ROOT, str(folder), str(uid), UUID, str(OFTEN)],
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        for uid in (0, NOBODY, HOMELESS)
    ]
    try:
        wait_until(lambda: len([*folder.glob("often-*")]) == len(racers), "each to have had the card often")
    finally:
        (folder / "over").touch()
    found = [tuple(map(int, racer.communicate(timeout=DEADLINE_S)[0].split())) for racer in racers]
    assert all(racer.returncode == 0 for racer in racers)
    assert all(had >= OFTEN and met == 0 for had, met in found), found


# --- with shim and job ---


class World(EngineWorld):
    """An engine, and one attempt of a shell script on a GPU."""

    def __init__(self, root: Path, folder: Path) -> None:
        super().__init__(root, FolderLessor(folder, root / "s"))

    async def start(self, script: str, seat: Seat = SEAT) -> Started | Taken | None:
        """Start the script under the spare shim, on that seat."""
        return await super().start(script, seat)

    async def started(self, script: str, seat: Seat = SEAT) -> Started:
        """Start the script; its job runs."""
        started = await self.start(script, seat)
        assert isinstance(started, Started), started
        return started


@pytest.fixture
def world(tmp_path: Path, folder: Path) -> Iterator[World]:
    (tmp_path / "s").mkdir()
    made = World(tmp_path, folder)
    try:
        yield made
    finally:
        made.close()


def runs(work: Callable[[], Awaitable[None]]) -> None:
    anyio.run(work)


def test_the_card_is_held_while_the_job_runs_and_free_when_it_has_ended(world: World, other: Other) -> None:
    async def work() -> None:
        await world.started("while [ ! -e go ]; do sleep 0.02; done")
        assert other.take((UUID, None)) is not None, "with no descriptor left in the daemon"
        (world.root / "go").touch()
        assert isinstance(await world.engine.ended(world.handle), Finished)
        assert other.take((UUID, None)) is None

    runs(work)


def test_a_killed_shim_leaves_the_lease_to_the_job_and_its_end_frees_it(world: World, other: Other) -> None:
    async def work() -> None:
        started = await world.started("sleep 60")
        world.kill_shim()
        assert isinstance(world.engine.probe(world.handle), Unsupervised)
        assert other.take((UUID, None)) is not None
        for process in _living(world):
            os.kill(process.pid, signal.SIGKILL)
        await world.until(lambda: not alive(started.pid), "the job's end")
        await world.until(lambda: other.take((UUID, None)) is None, "the card's freedom")

    runs(work)


def test_a_process_that_outlives_shim_and_job_keeps_the_card(world: World, other: Other) -> None:
    """In a session of its own, its parents dead; nobody knows it, and it computes."""

    async def work() -> None:
        await world.start("setsid sleep 60 & echo $! > pid; wait")
        path = world.root / "pid"
        await world.until(lambda: path.exists() and path.read_text().endswith("\n"), "the worker's pid")
        world.kill_shim()
        found = world.engine.probe(world.handle)
        assert isinstance(found, Unsupervised)
        worker = int(path.read_text())
        for process in found.processes:
            if process.pid != worker:
                os.kill(process.pid, signal.SIGKILL)
        await world.until(lambda: len(_living(world)) == 1, "the job's end")
        assert other.take((UUID, None)) is not None
        os.kill(worker, signal.SIGKILL)
        await world.until(lambda: other.take((UUID, None)) is None, "the card's freedom")

    runs(work)


def _living(world: World) -> tuple[Any, ...]:
    found = world.engine.probe(world.handle)
    return found.processes if isinstance(found, Unsupervised) else ()


CLOSES = (
    'for fd in $(ls /proc/$$/fd); do [ $fd -gt 2 ] && eval "exec $fd>&-"; done; touch closed; exec sleep 60'
)


@pytest.mark.parametrize("restarted", [False, True], ids=["daemon alive", "daemon restarted"])
def test_whoever_adopts_a_job_that_closed_its_descriptors_holds_its_card(
    world: World, other: Other, restarted: bool
) -> None:
    async def work() -> None:
        started = await world.started(CLOSES)
        await world.until((world.root / "closed").exists, "the descriptors' end")
        engine = world.engine
        world.kill_shim()
        if restarted:
            host = Host(world.root / "s", world.root / "r")
            engine = LocalEngine(host, world.lessor, grace=lambda: 0.3, pids_max=None)
        engine.hold(world.handle, SEAT)
        async with anyio.create_task_group() as group:
            group.start_soon(engine.ended, world.handle)
            await world.until(lambda: _held(engine, world), "the daemon's own lease")
            assert other.take((UUID, None)) is not None
            await engine.stop(world.handle)
        assert not alive(started.pid)
        assert other.take((UUID, None)) is not None, "until the attempt is forgotten"
        engine.forget(world.handle)
        assert other.take((UUID, None)) is None

    runs(work)


def _held(engine: LocalEngine, world: World) -> bool:
    return isinstance(engine.adoption.cards[world.handle.folder].lease, Lease)


def test_a_job_that_holds_its_card_itself_is_left_to_it_until_it_closes_it(
    world: World, other: Other
) -> None:
    async def work() -> None:
        world.engine.hold(world.handle, SEAT)
        await world.start(f"while [ ! -e go ]; do sleep 0.02; done; {CLOSES}")
        world.kill_shim()
        async with anyio.create_task_group() as group:
            group.start_soon(world.engine.ended, world.handle)
            cards = world.engine.adoption.cards[world.handle.folder]
            await world.until(lambda: cards.lease is not None, "the first try")
            assert not isinstance(cards.lease, Lease)
            (world.root / "go").touch()
            await world.until(lambda: isinstance(cards.lease, Lease), "the lease")
            assert other.take((UUID, None)) is not None
            await world.engine.stop(world.handle)

    runs(work)


def test_a_shim_is_given_as_many_leases_as_an_attempt_may_have(world: World, other: Other) -> None:
    """64 MIG instances on 64 cards: each has two files."""
    world.lessor.parents = {f"MIG-{number}": f"GPU-{number}" for number in range(64)}

    async def work() -> None:
        before = len(os.listdir("/proc/self/fd"))
        seat = Seat(cards=tuple(world.lessor.parents))
        started = await world.started("while [ ! -e go ]; do sleep 0.02; done", seat)
        assert len(os.listdir("/proc/self/fd")) <= before + 1  # the channel to the shim
        held = [os.readlink(path) for path in Path(f"/proc/{started.pid}/fd").iterdir() if path.is_symlink()]
        assert sum(".lease" in path for path in held) == 128
        assert other.take(("MIG-63", "GPU-63")) is not None
        assert other.take(("GPU-0", None)) is not None
        (world.root / "go").touch()
        assert isinstance(await world.engine.ended(world.handle), Finished)
        assert other.take(*world.lessor.parents.items()) is None

    runs(work)


def test_a_shim_that_did_not_get_all_leases_starts_nothing(world: World, other: Other) -> None:
    """For want of descriptors: the kernel drops what does not fit, and says so to nobody else."""

    async def work() -> None:
        await world.engine.starter.prepare()
        spare = world.engine.starter.spare
        assert spare is not None
        resource.prlimit(spare.process.pid, resource.RLIMIT_NOFILE, (20, 20))
        seat = Seat(cards=tuple(f"GPU-{number}" for number in range(40)))
        assert await world.start("touch ran", seat) is None
        spare.process.wait(DEADLINE_S)
        assert isinstance(await world.engine.ended(world.handle), NeverStarted)
        assert not (world.root / "ran").exists()
        assert other.take(("GPU-0", None)) is None

    runs(work)


def test_a_shim_that_was_promised_more_than_came_starts_nothing(world: World) -> None:
    """As where the kernel let one descriptor of several not through."""

    async def work() -> None:
        await world.engine.starter.prepare()
        spare = world.engine.starter.spare
        assert spare is not None
        with (world.root / "order").open("w+b") as order:
            order.write(specification(world.order("touch ran")))
            order.flush()
            socket.send_fds(spare.channel, [handover.word(4)], [order.fileno()] * 3)
            assert spare.process.wait(DEADLINE_S) == 0
        assert os.listdir(world.handle.folder) == []

    runs(work)


def test_an_attempt_whose_card_another_has_is_not_started_and_holds_none_of_the_others(
    world: World, other: Other
) -> None:
    async def work() -> None:
        assert other.take(("GPU-1", None)) is None
        taken = await world.start("touch ran", Seat(cards=("GPU-0", "GPU-1")))
        assert isinstance(taken, Taken)
        assert taken.uuid == "GPU-1"
        assert "another daemon has it" in taken.why
        assert isinstance(await world.engine.begun(world.handle), NeverStarted)
        assert os.listdir(world.handle.folder) == []
        assert not world.engine.starter.children
        assert other.take(("GPU-0", None)) is None
        other.close()
        await world.started("exit 0", Seat(cards=("GPU-0", "GPU-1")))
        assert isinstance(await world.engine.ended(world.handle), Finished)

    runs(work)


def test_an_attempt_that_was_put_on_another_card_is_held_to_that_one(world: World, other: Other) -> None:
    """As a launch that was taken back, and is made again elsewhere: the attempt is the same."""

    async def work() -> None:
        world.engine.hold(world.handle, Seat(cards=("GPU-1",)))
        world.engine.hold(world.handle, SEAT)
        await world.started(CLOSES)
        await world.until((world.root / "closed").exists, "the descriptors' end")
        world.kill_shim()
        async with anyio.create_task_group() as group:
            group.start_soon(world.engine.ended, world.handle)
            await world.until(lambda: _held(world.engine, world), "the daemon's own lease")
            assert other.take((UUID, None)) is not None
            assert other.take(("GPU-1", None)) is None
            await world.engine.stop(world.handle)

    runs(work)


def test_a_failed_start_frees_the_card_with_the_daemons_copies(world: World, other: Other) -> None:
    async def work() -> None:
        await world.engine.starter.prepare()
        spare = world.engine.starter.spare
        assert spare is not None
        spare.channel.shutdown(socket.SHUT_WR)
        assert await world.start("touch ran") is None
        spare.process.wait(DEADLINE_S)
        assert other.take((UUID, None)) is None

    runs(work)
