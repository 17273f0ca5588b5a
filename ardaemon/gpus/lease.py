"""Leases: which daemon of this machine has a GPU, by kernel locks that the daemons of all users can see.

Each daemon has a file of its own per card, named by the card's UUID and by the daemon. It locks its
file, and then looks whether the file of another daemon is locked. Each locks before it looks, so of two
daemons that do so at once at least one sees the other, and they never both get the card. (It is
possible that neither does: both ask again later.)

One file per card for all daemons would be simpler, but it is not enough. The user who made it may
remove it while another daemon has it locked, in a sticky folder too, and then two daemons can lock two
files of one name. With a file for each daemon, a user who removes one harms only himself. There are
more advantages. No daemon opens another's file for writing or with O_CREAT (which fs.protected_regular
forbids). The file's owner tells whose the card is. Several runs of one daemon can share a card, before
and after a restart, with no descriptor that would have to be found again.

The locks belong to an open file description (fcntl(2), F_OFD_SETLK). Like those of flock(2) they live
until the last copy of the descriptor is closed, in the daemon, in the shim and in the job. Unlike those
they can be looked at without being taken, and they cover ranges: byte 0 stands for all of a card, byte
1 for a MIG instance of it.
"""

import errno
import fcntl
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from ardaemon.gpus import lease_file, lease_folder
from ardaemon.gpus.lease_file import Bytes
from ardaemon.shim import handover

LEASES_MAX = handover.LEASES_MAX
NAMES_MAX = 100_000  # files in the folder, which anybody may fill: some 50 ms of looking
# No characters that mean something in a path, but the slashes of old MIG names, which become underscores.
_UUID = re.compile(r"[A-Za-z][0-9A-Za-z/-]{0,95}")
_NAME = re.compile(r"ardaemon-([0-9A-Za-z_-]+)\.([0-9]+-[0-9a-f]{8})\.lease")


class CardId(NamedTuple):
    """The UUID of a GPU, or of a MIG instance with that of the GPU that it is a part of."""

    uuid: str
    parent: str | None = None


class Taken(NamedTuple):
    """The answer that a lease cannot be had: for which card, and why, in words for a person."""

    uuid: str
    why: str
    ours: bool = False  # a run of this daemon has it


class Lease:
    """A lease of cards. It lasts while a copy of its descriptors is open, in this or in another process."""

    def __init__(self) -> None:
        self.fds: list[int] = []

    def close(self) -> None:
        """Close this process's copies of the descriptors. A second call does no harm."""
        while self.fds:
            os.close(self.fds.pop())


class _Use(NamedTuple):
    """A way to have a card: the lock on one's own file, and the bytes that must be free in all files."""

    kind: int
    lock: Bytes
    own_free: Bytes
    others_free: Bytes


_WHOLE, _PART, _ANY = Bytes(0, 1), Bytes(1, 1), Bytes(0, 2)
_ALONE = _Use(fcntl.F_WRLCK, _ANY, _ANY, _ANY)
_SHARED = _Use(fcntl.F_RDLCK, _WHOLE, _PART, _ANY)  # with other runs of this daemon, never with another's
_PARENT = _Use(fcntl.F_RDLCK, _PART, _WHOLE, _WHOLE)  # of a MIG instance: nobody may have all of it


class Leases:
    """The leases of one daemon."""

    def __init__(self, folder: Path | None, state: Path) -> None:
        """Take the folder that lease_folder.find() has chosen, and the daemon's state folder.

        Without a folder (None) no lease is needed, and every card can be had.
        """
        self.folder = folder
        self.owner = f"{os.geteuid()}-{sha256(os.fsencode(state)).hexdigest()[:8]}"

    def take(self, cards: Iterable[CardId], share: bool = False) -> Lease | Taken:
        """Lease all the cards or none, without waiting.

        With `share` sharing runs of this daemon may have them too.
        """
        uses, lease = _uses(cards, _SHARED if share else _ALONE), Lease()
        if self.folder is None or not uses:
            return lease
        # A look before the locks as well: a daemon that only asks again and again must not lock others out.
        refused = self._busy(self.folder, uses)
        for uuid, use in sorted(uses.items()):
            refused = refused or self._lock(self.folder, uuid, use, lease)
        refused = refused or self._busy(self.folder, uses)
        if refused is not None:
            lease.close()
        return refused or lease

    def holder(self, card: CardId) -> str | None:
        """Say in words why a card cannot be had because of another daemon; None if it can."""
        refused = None if self.folder is None else self._busy(self.folder, _uses([card], _SHARED))
        return refused and refused.why

    def _busy(self, folder: Path, uses: dict[str, _Use]) -> Taken | None:
        """Return the refusal for the first of the cards that another daemon has; None if there is none."""
        fault = lease_folder.fault_of(folder)
        if fault is not None:
            return Taken(min(uses), fault)
        try:
            return _unfit(uses) or self._seen(folder, uses)
        except OSError as error:
            return Taken(min(uses), f"{folder}: {error.strerror}")

    def _seen(self, folder: Path, uses: dict[str, _Use]) -> Taken | None:
        wanted = {_stem(uuid): uuid for uuid in uses}
        for name, stem, owner in _files(folder):
            if stem in wanted and owner != self.owner:
                uuid = wanted[stem]
                why = lease_file.holder(folder / name, uses[uuid].others_free)
                if why is not None:
                    return Taken(uuid, why)
        return None

    def _lock(self, folder: Path, uuid: str, use: _Use, lease: Lease) -> Taken | None:
        """Lock this daemon's own file of that card for the lease; return the refusal if that fails."""
        path = folder / f"ardaemon-{_stem(uuid)}.{self.owner}.lease"
        try:
            fd = lease_file.open_own(path)
            lease.fds.append(fd)
            why = lease_file.odd(fd, path)
            if why is None:
                free = not lease_file.locked(fd, use.own_free)
                if not free or not lease_file.lock(fd, use.kind, use.lock):
                    return Taken(uuid, "an earlier run of this daemon still has it", ours=True)
                why = lease_file.odd(fd, path)  # again: the file may have been removed meanwhile
        except OSError as error:
            why = f"{path}: {error.strerror}"
        return Taken(uuid, why) if why else None


def _uses(cards: Iterable[CardId], use: _Use) -> dict[str, _Use]:
    cards = list(cards)
    parents = {card.parent: _PARENT for card in cards if card.parent is not None}
    return {**parents, **{card.uuid: use for card in cards}}


def _unfit(uses: dict[str, _Use]) -> Taken | None:
    """Refuse UUIDs that do not look like one: each becomes a part of a file's name."""
    wrong = next((uuid for uuid in uses if not _UUID.fullmatch(uuid)), None)
    if wrong is not None:
        return Taken(wrong, "that is not the UUID of a GPU")
    return Taken(max(uses), f"more than {LEASES_MAX} leases") if len(uses) > LEASES_MAX else None


def _stem(uuid: str) -> str:
    return uuid.replace("/", "_")


def _files(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the name of every lease file, with the card and the daemon in it.

    Raises OSError if there are too many files in the folder.
    """
    with os.scandir(folder) as entries:
        for count, entry in zip(itertools.count(), entries, strict=False):
            if count == NAMES_MAX:
                raise OSError(errno.E2BIG, f"more than {NAMES_MAX} files in it")
            match = _NAME.fullmatch(entry.name)
            if match is not None:
                yield entry.name, match[1], match[2]
