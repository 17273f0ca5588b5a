"""Leases: which daemon of this machine has a GPU, told by kernel locks that all its users can see.

Each daemon has a file of its own per card, named by the card's UUID and by itself. It locks that, and then
looks whether anybody else's is locked. Each locks before it looks, so of two that do so at once at least
one sees the other: never do both get the card. (That neither does is possible: both ask again later.)

One file per card for everybody would be simpler, and is not enough: whoever made it may remove it while it
is held, sticky folder or not, and then two can lock two files of one name. Here that harms nobody but him.
Nor is another's file ever opened for writing or with O_CREAT (which fs.protected_regular forbids); whose the
card is, its file's owner tells; and several runs of one daemon can share a card, before and after it was
restarted, with no descriptor that would have to be found again.

The locks belong to an open file description (fcntl(2), F_OFD_SETLK). As flock(2)'s they live until the last
copy of the descriptor is closed, in the daemon, in the shim and in the job. Other than those they can be
looked at without being taken, and cover ranges: byte 0 for all of a card, byte 1 for a MIG instance of it.
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
NAMES_MAX = 100_000  # in the folder, which anybody may fill: some 50 ms of looking
# Nothing that a path could take amiss; old MIG names have slashes, which become underscores.
_UUID = re.compile(r"[A-Za-z][0-9A-Za-z/-]{0,95}")
_NAME = re.compile(r"ardaemon-([0-9A-Za-z_-]+)\.([0-9]+-[0-9a-f]{8})\.lease")


class CardId(NamedTuple):
    """A GPU, or a MIG instance and the GPU that it is a part of, by UUID."""

    uuid: str
    parent: str | None = None


class Taken(NamedTuple):
    """A lease cannot be had: for which card, and why, for a person."""

    uuid: str
    why: str
    ours: bool = False  # something that this daemon started holds it


class Lease:
    """Cards that are held while a copy of its descriptors is open, here or in another process."""

    def __init__(self) -> None:
        self.fds: list[int] = []

    def close(self) -> None:
        """Give up the copies of this process; twice does no harm."""
        while self.fds:
            os.close(self.fds.pop())


class _Use(NamedTuple):
    """How a card is held: the lock on one's own file, and what must be free there and in others'."""

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
        """`folder`: of lease_folder.find; None: every card can be had. `state`: the daemon's state folder."""
        self.folder = folder
        self.owner = f"{os.geteuid()}-{sha256(os.fsencode(state)).hexdigest()[:8]}"

    def take(self, cards: Iterable[CardId], share: bool = False) -> Lease | Taken:
        """All of them or none, without waiting; `share`: with other sharing runs of this daemon."""
        uses, lease = _uses(cards, _SHARED if share else _ALONE), Lease()
        if self.folder is None or not uses:
            return lease
        refused = self._busy(self.folder, uses)  # at first too: who only waits is in nobody's way
        for uuid, use in sorted(uses.items()):
            refused = refused or self._lock(self.folder, uuid, use, lease)
        refused = refused or self._busy(self.folder, uses)
        if refused is not None:
            lease.close()
        return refused or lease

    def holder(self, card: CardId) -> str | None:
        """Why it cannot be had from other daemons, for a person; None where it can."""
        refused = None if self.folder is None else self._busy(self.folder, _uses([card], _SHARED))
        return refused and refused.why

    def _busy(self, folder: Path, uses: dict[str, _Use]) -> Taken | None:
        """The first of the cards that another daemon has."""
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
        """Lock this daemon's own file of that card, and put it to the others."""
        path = folder / f"ardaemon-{_stem(uuid)}.{self.owner}.lease"
        try:
            fd = lease_file.open_own(path)
            lease.fds.append(fd)
            why = lease_file.odd(fd, path)
            if why is None:
                free = not lease_file.locked(fd, use.own_free)
                if not free or not lease_file.lock(fd, use.kind, use.lock):
                    return Taken(uuid, "an earlier run of this daemon still has it", ours=True)
                why = lease_file.odd(fd, path)  # removed meanwhile?
        except OSError as error:
            why = f"{path}: {error.strerror}"
        return Taken(uuid, why) if why else None


def _uses(cards: Iterable[CardId], use: _Use) -> dict[str, _Use]:
    cards = list(cards)
    parents = {card.parent: _PARENT for card in cards if card.parent is not None}
    return {**parents, **{card.uuid: use for card in cards}}


def _unfit(uses: dict[str, _Use]) -> Taken | None:
    """What NVML says becomes a file's name only if it looks like a UUID."""
    wrong = next((uuid for uuid in uses if not _UUID.fullmatch(uuid)), None)
    if wrong is not None:
        return Taken(wrong, "that is no UUID of a GPU")
    return Taken(max(uses), f"more than {LEASES_MAX} leases") if len(uses) > LEASES_MAX else None


def _stem(uuid: str) -> str:
    return uuid.replace("/", "_")


def _files(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Every lease file: its name, the card in it, and its daemon. Raises OSError if there are too many."""
    with os.scandir(folder) as entries:
        for count, entry in zip(itertools.count(), entries, strict=False):
            if count == NAMES_MAX:
                raise OSError(errno.E2BIG, f"more than {NAMES_MAX} files in it")
            match = _NAME.fullmatch(entry.name)
            if match is not None:
                yield entry.name, match[1], match[2]
