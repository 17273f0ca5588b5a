"""Leasing: the GPUs of runs, against the daemons of other users; who was refused asks again later."""

import time

import anyio.to_thread

from ardaemon.core.config import Config
from ardaemon.core.events import LeaseRefused
from ardaemon.core.layout import Host
from ardaemon.core.queue import Seat
from ardaemon.gpus import lease_folder
from ardaemon.gpus.lease import CardId, Lease, Leases, Taken
from ardaemon.pipeline.flight import Flight
from ardaemon.queue.board import Board

WAITING_EVERY_S = 1.0  # a run waits for a GPU that somebody else has: there is no event for "it is free"
REFUSED_MOST_S = 60.0


class Leasing:
    """Lease GPUs to attempts, and remember which could not be had.

    Changed by code of the event loop only: a thread takes a lease and looks for its holder, no more.
    """

    def __init__(self, host: Host, config: Config, board: Board) -> None:
        self.board, self.gpus = board, board.placement.gpus
        self.place = lease_folder.find(config.lease_folder)
        self.leases = Leases(self.place.folder, host.state)
        self._refusals: dict[str, tuple[int, float]] = {}  # UUID -> times in a row, and when to try again

    async def lease(self, seat: Seat) -> Lease | Taken:
        """Take the GPUs of a seat, against the daemons of other users."""
        parents = {gpu.uuid: gpu.parent for gpu in self.gpus.readings}
        cards = [CardId(uuid, parents.get(uuid)) for uuid in seat.cards]
        lease = await anyio.to_thread.run_sync(self.leases.take, cards, seat.share)
        if isinstance(lease, Lease):
            for card in cards:
                self._refusals.pop(card.uuid, None)
        return lease

    async def refused(self, flight: Flight, taken: Taken) -> None:
        """Note that somebody else was faster: the run waits on, and says for whom."""
        await self.note(taken)
        self.board.tell(flight, LeaseRefused(gpu=taken.uuid, why=taken.why))

    async def note(self, taken: Taken) -> None:
        """Note which card could not be had, and when to ask again.

        A lease that is our own, or whose file is not in order, shows to nobody when it is free again.
        """
        holder = await anyio.to_thread.run_sync(self.leases.holder, CardId(taken.uuid))
        other, times = holder is not None, self._refusals.get(taken.uuid, (0, 0.0))[0]
        pause = 0.0 if other else min(WAITING_EVERY_S * 2**times, REFUSED_MOST_S)
        self._refusals[taken.uuid] = (0 if other else times + 1, time.monotonic() + pause)
        self.gpus.leased[taken.uuid] = taken.why

    # On the event loop, but only while a card is another's: it lists one local folder (lease.NAMES_MAX).
    def look(self, now: float) -> bool:
        """Look again at the GPUs that could not be had; return whether one of them can be had now."""
        free = [uuid for uuid in self.gpus.leased if self._is_free(uuid, now)]
        for uuid in free:
            del self.gpus.leased[uuid]
        return bool(free)

    def _is_free(self, uuid: str, now: float) -> bool:
        if now < self._refusals.get(uuid, (0, 0.0))[1]:
            return False
        parent = next((gpu.parent for gpu in self.gpus.readings if gpu.uuid == uuid), None)
        why = self.leases.holder(CardId(uuid, parent))
        if why is not None:
            self.gpus.leased[uuid] = why
        return why is None
