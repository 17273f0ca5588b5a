"""The local engine: shims on this machine, found again by kernel locks, exit.json and /proc."""

import contextlib
import fcntl
import hashlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import msgspec
from msgspec.structs import replace

from ardaemon.core.config import GRACE_S, PIDS_MAX
from ardaemon.core.errors import CorruptState, StorageError, UnknownSchema
from ardaemon.core.layout import Attempt, Host, Run, boot_id
from ardaemon.core.model import Exit, Handle, Process, Record
from ardaemon.engines.base import (
    Finished,
    Launch,
    Lost,
    NeverStarted,
    Probe,
    Running,
    Started,
    Unsupervised,
)
from ardaemon.engines.spare import Spare
from ardaemon.host import cgroup, durable, proc, processes, record, state
from ardaemon.host.lease import Lease, Taken

log = logging.getLogger("ardaemon.engine")

ACKNOWLEDGE_S = 20.0  # from the hand-over to the spawned job, on a machine that swaps
ADOPTED_POLL_S = 1.0  # an unsupervised tree may fork beside what we watch: look again so often
OVERDUE_S = 2.0  # a shim that is so late is looked at, and again so often: is it stopped?
IN_FLIGHT_POLL_S = 0.02  # lock held, start.json not there yet: the shim is reading its orders


R = TypeVar("R", bound=Record)


class _Start(Record, frozen=True, kw_only=True):
    """start.json"""

    shim: tuple[int, int | None]
    boot_id: str
    deadline: float
    monotonic: float
    job: tuple[int, int | None] | None = None
    over_by: float | None = None
    cgroup: str = ""
    pids_cgroup: str = ""

    @property
    def tree(self) -> str:
        """The job's cgroup, if that can be one."""
        return self.cgroup if cgroup.ours(self.cgroup) else ""


class _ExitFile(Exit, frozen=True, kw_only=True):
    ended_monotonic: float | None = None


class _Word(msgspec.Struct, frozen=True):
    """What a shim says once the job is spawned."""

    pid: int
    monotonic: float
    error: str | None = None


@dataclass
class _Cards:
    """The GPUs of one attempt: how their lease is taken, and what came of it, once its shim was lost."""

    take: Callable[[], Lease | Taken]
    held: Lease | Taken | None = None


class LocalEngine:
    """Starts attempts through a parked shim; asks lock × exit.json how they stand."""

    name = "local"

    def __init__(self, host: Host, grace: float = GRACE_S, pids_max: int | None = PIDS_MAX) -> None:
        """`pids_max` limits the processes of an attempt; None: attempts get no cgroup."""
        self.locks, self.grace, self.pids_max = host.locks, grace, pids_max
        self.boot = boot_id()
        self.spare: Spare | None = None
        self.children: dict[str, Spare] = {}
        # Attempts whose end was asked for; of an unsupervised one, until when it may end by itself.
        self.stopping: dict[str, float | None] = {}
        self.cards: dict[str, _Cards] = {}  # of attempts on GPUs, by folder

    # --- starting ---

    def handle(self, run: Run, attempt: int) -> Handle:
        """Name the attempt: its folder and the locks that its shim and job will hold."""
        folder = run.attempt(attempt).folder
        key = f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}-{run.run_id}-a{attempt}"
        return Handle(
            engine=self.name,
            attempt=attempt,
            folder=str(folder),
            shim_lock=str(self.locks / f"{key}.shim.lock"),
            job_lock=str(self.locks / f"{key}.job.lock"),
            boot_id=self.boot,
        )

    async def prepare(self) -> None:
        """Park a spare shim, if there is none."""
        if self.spare is None or not self.spare.usable:
            self.close()  # one that has fallen leaves its cgroup
            spare = await anyio.to_thread.run_sync(Spare.park, self.pids_max)
            if self.spare is not None and self.spare.usable:
                spare.dismiss()
            else:
                self.spare = spare

    async def start(self, launch: Launch) -> Started | None:
        """Give the attempt to the spare shim, and wait until it has spawned the job."""
        held: list[int] = []
        try:
            await self.prepare()
            spare, self.spare = self.spare, None
            assert spare is not None
            self.children[launch.handle.shim_lock] = spare
            held += [_take(launch.handle.shim_lock)]
            held += [_take(launch.handle.job_lock)]
            spare.give(_specification(launch), (held[0], held[1]), launch.leases)
            return await self._acknowledged(spare)
        except OSError as error:  # no descriptors or processes left, or the shim died: probe tells which
            log.warning("start failed", extra={"facts": {"folder": launch.handle.folder, "why": str(error)}})
            return None
        finally:
            for fd in held:
                os.close(fd)

    async def _acknowledged(self, spare: Spare) -> Started | None:
        spare.channel.setblocking(False)
        heard = b""
        with anyio.move_on_after(ACKNOWLEDGE_S):
            while not heard.endswith(b"\n"):
                await anyio.wait_readable(spare.channel)
                chunk = spare.channel.recv(65536)
                if not chunk:
                    return None
                heard += chunk
        spare.channel.close()
        if not heard:
            return None
        word = msgspec.json.decode(heard, type=_Word)
        return Started(pid=word.pid, monotonic=word.monotonic, error=word.error)

    def sweep(self) -> None:
        """Remove locks that nobody holds and empty cgroups: of runs that a killed daemon had committed."""
        cgroup.sweep()
        for path in self.locks.glob("*.lock"):
            if not _held(str(path)):
                durable.remove(path)

    def strangers(self, known: Iterable[Handle]) -> list[str]:
        """Attempts that something on this machine still runs, and that are none of `known`: their names."""
        held = {path.name.split(".")[0] for path in self.locks.glob("*.lock") if _held(str(path))}
        return sorted(held - {os.path.basename(handle.shim_lock).split(".")[0] for handle in known})

    def close(self) -> None:
        """Dismiss the spare; shims at work go on without us."""
        if self.spare is not None:
            self.spare.dismiss()
            self.spare = None

    # --- asking ---

    def probe(self, handle: Handle) -> Probe:
        """How an attempt stands: held lock, exit.json, boot id, living processes; in this order.

        Raises StorageError while its folder is not where it was: then nothing can be said.
        """
        attempt, start = Attempt(Path(handle.folder)), _read_start(handle)
        # After a reboot the same pid and start time may be those of any process.
        if _held(handle.shim_lock) or (handle.boot_id == self.boot and _shim_lives(start)):
            return _running(start)
        finished = _read_exit(attempt)
        if finished is not None:
            return replace(finished, restarted=handle.boot_id != self.boot)
        if handle.boot_id != self.boot:
            return Lost(ending="host_restart")
        if not os.path.isdir(handle.folder):
            raise StorageError(f"the folder {handle.folder} is gone", "put it back where it was")
        alive = self._alive(handle, start)
        if not alive and _held(handle.job_lock):  # what has left the tree and its environment behind
            alive = processes.holding(handle.job_lock)
        if alive or _held(handle.job_lock):
            return Unsupervised(processes=tuple(alive), deadline=start.deadline if start else None)
        return NeverStarted() if start is None else Lost(ending="supervisor_lost")

    def _alive(self, handle: Handle, start: _Start | None) -> list[Process]:
        named = [] if start is None else [start.shim, *([start.job] if start.job else [])]
        known = [Process(pid, begun) for pid, begun in named if begun is not None]
        found = {p.pid: p for p in processes.living(known)}
        found.update((p.pid, p) for p in processes.tagged(_tag(handle)))
        if start is not None and start.tree:
            found.update((p.pid, p) for p in processes.in_cgroup(start.tree))
        return list(found.values())

    async def ended(self, handle: Handle) -> Finished | Lost | NeverStarted:
        """Wait for the end: of the shim while there is one, else of everything that it left."""
        adopted = False
        found = self.probe(handle)
        while True:
            match found:
                case Running():
                    await self._shim_gone(handle, found)
                    found = self.probe(handle)
                case Unsupervised():
                    adopted = True
                    self._hold(handle)
                    survivors = await self._adopt(handle, found)
                    if survivors:
                        return Finished(exit=_lost_exit(tuple(survivors), _known_start(handle)))
                    found = await anyio.to_thread.run_sync(self.probe, handle)
                    continue
                case Lost():
                    self._reap(handle)
                    return Lost(ending="supervisor_lost") if adopted else found
                case _:
                    self._reap(handle)
                    return found

    async def _shim_gone(self, handle: Handle, found: Running) -> None:
        child = self.children.get(handle.shim_lock)
        if found.shim is None:
            await anyio.sleep(IN_FLIGHT_POLL_S)
            return
        if not await self._over(found.shim, found.over_by):
            return
        if child is not None:
            child.process.wait()  # it has ended: this only reaps
        if _held(handle.shim_lock):  # a fork of the shim in mid-spawn may hold it a moment longer
            await anyio.sleep(IN_FLIGHT_POLL_S)

    async def _over(self, shim: Process, by: float | None) -> bool:
        """Wait for the shim's end. One that is overdue and stopped is woken: False, it goes on."""
        left = OVERDUE_S if by is None else max(by - time.monotonic(), 0.0) + OVERDUE_S
        with anyio.move_on_after(left):
            await processes.gone(shim)
            return True
        if proc.stopped(shim.pid):
            log.warning("supervisor stopped", extra={"facts": {"pid": shim.pid, "mend": "sent SIGCONT"}})
            processes.kill([shim], signal.SIGCONT)
        return False

    async def _adopt(self, handle: Handle, found: Unsupervised) -> list[Process]:
        """Stand in for the dead shim: wait for the tree's end, or kill it at its deadline."""
        left = None if found.deadline is None else found.deadline - time.monotonic()
        if handle.folder in self.stopping or (left is not None and left <= 0):
            return await self._kill_adopted(handle)
        pause = ADOPTED_POLL_S if left is None else min(ADOPTED_POLL_S, left)
        with anyio.move_on_after(pause):
            if found.processes:
                await processes.gone(found.processes[0])
            else:
                await anyio.sleep(pause)
        return []

    def _hold(self, handle: Handle) -> None:
        """Hold the GPUs of an adopted job, which may have closed what it inherited."""
        cards = self.cards.get(handle.folder)
        if cards is None or isinstance(cards.held, Lease):
            return
        before, cards.held = cards.held, cards.take()
        # Where the job's own copies hold them, all is well. Asked again with each look: said once.
        if isinstance(cards.held, Taken) and not cards.held.ours and cards.held != before:
            log.warning("lease not held", extra={"facts": {"folder": handle.folder, **cards.held._asdict()}})

    async def _kill_adopted(self, handle: Handle) -> list[Process]:
        """TERM, grace, KILL, as a shim does it; returns what survived."""
        found = await anyio.to_thread.run_sync(self.probe, handle)
        if not isinstance(found, Unsupervised):
            return []
        kill_at = self._ask_to_end(handle, found)
        while time.monotonic() < kill_at + ACKNOWLEDGE_S:
            if time.monotonic() >= kill_at:
                self._kill(handle, found)
            await anyio.sleep(IN_FLIGHT_POLL_S)
            found = await anyio.to_thread.run_sync(self.probe, handle)
            if not isinstance(found, Unsupervised):
                return []
        return list(found.processes)

    def _ask_to_end(self, handle: Handle, found: Unsupervised) -> float:
        """TERM, once; returns when KILL is due (CLOCK_MONOTONIC)."""
        kill_at = self.stopping.get(handle.folder)
        if kill_at is None:
            kill_at = self.stopping[handle.folder] = time.monotonic() + self.grace
            processes.kill(found.processes, signal.SIGTERM)
            processes.kill(found.processes, signal.SIGCONT)  # a stopped process cannot answer TERM
        return kill_at

    def _kill(self, handle: Handle, found: Unsupervised) -> None:
        start = _known_start(handle)
        if start is not None and start.tree:
            cgroup.kill(start.tree)  # at one stroke, with what is being forked now
        processes.kill(found.processes, signal.SIGKILL)

    # --- ending ---

    def stop(self, handle: Handle) -> None:
        """SIGTERM to the shim; to the tree itself where the shim is gone."""
        self.stopping.setdefault(handle.folder, None)
        found = self.probe(handle)
        if isinstance(found, Running) and found.shim is not None:
            processes.kill([found.shim], signal.SIGTERM)
            processes.kill([found.shim], signal.SIGCONT)  # should it be stopped
        elif isinstance(found, Unsupervised):
            self._ask_to_end(handle, found)

    def waits(self, handle: Handle) -> str | None:
        """What its shim waits for, though the job has ended; None where it does not."""
        start = _known_start(handle)
        if start is None or not _shim_lives(start) or proc.name(start.shim[0]) != record.NO_DISK:
            return None
        return f"it has ended, and its record waits for space on the disk: {handle.folder}"

    def hold(self, handle: Handle, take: Callable[[], Lease | Taken]) -> None:
        """From now on an attempt whose shim is lost has its GPUs held by us, with `take`."""
        self.cards.setdefault(handle.folder, _Cards(take))

    def forget(self, handle: Handle) -> None:
        """Remove the attempt's lock files and cgroups, and let go of its GPUs."""
        self._reap(handle)
        cards = self.cards.pop(handle.folder, None)
        if cards is not None and isinstance(cards.held, Lease):
            cards.held.close()
        start = _known_start(handle)
        for folder in (start.tree, start.pids_cgroup) if start is not None else ():
            if cgroup.ours(folder):
                cgroup.remove(folder)
        self.stopping.pop(handle.folder, None)
        for path in (handle.shim_lock, handle.job_lock):
            with contextlib.suppress(OSError):
                durable.remove(path)

    def _reap(self, handle: Handle) -> None:
        child = self.children.pop(handle.shim_lock, None)
        if child is not None:
            child.channel.close()
            child.process.poll()
            child.clear()


def _specification(launch: Launch) -> bytes:
    return msgspec.json.encode(
        {
            "folder": launch.handle.folder,
            "run_folder": str(launch.run.folder),
            "boot_id": launch.handle.boot_id,
            "argv": launch.argv,
            "environment": launch.environment,
            "cwd": launch.cwd,
            "limit": launch.limit,
            "startup": launch.startup,
            "ready_regex": launch.ready_regex,
            "stall": launch.stall,
            "settle": launch.settle,
            "grace": launch.grace,
            "verify": launch.verify,
        }
    )


def _tag(handle: Handle) -> dict[str, str]:
    return {"AR_RUN_DIR": os.path.dirname(handle.folder), "AR_ATTEMPT": str(handle.attempt)}


def _take(path: str) -> int:
    """Lock a file that no one else can hold yet; the lock travels with the descriptor."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # a logout may have removed it
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd


def _held(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _running(start: _Start | None) -> Running:
    if start is None or start.shim[1] is None:
        return Running()
    job = start.job
    return Running(
        shim=Process(start.shim[0], start.shim[1]),
        job=Process(job[0], job[1]) if job and job[1] is not None else None,
        monotonic=start.monotonic,
        cgroup=start.tree,
        over_by=start.over_by,
    )


def _shim_lives(start: _Start | None) -> bool:
    # The runtime folder is removed at logout where lingering is off: then the lock says nothing.
    return start is not None and start.shim[1] is not None and proc.start_time(start.shim[0]) == start.shim[1]


def _read_start(handle: Handle) -> _Start | None:
    start = _read(Attempt(Path(handle.folder)).start, _Start)
    return start if start is not None and start.boot_id == handle.boot_id else None


def _known_start(handle: Handle) -> _Start | None:
    """The same, where one that cannot be read is as good as none."""
    try:
        return _read_start(handle)
    except UnknownSchema:
        return None


def _read_exit(attempt: Attempt) -> Finished | None:
    found = _read(attempt.exit, _ExitFile)
    if found is None:
        return None
    known = {name: getattr(found, name) for name in Exit.__struct_fields__}
    return Finished(exit=Exit(**known), ended_monotonic=found.ended_monotonic)


def _read(path: Path, kind: type[R]) -> R | None:
    """None where it is absent, or torn by a power cut: then the run counts as lost. Raises UnknownSchema."""
    try:
        return state.decode(path.read_bytes(), kind, path)
    except (OSError, CorruptState):
        return None


def _lost_exit(survivors: tuple[Process, ...], start: _Start | None) -> Exit:
    return Exit(ending="supervisor_lost", survivors=survivors, cgroup=start.tree if start else "")
