"""A cgroup v2 for each attempt, by which all its processes are listed, killed and verified in one step.

The daemon makes the cgroup before it parks a shim. The shim moves itself in while it is parked, because
moving waits about 13 ms for the kernel and being born inside costs nothing; so the job is inside from its
first instruction. A cgroup is never required: where the daemon may make none (delegation varies), or with
`cgroup = "off"` in config.toml, the walk through /proc does the same work alone. The pids controller limits
the number of processes: that of the same cgroup if its parent has the controller enabled for its children,
else that of a cgroup v1 hierarchy. Without either there is no limit.

No function here writes subtree_control. A unit's cgroup that holds a process (the daemon) may not have it
set, and a service manager could not start the daemon again in a cgroup that has it set and a job below.

The shim uses this module, so it imports the standard library alone. No function here raises OSError.
"""

import os
import time

from ardaemon.host import operations, proc

TYPE_CHECKING = False  # typing costs more to import than this module
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PREFIX = "ardaemon-"
# With DelegateSubgroup=daemon systemd puts the daemon in a leaf of this name. Then the unit's own cgroup
# holds no process and may have controllers enabled, so the attempts' cgroups belong there.
SUBGROUP = "daemon"
# A shim enters its cgroup within milliseconds, also if its daemon was killed in that moment. An empty cgroup
# that is left for so long is in nobody's way: the next start removes it.
YOUNG_S = 60.0
_made = 0
_known: dict[tuple[str, str], list[tuple[str, str]]] = {}  # by type and option: mounts as (root, point)


class JobGroup:
    """The cgroups of one attempt, as folders in the cgroup file system; "" stands for one that there is not.

    `home` is the cgroup that the shim came from, `group` the attempt's own, and `pids` the one that limits
    the number of processes, which may be `group` itself.
    """

    def __init__(self, home: str = "", group: str = "", pids: str = "") -> None:
        self.home, self.group, self.pids = home, group, pids
        self.inside = False  # is this very process in `group`?

    def enter(self) -> None:
        """Move this process in. Every process that it starts from now on is born inside."""
        self.inside = self.group != "" and _write(f"{self.group}/cgroup.procs", "0")
        if not self.inside:
            self.pids = "" if self.pids == self.group else self.pids
            self.group = ""
        if self.pids not in ("", self.group) and not _write(f"{self.pids}/cgroup.procs", "0"):
            self.pids = ""

    def leave(self) -> None:
        """Move this process out, so that all the others can be killed at once.

        If the kernel refuses, the cgroup is given up (a kill would hit this process too) and the walk through
        /proc has to do.
        """
        if self.inside and not _write(f"{self.home}/cgroup.procs", "0"):
            self.group = ""
        self.inside = False

    def kill(self) -> None:
        """Send SIGKILL to all processes inside, and to those they are forking now. Call leave() before."""
        if self.group:
            kill(self.group)

    def living(self) -> dict[int, int]:
        """Return the processes inside as pid -> start time, without this process."""
        starts = living(self.group) if self.group else {}
        starts.pop(os.getpid(), None)
        return starts

    def empty(self) -> bool:
        """Return whether no process but this one is inside.

        Once this process has left, the kernel's own count must be zero as well: the list may miss a process
        that is being forked.
        """
        return not self.living() and (self.inside or not populated(self.group))

    def at_limit(self) -> bool:
        """Return whether a fork was refused because of pids_max."""
        return self.pids != "" and _number(f"{self.pids}/pids.events", "max") > 0

    def oom_kills(self) -> int:
        """Return how often the kernel killed for memory in this cgroup, or else in the one around it."""
        for folder in (self.group, self.home or own("")):
            if folder and os.path.exists(f"{folder}/memory.events"):
                return _number(f"{folder}/memory.events", "oom_kill")
        return 0


def make(pids_max: int) -> JobGroup:
    """Make new cgroups beside or below the daemon's own, for at most `pids_max` processes and threads.

    Names stay empty in the result where the system lets the daemon make none.
    """
    global _made
    _made += 1
    name = f"{PREFIX}{os.getpid()}-{proc.start_time(os.getpid())}-{_made}"
    home = own("")
    group = _make(_parent(), name)
    if group and not os.path.exists(f"{group}/cgroup.kill"):  # Linux before 5.14
        remove(group)
        group = ""
    limit = str(pids_max + 1)  # the shim counts as well
    if group and _write(f"{group}/pids.max", limit):
        return JobGroup(home, group, group)
    pids = _make(own("pids"), name)
    if pids and not _write(f"{pids}/pids.max", limit):
        remove(pids)
        pids = ""
    return JobGroup(home, group, pids)


def ours(folder: str) -> bool:
    """Return whether `folder` can be an attempt's cgroup.

    The name was read from a file that a job can write, so it is checked before anything is killed or removed
    there.
    """
    parts = folder.split("/")
    if not parts[-1].startswith(PREFIX) or ".." in parts:
        return False
    kinds = (("cgroup2", ""), ("cgroup", "pids"))
    return any(folder.startswith(f"{point}/") for kind in kinds for _, point in _mounts(*kind))


def living(folder: str) -> dict[int, int]:
    """Return every process in that cgroup and below it, zombies left out, as pid -> start time."""
    starts = {}
    for inner, _, _ in os.walk(folder):
        for word in _read(f"{inner}/cgroup.procs").split():
            start = proc.start_time(int(word))
            if start is not None:
                starts[int(word)] = start
    return starts


def populated(folder: str) -> bool:
    """Return whether the kernel counts any process in that cgroup or below it (cgroup.events)."""
    return folder != "" and _number(f"{folder}/cgroup.events", "populated") > 0


def kill(folder: str) -> bool:
    """Send SIGKILL to every process in that cgroup and below it. Return whether the kernel took the order."""
    return _write(f"{folder}/cgroup.kill", "1")


def remove(folder: str) -> None:
    """Remove that cgroup and those that a job made below it. A cgroup in which a process lives stays."""
    for inner, _, _ in os.walk(folder, topdown=False) if folder else ():
        operations.at("cgroup", inner, "remove")
        try:
            os.rmdir(inner)
        except OSError:
            return


def sweep() -> None:
    """Remove empty cgroups of daemons that are gone, but for those that a shim may be about to enter."""
    for parent in (_parent(), own("pids")):
        for name in _names(parent):
            if not _maker_lives(name) and _age_s(f"{parent}/{name}") >= YOUNG_S:
                remove(f"{parent}/{name}")


def _age_s(folder: str) -> float:
    try:
        return time.time() - os.stat(folder).st_mtime
    except OSError:
        return 0.0  # it is gone


def _maker_lives(name: str) -> bool:
    pid, _, start = name.removeprefix(PREFIX).rpartition("-")[0].partition("-")
    return pid.isdigit() and str(proc.start_time(int(pid))) == start


def _parent() -> str:
    """Return the cgroup in which the attempts' cgroups are made."""
    home = own("")
    return os.path.dirname(home) if os.path.basename(home) == SUBGROUP else home


def own(controller: str) -> str:
    """Return the folder of this process's cgroup, "" if it is unknown.

    `controller` "" means cgroup v2; any other word the v1 hierarchy of that controller.
    """
    for line in _read("/proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        wanted = controller in controllers.split(",") if controller else number == "0"
        if wanted:
            kind = "cgroup" if controller else "cgroup2"
            return next(_below(_mounts(kind, controller), path), "")
    return ""


def unit() -> str:
    """Return the name of the systemd service in whose cgroup this process is; "" if it is in none."""
    for line in _read("/proc/self/cgroup").splitlines():
        services = [part for part in line.split("/") if part.endswith(".service")]
        if services:
            return services[-1]
    return ""


def _below(mounts: "Iterable[tuple[str, str]]", path: str) -> "Iterator[str]":
    """Yield the folders at which a cgroup's path is visible: a mount may show only what is below its root."""
    for root, point in mounts:
        root = root.rstrip("/")
        if path == root or path.startswith(f"{root}/"):
            yield f"{point}{path[len(root) :]}".rstrip("/")


def _mounts(kind: str, option: str) -> "list[tuple[str, str]]":
    """Return (root, mount point) of every mount of that type with that option (proc(5), mountinfo).

    Read once: the kernel writes the table of all mounts anew for every reader, and the system mounts its
    cgroups before any user has a process. Where there is none, each call looks again.
    """
    if not _known.get((kind, option)):
        _known[kind, option] = list(_mounted(kind, option))
    return _known[kind, option]


def _mounted(kind: str, option: str) -> "Iterator[tuple[str, str]]":
    for line in _read("/proc/self/mountinfo").splitlines():
        mount, _, filesystem = line.partition(" - ")
        words, tail = mount.split(), filesystem.split()
        if tail[0] == kind and (option == "" or option in tail[-1].split(",")):
            yield words[3], words[4].replace("\\040", " ")


def _make(parent: str, name: str) -> str:
    if parent == "":
        return ""
    operations.at("cgroup", f"{parent}/{name}", "make")
    try:
        os.mkdir(f"{parent}/{name}")
    except OSError:
        return ""
    return f"{parent}/{name}"


def _names(parent: str) -> list[str]:
    try:
        return [name for name in os.listdir(parent) if name.startswith(PREFIX)] if parent else []
    except OSError:
        return []


def _write(path: str, word: str) -> bool:
    operations.at("cgroup", path, word)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)  # never created
        try:
            os.write(fd, word.encode())
        finally:
            os.close(fd)
    except OSError:
        return False
    return True


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def _number(path: str, name: str) -> int:
    """Return the value of the line `name value` in a file; 0 if there is no such line."""
    for line in _read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdigit():
            return int(value)
    return 0
