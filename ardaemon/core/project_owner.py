"""Which daemon may change a project: the record in `.autoresearch/.owner`, and what others do about it.

The file carries a kernel lock, which the kernel takes back when its holder ends. So on one machine the lock
tells whether the owner lives, also where its pid cannot be seen (a container). The record tells who it is.

Between machines that share a network file system a lock may tell nothing. There the owner has a lease: it
writes its record anew all the time, and the file's own time tells when it last did.
"""

from typing import Literal

from msgspec import Struct

from ardaemon.core.locking import Lock
from ardaemon.core.model import Record

# The owner keeps a project for so long after its last run and its last change: an agent's next edit comes
# sooner, so that a night's work takes the lock once.
LET_GO_S = 60.0
# The owner writes its record anew so often: some tries may fail before others think that it has ended.
RENEW_S = 60.0
# A lease that was not renewed for so long is stale: longer than a server's failover takes (minutes), short
# enough for a person who waits. A project is then taken over by a person alone, if runs were left.
STALE_S = 600.0
# own: this daemon may take the project. The others say why it may not:
# resting: the owner has no run and lets go soon; measuring: it has launches for idle places alone, and ends
# them if another daemon asks; busy: it lives; left: it has ended, and its runs have not;
# user: it is another user's; host: it is on another machine, whose locks may not be seen here; stale: so it
# is, and its lease is over.
Standing = Literal["own", "resting", "measuring", "busy", "left", "user", "host", "stale"]


class ProjectOwner(Record, frozen=True, kw_only=True):
    """The content of .owner. The file is removed when the owner lets go."""

    host: str
    machine: str  # machine-id(5)
    boot_id: str
    pid_namespace: int  # the inode of /proc/self/ns/pid: pids of another one mean nothing here
    pid: int
    start: int  # in clock ticks since boot, as proc.start_time has it
    uid: int
    state: str  # the daemon's state folder
    key: str  # of that folder: a hash, for in a container another one may have the same path
    since: str
    active: bool = True  # it has runs that are not committed, or a change is under way
    idle: bool = False  # of these are launches for idle places alone: a hint, which is written a little later
    locks: bool = True  # the file system has locks

    def is_of(self, other: "ProjectOwner") -> bool:
        """Return whether both are daemons of one state folder, which has one at a time."""
        mine = (self.machine, self.host, self.uid, self.state, self.key)
        return mine == (other.machine, other.host, other.uid, other.state, other.key)


class Seen(Struct, frozen=True):
    """The owner of a project as another daemon sees it."""

    record: ProjectOwner | None  # None: nobody, or one whose record cannot be read
    lock: Lock
    lives: bool | None = None  # its process, by pid and start; None: it cannot be seen from here
    local: bool = True  # the file system is one that no other machine can have mounted
    renewed_s: float | None = None  # how long ago its record was written; None: nobody has looked


def standing(seen: Seen, me: ProjectOwner, up_s: float = 0.0) -> Standing:
    """Decide whether `me` may take the project, or why not. `up_s`: how long ago this machine was started."""
    record = seen.record
    held = seen.lock == "held" or (seen.lock == "unknown" and seen.lives is True)
    if record is None:
        return "busy" if held else "own"
    if record.uid != me.uid:
        return "user" if held or record.active else "own"
    if held:
        return _at_work(record)
    if not is_here(seen, me, up_s):
        return _elsewhere(record, seen)
    if record.is_of(me):
        return "own"
    return "left" if record.active else "own"


def _at_work(record: ProjectOwner) -> Standing:
    if not record.active:
        return "resting"
    return "measuring" if record.idle else "busy"


def is_here(seen: Seen, me: ProjectOwner, up_s: float) -> bool:
    """Tell whether a lock that is free, or a pid that is not there, proves that the owner has ended.

    Several machines may bear one name and machine-id (nodes that start from one image). So a record of
    another boot is one of this machine only if it was not renewed since this machine was started.
    """
    record = seen.record
    if record is None:
        return True
    if record.boot_id == me.boot_id:
        return seen.lock != "unknown" or seen.lives is not None
    if seen.local:
        return True
    same = (record.machine, record.host) == (me.machine, me.host)
    return same and seen.renewed_s is not None and seen.renewed_s >= up_s


def _elsewhere(record: ProjectOwner, seen: Seen) -> Standing:
    """Say how an owner stands whose end only its lease can tell."""
    if seen.renewed_s is None or seen.renewed_s < STALE_S:
        return "host" if record.active else "resting"
    return "stale" if record.active else "own"
