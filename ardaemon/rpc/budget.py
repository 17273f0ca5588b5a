"""How many bytes are held for clients: a few are each connection's own, for more there is a common budget.

A client that sends much, or does not read its answers, so takes neither the daemon's memory nor another
client's place.
"""

from ardaemon.core.config import CLIENTS_BYTES, CONNECTION_BYTES, OWN_BYTES
from ardaemon.core.errors import Overloaded


class Budget:
    """The bytes that are held for all clients together."""

    def __init__(self) -> None:
        self.held = 0


class Share:
    """The bytes that are held for one connection: of requests, and of answers that are not sent yet."""

    def __init__(self, budget: Budget) -> None:
        self.budget, self.held = budget, 0

    def has_room(self, size: int) -> bool:
        """Return whether `size` more bytes may be held."""
        own = self.held + size
        return own <= OWN_BYTES or (own <= CONNECTION_BYTES and self.budget.held + size <= CLIENTS_BYTES)

    def hold(self, size: int) -> None:
        """Count `size` more bytes; negative: they are gone."""
        self.held += size
        self.budget.held += size

    def close(self) -> None:
        """Count nothing more: the connection is closed."""
        self.hold(-self.held)


def full() -> Overloaded:
    """Return the error for a client for which no more bytes can be held."""
    return Overloaded(
        "too many bytes of requests and unread answers are held for clients",
        "read the answers that are due, then ask again",
    )
