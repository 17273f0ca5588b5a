"""Adoption: the daemon stands in for a lost shim, which held its attempt to its deadline and its GPUs."""

import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import anyio
import anyio.to_thread

from ardaemon.core.model import Process
from ardaemon.core.queue import Seat
from ardaemon.core.run_record import Handle
from ardaemon.engines.base import Unsupervised
from ardaemon.engines.local.ports import Lessor
from ardaemon.engines.local.prober import Prober
from ardaemon.engines.local.records import known_start
from ardaemon.gpus.lease import Lease, Taken
from ardaemon.host import cgroup, processes

log = logging.getLogger("ardaemon.engine")

ADOPTED_POLL_S = 1.0  # an unsupervised tree may fork beside what we watch: look again so often
KILL_POLL_S = 0.02  # what is being killed is gone in a moment
SURVIVES_S = 20.0  # after the first KILL, on a machine that swaps


@dataclass
class _Cards:
    """The GPUs of one attempt, and what came of the last try to lease them, once its shim was lost."""

    seat: Seat
    lease: Lease | Taken | None = None


class Adoption:
    """Stands in for shims that are gone."""

    def __init__(self, prober: Prober, lessor: Lessor, grace: Callable[[], float]) -> None:
        self.prober, self.lessor, self.grace = prober, lessor, grace
        # Attempts whose end was asked for; of an unsupervised one, until when it may end by itself.
        self.stopping: dict[str, float | None] = {}
        self.cards: dict[str, _Cards] = {}  # of attempts on GPUs, by folder

    def hold(self, handle: Handle, seat: Seat) -> None:
        """Hold the GPUs of the attempt's seat from now on, should its shim be lost."""
        before = self.cards.get(handle.folder)
        if before is not None and before.seat == seat:
            return
        if before is not None:  # of a launch that was taken back
            _let_go(before)
        self.cards[handle.folder] = _Cards(seat)

    async def adopt(self, handle: Handle, orphans: Unsupervised) -> list[Process]:
        """Stand in for the dead shim: wait for the tree's end, or kill it at its deadline.

        Returns what survived the kill. An empty list: look again.
        """
        await self.lease(handle)
        left = None if orphans.deadline is None else orphans.deadline - time.monotonic()
        if handle.folder in self.stopping or (left is not None and left <= 0):
            return await self._kill_adopted(handle)
        pause = ADOPTED_POLL_S if left is None else min(ADOPTED_POLL_S, left)
        with anyio.move_on_after(pause):
            if orphans.processes:
                await processes.gone(orphans.processes[0])
            else:
                await anyio.sleep(pause)
        return []

    async def lease(self, handle: Handle) -> None:
        """Lease the GPUs of a job whose shim is gone: it may have closed what it inherited."""
        cards = self.cards.get(handle.folder)
        if cards is None or isinstance(cards.lease, Lease):
            return
        before, cards.lease = cards.lease, await self.lessor.lease(cards.seat)
        if self.cards.get(handle.folder) is not cards:  # the attempt was given up meanwhile
            _let_go(cards)
            return
        # Where the job's own copies hold them, all is well. Asked again with each look: said once.
        if isinstance(cards.lease, Taken) and not cards.lease.ours and cards.lease != before:
            log.warning("lease not held", extra={"facts": {"folder": handle.folder, **cards.lease._asdict()}})

    async def _kill_adopted(self, handle: Handle) -> list[Process]:
        """Send TERM, wait for the grace, send KILL, as a shim does it; return what survived."""
        probe = await anyio.to_thread.run_sync(self.prober.probe, handle)
        if not isinstance(probe, Unsupervised):
            return []
        kill_at = self.ask_to_end(handle, probe)
        while time.monotonic() < kill_at + SURVIVES_S:
            if time.monotonic() >= kill_at:
                await anyio.to_thread.run_sync(self._kill, handle, probe)
            await anyio.sleep(KILL_POLL_S)
            probe = await anyio.to_thread.run_sync(self.prober.probe, handle)
            if not isinstance(probe, Unsupervised):
                return []
        return list(probe.processes)

    def ask_to_end(self, handle: Handle, orphans: Unsupervised) -> float:
        """Send TERM, once; return when KILL is due (CLOCK_MONOTONIC)."""
        kill_at = self.stopping.get(handle.folder)
        if kill_at is None:
            kill_at = self.stopping[handle.folder] = time.monotonic() + self.grace()
            processes.kill(orphans.processes, signal.SIGTERM)
            processes.kill(orphans.processes, signal.SIGCONT)  # a stopped process cannot answer TERM
        return kill_at

    def _kill(self, handle: Handle, orphans: Unsupervised) -> None:
        start = known_start(handle)
        if start is not None and start.tree:
            cgroup.kill(start.tree)  # at one stroke, with what is being forked now
        processes.kill(orphans.processes, signal.SIGKILL)

    def forget(self, handle: Handle) -> None:
        """Let go of the GPUs of an attempt that is over."""
        cards = self.cards.pop(handle.folder, None)
        if cards is not None:
            _let_go(cards)
        self.stopping.pop(handle.folder, None)


def _let_go(cards: _Cards) -> None:
    if isinstance(cards.lease, Lease):
        cards.lease.close()
