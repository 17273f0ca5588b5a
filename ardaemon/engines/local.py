"""The local engine: shims on this machine, found again by kernel locks, exit.json and /proc."""

import contextlib
import fcntl
import hashlib
import logging
import os
import signal
import time
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from ardaemon.core.errors import StorageError
from ardaemon.core.layout import Attempt, Host, Run, boot_id
from ardaemon.core.model import Exit, Handle, Process
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
from ardaemon.host import proc, processes

log = logging.getLogger("ardaemon.engine")

ACKNOWLEDGE_S = 20.0  # from the hand-over to the spawned job, on a machine that swaps
ADOPTED_POLL_S = 1.0  # an unsupervised tree may fork beside what we watch: look again so often
IN_FLIGHT_POLL_S = 0.02  # lock held, start.json not there yet: the shim is reading its orders


class _Start(msgspec.Struct, frozen=True):
    """start.json"""

    shim: tuple[int, int | None]
    boot_id: str
    deadline: float
    monotonic: float
    job: tuple[int, int | None] | None = None


class _ExitFile(Exit, frozen=True, kw_only=True):
    ended_monotonic: float | None = None


class _Word(msgspec.Struct, frozen=True):
    """What a shim says once the job is spawned."""

    pid: int
    monotonic: float
    error: str | None = None


class LocalEngine:
    """Starts attempts through a parked shim; asks lock × exit.json how they stand."""

    name = "local"

    def __init__(self, host: Host) -> None:
        self.locks = host.locks
        self.boot = boot_id()
        self.spare: Spare | None = None
        self.children: dict[str, Spare] = {}
        self.stopping: set[str] = set()  # attempts whose end was asked for

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
            spare = await anyio.to_thread.run_sync(Spare.park)
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
            spare.give(_specification(launch), (held[0], held[1]))
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
        """Remove lock files that nobody holds: of runs that a killed daemon had committed."""
        for path in self.locks.glob("*.lock"):
            if not _held(str(path)):
                path.unlink(missing_ok=True)

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
        if _held(handle.shim_lock) or _shim_lives(start):
            return _running(start)
        finished = _read_exit(attempt)
        if finished is not None:
            return finished
        if handle.boot_id != self.boot:
            return Lost(ending="host_restart")
        if not os.path.isdir(handle.folder):
            raise StorageError(f"the folder {handle.folder} is gone", "put it back where it was")
        alive = self._alive(handle, start)
        if alive or _held(handle.job_lock):
            return Unsupervised(processes=tuple(alive), deadline=start.deadline if start else None)
        return NeverStarted() if start is None else Lost(ending="supervisor_lost")

    def _alive(self, handle: Handle, start: _Start | None) -> list[Process]:
        named = [] if start is None else [start.shim, *([start.job] if start.job else [])]
        known = [Process(pid, begun) for pid, begun in named if begun is not None]
        found = {p.pid: p for p in processes.living(known)}
        found.update((p.pid, p) for p in processes.tagged(_tag(handle)))
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
                    survivors = await self._adopt(handle, found)
                    if survivors:
                        return Finished(exit=_lost_exit(tuple(survivors)))
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
        await processes.gone(found.shim)
        if child is not None:
            child.process.wait()  # it has ended: this only reaps
        elif _held(handle.shim_lock):  # a fork of the shim in mid-spawn may hold it a moment longer
            await anyio.sleep(IN_FLIGHT_POLL_S)

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

    async def _kill_adopted(self, handle: Handle) -> list[Process]:
        deadline = time.monotonic() + ACKNOWLEDGE_S
        while True:
            found = await anyio.to_thread.run_sync(self.probe, handle)
            if not isinstance(found, Unsupervised):
                return []
            processes.kill(found.processes, signal.SIGKILL)
            if time.monotonic() > deadline:
                return list(found.processes)
            await anyio.sleep(IN_FLIGHT_POLL_S)

    # --- ending ---

    def stop(self, handle: Handle) -> None:
        """SIGTERM to the shim; to the tree itself where the shim is gone."""
        self.stopping.add(handle.folder)
        found = self.probe(handle)
        if isinstance(found, Running) and found.shim is not None:
            processes.kill([found.shim], signal.SIGTERM)
        elif isinstance(found, Unsupervised):
            processes.kill(found.processes, signal.SIGKILL)

    def forget(self, handle: Handle) -> None:
        """Remove the attempt's lock files."""
        self._reap(handle)
        self.stopping.discard(handle.folder)
        for path in (handle.shim_lock, handle.job_lock):
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _reap(self, handle: Handle) -> None:
        child = self.children.pop(handle.shim_lock, None)
        if child is not None:
            child.channel.close()
            child.process.poll()


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
    )


def _shim_lives(start: _Start | None) -> bool:
    # The runtime folder is removed at logout where lingering is off: then the lock says nothing.
    return start is not None and start.shim[1] is not None and proc.start_time(start.shim[0]) == start.shim[1]


def _read_start(handle: Handle) -> _Start | None:
    try:
        data = Attempt(Path(handle.folder)).start.read_bytes()
        start = msgspec.json.decode(data, type=_Start)
    except (OSError, msgspec.DecodeError):
        return None
    return start if start.boot_id == handle.boot_id else None


def _read_exit(attempt: Attempt) -> Finished | None:
    try:
        found = msgspec.json.decode(attempt.exit.read_bytes(), type=_ExitFile)
    except (OSError, msgspec.DecodeError):
        return None  # absent, or torn by a power cut: then the run counts as lost
    known = {name: getattr(found, name) for name in Exit.__struct_fields__}
    return Finished(exit=Exit(**known), ended_monotonic=found.ended_monotonic)


def _lost_exit(survivors: tuple[Process, ...]) -> Exit:
    return Exit(ending="supervisor_lost", survivors=survivors)
