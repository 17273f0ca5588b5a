"""The local engine's needs of the daemon around it."""

from typing import Protocol

from ardaemon.core.queue import Seat
from ardaemon.gpus.lease import Lease, Taken


class Lessor(Protocol):
    """Leases this machine's GPUs to attempts."""

    async def lease(self, seat: Seat) -> Lease | Taken:
        """Take the GPUs of a seat, against the daemons of other users."""
        ...
