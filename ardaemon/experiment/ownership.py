"""The projects that this daemon owns: no other daemon changes anything in them.

Whoever is about to change a project comes by here, in the thread that changes it. The first change takes the
project's lock. Each later one looks whether that lock is still the one in the project's folder: somebody may
have removed the folder and made it anew, or put a backup in its place. Reading takes no lock.

A folder without `.autoresearch/` has no owner: there is nothing to change but what `arctl init` makes by one
rename.
"""

import hmac
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import anyio
from msgspec.structs import replace

from ardaemon.core import project_owner
from ardaemon.core.errors import OwnedElsewhere
from ardaemon.core.layout import Project, boot_id
from ardaemon.core.locking import Lock
from ardaemon.core.places import machine_id
from ardaemon.core.project_owner import LET_GO_S, ProjectOwner, Seen, Standing
from ardaemon.experiment import generation
from ardaemon.experiment.owner_errors import other_name, other_users, refusal, replaced
from ardaemon.host import file_lock, file_system, owner_file, proc, state
from ardaemon.host.owner_file import OwnerFile

# Takes the runs of that owner, which stands so, before its project is taken.
TakeOver = Callable[[ProjectOwner, Standing], None]

log = logging.getLogger("ardaemon.owner")


def describe(state_folder: Path, key: bytes) -> ProjectOwner:
    """Return the record of this process as the daemon of that state folder, which has that secret."""
    return ProjectOwner(
        host=os.uname().nodename,
        machine=machine_id(),
        boot_id=boot_id(),
        pid_namespace=os.stat("/proc/self/ns/pid").st_ino,
        pid=os.getpid(),
        start=proc.start_time(os.getpid()) or 0,
        uid=os.getuid(),
        state=str(state_folder),
        key=described(key),
        since=state.now(),
    )


def described(key: bytes) -> str:
    """Return what an owner's record says of its state folder's secret."""
    return hmac.digest(key, b"project owner", "sha256").hex()[:16]


@dataclass
class _Held:
    """A project's lock in this daemon's hand."""

    file: OwnerFile
    home: tuple[int, int] | None  # the inode of .autoresearch/
    record: ProjectOwner
    changes: int = 0  # under way
    used: float = field(default_factory=time.monotonic)  # when the last one ended
    renewed: float = field(default_factory=time.monotonic)  # when the record was written


class _Adopting(NamedTuple):
    """What takes runs over from an owner, and of owners that stand how."""

    take_over: TakeOver
    standings: frozenset[Standing]


NOT_ADOPTING = _Adopting(lambda _, __: None, frozenset())


class Ownership:
    """Take, check and give back the locks of projects. Its methods block, and may be called in any thread.

    `has_runs` tells whether runs of a project are on the board; `keeps_runs`, whether all of those are this
    daemon's still, by their active entries; `only_idle`, whether all are launches for idle places.
    """

    def __init__(
        self,
        me: ProjectOwner,
        has_runs: Callable[[Path], bool] = lambda _: False,
        keeps_runs: Callable[[Path], bool] = lambda _: True,
        only_idle: Callable[[Path], bool] = lambda _: False,
    ) -> None:
        self.me, self.has_runs, self.keeps_runs, self.only_idle = me, has_runs, keeps_runs, only_idle
        self.changed = anyio.Event()  # replaced after each change
        self._held: dict[Path, _Held] = {}
        # One for each project: a disk that hangs holds up nobody else.
        self._locks: dict[Path, threading.Lock] = {}

    @contextmanager
    def changing(self, project: Path) -> Iterator[None]:
        """Own the project for the block. Raises OwnedElsewhere and Replaced, and then nothing is changed."""
        with self._alone(project), state.storage("look into", Project(project).home):
            held = self._require(project)
            if held is not None:
                held.changes += 1
        try:
            yield
        finally:
            if held is not None:
                with self._alone(project):
                    held.changes -= 1
                    held.used = time.monotonic()

    def adopt(self, project: Path, take_over: TakeOver, stale: bool = False) -> None:
        """Own the project also if its owner has ended and left runs: `take_over` takes them first.

        With `stale` also if it was on another host, and its lease is over. Raises OwnedElsewhere if the owner
        lives. Where `take_over` fails, the project stays the other one's.
        """
        with self._alone(project), state.storage("look into", Project(project).home):
            self._require(project, _Adopting(take_over, frozenset({"left", "stale"} if stale else {"left"})))

    def wake(self) -> None:
        """Let whoever gives projects back look again. On the event loop."""
        self.changed.set()
        self.changed = anyio.Event()

    def owned(self) -> list[Path]:
        """Return the projects whose lock this daemon has."""
        return list(self._held)

    def other(self, project: Path) -> OwnedElsewhere | None:
        """Return the error that names another daemon which has runs in the project, as its record tells.

        None if there is none. No lock is taken: the record is only read.
        """
        path = Project(project).owner
        record = owner_file.read(path) if project not in self._held else None
        if record is None or not record.active or _is_one(record, self.me):  # the project may be a copy
            return None
        up_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        why = project_owner.standing(self._as_read(path, record), self.me, up_s)
        if why == "own":
            return None
        error = refusal(project, record, why, self.me)
        if record.boot_id == self.me.boot_id and record.pid_namespace != self.me.pid_namespace:
            error.mend += "; if that container is gone: arctl adopt"
        return error

    def _as_read(self, path: Path, record: ProjectOwner) -> Seen:
        """Return the owner as far as its record and its process tell; unseen in a container, it lives."""
        may_live = record.boot_id == self.me.boot_id and self._lives(record) is not False
        return self._known(path, record, "held" if may_live else "free")

    def has_locks(self, project: Path) -> bool:
        """Tell whether the file system of a project that this daemon owns has locks."""
        held = self._held.get(project)
        return held is None or held.record.locks

    def unrenewed_s(self, project: Path) -> float:
        """Return for how long the record was not written, in seconds."""
        held = self._held.get(project)
        return time.monotonic() - held.renewed if held is not None else 0.0

    def renew(self, project: Path) -> None:
        """Write the record again, so that other machines see that its owner lives."""
        with self._alone(project):
            held = self._held.get(project)
            if held is not None and held.file.is_there():
                self._mark(held, held.record.active, held.record.idle)

    def want(self, project: Path) -> None:
        """Ask the owner of a project to let go once it has no run. Raises StorageError."""
        path = Project(project).owner_wanted
        with state.storage("write", path):
            owner_file.want(path)

    def rest(self, project: Path) -> bool:
        """Say in the record that no run is left, or launches for idle places alone: for that others wait.

        Return whether another daemon has asked for the project.
        """
        with self._alone(project):
            held = self._held.get(project)
            if held is not None:
                active = held.record.active and not self._is_idle(project, held)
                idle = active and self.only_idle(project)
                if (active, idle) != (held.record.active, held.record.idle):
                    self._mark(held, active, idle)
        return owner_file.is_wanted(Project(project).owner_wanted)

    def is_measuring(self, project: Path) -> bool:
        """Tell whether launches for idle places are all that is at work, or the record still says so."""
        held = self._held.get(project)
        return held is not None and (held.record.idle or self.only_idle(project))

    def idle_s(self, project: Path) -> float:
        """Return for how long nothing was changed, in seconds; 0 if a run or a change is under way."""
        held = self._held.get(project)
        if held is None or not self._is_idle(project, held):
            return 0.0
        return time.monotonic() - held.used

    def let_go(self, project: Path) -> bool:
        """Give the project back, if it is idle still; return whether this daemon does not own it any more."""
        with self._alone(project):
            held = self._held.get(project)
            if held is None:
                return True
            if not self._is_idle(project, held):
                return False
            owner_file.forget_wish(Project(project).owner_wanted)
            del self._held[project]
            held.file.remove()
            log.info("let go", extra={"facts": {"project": str(project)}})
            return True

    def _alone(self, project: Path) -> threading.Lock:
        return self._locks.setdefault(project, threading.Lock())

    def _is_idle(self, project: Path, held: _Held) -> bool:
        return held.changes == 0 and not self.has_runs(project)

    def _require(self, project: Path, adopting: _Adopting = NOT_ADOPTING) -> _Held | None:
        """Return the lock, taken now if it was not; None where nothing is there to own."""
        home = file_lock.inode(Project(project).home)
        held = self._held.get(project)
        if held is not None and not held.file.is_there():
            self._forget(project, held, home)
            held = None
        if home is None:
            return None
        if held is None:
            held = self._held[project] = self._take(project, home, adopting)
        elif not held.record.active:
            self._mark(held, active=True)
        return held

    def _forget(self, project: Path, held: _Held, home: tuple[int, int] | None) -> None:
        """Forget a lock that is not in its place any more.

        Raises Replaced if another folder, or another lock, stands there while runs are under way, or if
        another daemon has taken some of them over meanwhile.

        A copy from before of this daemon's own record alone is no other lock: git puts one there that tracks
        the file.
        """
        other = home is not None and (home != held.home or file_lock.inode(held.file.path) is not None)
        if other and home == held.home and self._is_copy(project, held):
            other = False
        if (other and self.has_runs(project)) or not self.keeps_runs(project):
            raise replaced(project)
        if home not in (None, held.home):
            generation.forget_others(Project(project))
        log.warning("the lock was removed", extra={"facts": {"project": str(project)}})
        del self._held[project]
        held.file.close()

    def _is_copy(self, project: Path, held: _Held) -> bool:
        """Tell whether this daemon's own record stands there, and sessions as new as it has written them."""
        record = held.file.read()
        ours = held.record.locks and record is not None and record.is_of(self.me)
        return ours and not generation.any_older(Project(project))

    def _take(self, project: Path, home: tuple[int, int], adopting: _Adopting) -> _Held:
        path = Project(project).owner
        self._require_one_name(project, file_lock.inode(path))
        with state.storage("lock", path):
            found = _opened(path)
            try:
                found = self._cleared(project, found, adopting)
                record = replace(self.me, since=state.now(), locks=found.lock != "unknown")
                found.write(record)
                owner_file.forget_wish(Project(project).owner_wanted)  # it was meant for the last owner
            except BaseException:
                found.close()
                raise
        log.info("owned", extra={"facts": {"project": str(project), "lock": found.lock}})
        return _Held(found, home, record)

    def _cleared(self, project: Path, found: OwnerFile, adopting: _Adopting) -> OwnerFile:
        """Return the file, once nobody else owns the project by it.

        It is a new one if another machine may have the old one open. Raises OwnedElsewhere.
        """
        seen, up_s = self._seen(found), time.clock_gettime(time.CLOCK_BOOTTIME)
        why = project_owner.standing(seen, self.me, up_s)
        if why in adopting.standings and seen.record is not None:
            adopting.take_over(seen.record, why)
        elif why != "own":
            raise refusal(project, seen.record, why, self.me, _rests_s(found.path))
        if project_owner.is_here(seen, self.me, up_s):
            return found
        found.replace()
        if not found.made or found.lock == "held":  # another one was faster
            raise refusal(project, found.read(), "host", self.me)
        return found

    def _require_one_name(self, project: Path, inode: tuple[int, int] | None) -> None:
        """Raise OwnedElsewhere if this daemon works in the project under another name (a move, a bind mount).

        The name of before is forgotten if the project was moved, and no run is left under it.
        """
        for other, held in list(self._held.items()):
            if held.file.inode != inode:
                continue
            if held.file.is_there() or self.has_runs(other):
                raise other_name(project, other)
            del self._held[other]
            held.file.close()

    def _seen(self, found: OwnerFile) -> Seen:
        record = None if found.made else found.read()
        if record is None:
            return Seen(None, found.lock, lives=not found.made)
        return self._known(found.path, record, found.lock)

    def _known(self, path: Path, record: ProjectOwner, lock: Lock) -> Seen:
        """Return the owner of that record; the file system is asked only where nothing else tells enough."""
        lives = self._lives(record)
        if record.boot_id == self.me.boot_id and (lock != "unknown" or lives is not None):
            return Seen(record, lock, lives)
        return Seen(record, lock, lives, file_system.is_local(path.parent), file_system.age_s(path))

    def _lives(self, record: ProjectOwner) -> bool | None:
        """Tell whether the owner's process lives; None if it cannot be seen from here."""
        there = (record.boot_id, record.pid_namespace)
        if there != (self.me.boot_id, self.me.pid_namespace):
            return None
        return proc.start_time(record.pid) == record.start

    def _mark(self, held: _Held, active: bool, idle: bool = False) -> None:
        record = replace(held.record, active=active, idle=idle)
        with state.storage("write", held.file.path):
            held.file.write(record, sync=False)  # each run marks it twice
        held.record, held.renewed = record, time.monotonic()


def _is_one(one: ProjectOwner, other: ProjectOwner) -> bool:
    """Tell whether both records are of one process."""
    return (one.boot_id, one.pid_namespace, one.pid, one.start) == (
        other.boot_id,
        other.pid_namespace,
        other.pid,
        other.start,
    )


def _rests_s(path: Path) -> float:
    """Return how long ago the owner has marked its record, by this machine's clock."""
    with suppress(OSError):
        return min(max(time.time() - os.stat(path).st_mtime, 0.0), LET_GO_S)
    return 0.0


def _opened(path: Path) -> OwnerFile:
    """Open the file and try to lock it. Raises OwnedElsewhere for another user's."""
    try:
        return owner_file.opened(path)
    except PermissionError:
        with suppress(OSError):
            uid = os.stat(path, follow_symlinks=False).st_uid
            if uid != os.getuid():
                raise other_users(path, uid) from None
        raise
