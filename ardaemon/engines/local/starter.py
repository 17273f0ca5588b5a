"""Start attempts: park a spare shim, give it its orders, hear from it when the job is spawned."""

import logging
import os
import time

import anyio
import anyio.to_thread
import msgspec

from ardaemon.core.run_record import Handle
from ardaemon.engines.base import Launch, Started
from ardaemon.engines.local.records import Given, StartFile, place_of
from ardaemon.engines.local.spare import Spare
from ardaemon.host import cgroup, file_lock
from ardaemon.shim import handover

log = logging.getLogger("ardaemon.engine")

ACKNOWLEDGE_S = 20.0  # from the hand-over to the spawned job, on a machine that swaps


class _Acknowledgement(msgspec.Struct, frozen=True):
    """The shim's answer once the job is spawned, or could not be (`error`)."""

    pid: int
    monotonic: float
    error: str | None = None


class Starter:
    """Keeps the parked shim, and the shims that this daemon has given an attempt."""

    def __init__(self, pids_max: int | None, core_limit: int | None) -> None:
        """`pids_max` limits the processes of an attempt; None: attempts get no cgroup.

        `core_limit` is the jobs' limit on core files; None: that of this process.
        """
        self.pids_max, self.core_limit = pids_max, core_limit
        self.spare: Spare | None = None
        self.children: dict[str, Spare] = {}  # by the attempt's folder
        # The cgroups of attempts that are over. Removing one may wait some 13 ms for the kernel, as a shim
        # does that moves itself into one, and no verdict and no launch shall wait for that.
        self.empty: set[str] = set()

    async def prepare(self) -> None:
        """Park a spare shim, unless one is parked that would answer; then remove empty cgroups."""
        if self.spare is None or not self.spare.usable:
            await self._park()
        if self.empty:
            await anyio.to_thread.run_sync(self._remove_empty)

    async def _park(self) -> None:
        spare = await self._take()
        if self.spare is None:
            self.spare = spare
        else:  # another one was parked meanwhile
            await anyio.to_thread.run_sync(spare.dismiss)

    def _remove_empty(self) -> None:
        while self.empty:
            cgroup.remove(self.empty.pop())

    async def _take(self) -> Spare:
        """Return the spare shim, or a new one if that has ended or is stopped."""
        spare, self.spare = self.spare, None
        if spare is not None and spare.usable:
            return spare
        if spare is not None:
            log.warning("spare shim replaced", extra={"facts": {"pid": spare.process.pid}})
            await anyio.to_thread.run_sync(spare.dismiss)  # one that has ended leaves its cgroup
        return await anyio.to_thread.run_sync(Spare.park, self.pids_max)

    async def start(self, launch: Launch, leases: tuple[int, ...]) -> Started | None:
        """Give the attempt to the spare shim, and wait until it has spawned the job.

        `leases` are descriptors of its GPUs' leases: shim and job get copies, the caller closes its own.
        """
        place = place_of(launch.handle)
        locks: list[int] = []
        try:
            spare = await self._take()
            self.children[launch.handle.folder] = spare
            locks += [file_lock.take(place.shim_lock)]
            file_lock.name_holder(locks[0], spare.process.pid, given(launch, spare))
            locks += [file_lock.take(place.job_lock)]
            spare.give(specification(launch, self.core_limit), (locks[0], locks[1]), leases)
            return await self._acknowledged(spare)
        except OSError as error:  # no descriptors or processes left, or the shim died: probe tells which
            log.warning("start failed", extra={"facts": {"folder": launch.handle.folder, "why": str(error)}})
            return None
        finally:
            for fd in locks:
                os.close(fd)

    def start_file(self, launch: Launch, started: Started) -> StartFile:
        """Return start.json as the shim writes it now, so that this daemon need not read it."""
        shim = self.children[launch.handle.folder]
        deadline, over_by = _latest(launch, started.monotonic)
        return StartFile(
            shim=(shim.process.pid, shim.since),
            boot_id=place_of(launch.handle).boot_id,
            deadline=deadline,
            monotonic=started.monotonic,
            job=(started.pid, None),
            over_by=over_by,
            cgroup=shim.tree.group,
            pids_cgroup=shim.tree.pids,
        )

    async def _acknowledged(self, spare: Spare) -> Started | None:
        """Return the shim's answer; None if it ends or does not answer in time."""
        line = b""
        with anyio.move_on_after(ACKNOWLEDGE_S):
            while not line.endswith(b"\n"):
                await anyio.wait_readable(spare.channel)
                chunk = spare.channel.recv(65536)
                if not chunk:
                    return None
                line += chunk
        spare.channel.close()
        if not line.endswith(b"\n"):
            return None
        answer = msgspec.json.decode(line, type=_Acknowledgement)
        return Started(pid=answer.pid, monotonic=answer.monotonic, error=answer.error)

    def close(self) -> None:
        """Dismiss the spare; shims at work go on without us."""
        if self.spare is not None:
            self.spare.dismiss()
            self.spare = None
        self._remove_empty()

    def reap(self, handle: Handle) -> None:
        """Let go of a shim that has ended: of the zombie at once, of its cgroups when there is time."""
        child = self.children.pop(handle.folder, None)
        if child is not None:
            child.channel.close()
            child.process.poll()
            self.empty |= {child.tree.group, child.tree.pids} - {""}


def given(launch: Launch, shim: Spare) -> bytes:
    """Encode what the shim is given, for shim.lock: by it start.json is checked."""
    deadline, over_by = _latest(launch, time.monotonic() + ACKNOWLEDGE_S)
    tree = shim.tree
    facts = Given(cgroup=tree.group, pids_cgroup=tree.pids, deadline=deadline, over_by=over_by)
    return msgspec.json.encode(facts)


def _latest(launch: Launch, started: float) -> tuple[float, float]:
    """Return when the limit ends an attempt that starts at that moment, and when it is over at the latest."""
    deadline = started + (launch.startup or 0.0) + launch.limit
    return deadline, deadline + launch.settle + launch.grace + launch.verify


def specification(launch: Launch, core_limit: int | None = None) -> bytes:
    """Encode the orders for a shim."""
    return handover.dump(
        {
            "folder": launch.handle.folder,
            "run_folder": str(launch.run.job),
            "boot_id": place_of(launch.handle).boot_id,
            "argv": launch.argv,
            "environment": launch.environment,
            "umask": launch.umask,
            "shell": None if launch.shell is None else msgspec.to_builtins(launch.shell),
            "cwd": launch.cwd,
            "limit": launch.limit,
            "startup": launch.startup,
            "ready_regex": launch.ready_regex,
            "stall": launch.stall,
            "max_log": launch.max_log,
            "settle": launch.settle,
            "grace": launch.grace,
            "verify": launch.verify,
            "core_limit": core_limit,
        }
    )
