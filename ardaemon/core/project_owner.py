"""Which daemon may change a project: the record in `.autoresearch/.owner`, and what others do about it.

The file carries a kernel lock, which the kernel takes back when its holder ends. So on one machine the lock
tells whether the owner lives, also where its pid cannot be seen (a container). The record tells who it is.
"""

from typing import Literal

from msgspec import Struct

from ardaemon.core.model import Record

# The owner keeps a project for so long after its last run and its last change: an agent's next edit comes
# sooner, so that a night's work takes the lock once.
LET_GO_S = 60.0
# A lock that is free says that its owner has ended. `unknown`: this file system has no locks.
Lock = Literal["held", "free", "unknown"]
# own: this daemon may take the project. The others say why it may not:
# resting: the owner has no run and lets go soon; busy: it lives; left: it has ended, and its runs have not;
# user: it is another user's; host: it is on another machine, whose locks may not be seen here.
Standing = Literal["own", "resting", "busy", "left", "user", "host"]


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

    def is_of(self, other: "ProjectOwner") -> bool:
        """Return whether both are daemons of one state folder, which has one at a time."""
        mine = (self.machine, self.host, self.uid, self.state, self.key)
        return mine == (other.machine, other.host, other.uid, other.state, other.key)

    def is_near(self, other: "ProjectOwner") -> bool:
        """Return whether both are on one machine, if in other containers or before its last boot."""
        if self.boot_id == other.boot_id:
            return True
        return (self.machine, self.host) == (other.machine, other.host)


class Seen(Struct, frozen=True):
    """The owner of a project as another daemon sees it."""

    record: ProjectOwner | None  # None: nobody, or one whose record cannot be read
    lock: Lock
    lives: bool | None = None  # its process, by pid and start; None: it cannot be seen from here


def standing(seen: Seen, me: ProjectOwner) -> Standing:
    """Decide whether `me` may take the project, or why not."""
    record = seen.record
    held = seen.lock == "held" or (seen.lock == "unknown" and seen.lives is True)
    if record is None:
        return "busy" if held else "own"
    if record.uid != me.uid:
        return "user" if held or record.active else "own"
    if held:
        return "busy" if record.active else "resting"
    if record.is_of(me):
        return "own"
    if not record.is_near(me) or (seen.lock == "unknown" and seen.lives is None):
        return "host"
    return "left" if record.active else "own"
