"""Adoption: an attempt whose shim is lost is held to its deadline, and to its GPUs, by the daemon."""

import logging
import signal
import time
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
    """The GPUs of one attempt, and what came of the try to lease them, once its shim was lost."""

    seat: Seat
    held: Lease | Taken | None = None


class Adoption:
    """Stands in for shims that are gone."""

    def __init__(self, prober: Prober, lessor: Lessor, grace: float) -> None:
        self.prober, self.lessor, self.grace = prober, lessor, grace
        # Attempts whose end was asked for; of an unsupervised one, until when it may end by itself.
        self.stopping: dict[str, float | None] = {}
        self.cards: dict[str, _Cards] = {}  # of attempts on GPUs, by folder

    def hold(self, handle: Handle, seat: Seat) -> None:
        """From now on an attempt whose shim is lost has the GPUs of its seat held by us."""
        before = self.cards.get(handle.folder)
        if before is not None and before.seat == seat:
            return
        if before is not None:  # of a launch that was taken back
            _let_go(before)
        self.cards[handle.folder] = _Cards(seat)

    async def adopt(self, handle: Handle, found: Unsupervised) -> list[Process]:
        """Stand in for the dead shim: wait for the tree's end, or kill it at its deadline.

        Returns what survived that; for the rest, look again.
        """
        await self._hold(handle)
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

    async def _hold(self, handle: Handle) -> None:
        """Hold the GPUs of an adopted job, which may have closed what it inherited."""
        cards = self.cards.get(handle.folder)
        if cards is None or isinstance(cards.held, Lease):
            return
        before, cards.held = cards.held, await self.lessor.lease(cards.seat)
        if self.cards.get(handle.folder) is not cards:  # the attempt was given up meanwhile
            _let_go(cards)
            return
        # Where the job's own copies hold them, all is well. Asked again with each look: said once.
        if isinstance(cards.held, Taken) and not cards.held.ours and cards.held != before:
            log.warning("lease not held", extra={"facts": {"folder": handle.folder, **cards.held._asdict()}})

    async def _kill_adopted(self, handle: Handle) -> list[Process]:
        """TERM, grace, KILL, as a shim does it; returns what survived."""
        found = await anyio.to_thread.run_sync(self.prober.probe, handle)
        if not isinstance(found, Unsupervised):
            return []
        kill_at = self.ask_to_end(handle, found)
        while time.monotonic() < kill_at + SURVIVES_S:
            if time.monotonic() >= kill_at:
                self._kill(handle, found)
            await anyio.sleep(KILL_POLL_S)
            found = await anyio.to_thread.run_sync(self.prober.probe, handle)
            if not isinstance(found, Unsupervised):
                return []
        return list(found.processes)

    def ask_to_end(self, handle: Handle, found: Unsupervised) -> float:
        """TERM, once; returns when KILL is due (CLOCK_MONOTONIC)."""
        kill_at = self.stopping.get(handle.folder)
        if kill_at is None:
            kill_at = self.stopping[handle.folder] = time.monotonic() + self.grace
            processes.kill(found.processes, signal.SIGTERM)
            processes.kill(found.processes, signal.SIGCONT)  # a stopped process cannot answer TERM
        return kill_at

    def _kill(self, handle: Handle, found: Unsupervised) -> None:
        start = known_start(handle)
        if start is not None and start.tree:
            cgroup.kill(start.tree)  # at one stroke, with what is being forked now
        processes.kill(found.processes, signal.SIGKILL)

    def forget(self, handle: Handle) -> None:
        """It is over: let go of its GPUs."""
        cards = self.cards.pop(handle.folder, None)
        if cards is not None:
            _let_go(cards)
        self.stopping.pop(handle.folder, None)


def _let_go(cards: _Cards) -> None:
    if isinstance(cards.held, Lease):
        cards.held.close()
