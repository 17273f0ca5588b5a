"""A cgroup v2 of its own for each attempt: found, killed and verified at one stroke; never required.

The daemon makes it before it parks a shim, the shim moves itself in while it is parked (moving costs
about 13 ms of waiting for the kernel, being born inside nothing), and so the job is inside from its
first instruction. Where none can be made (delegation varies), or `cgroup = "off"`, all there is is the
walk through /proc. The number of processes is limited by the pids controller: of the same cgroup where
its parent has that enabled for its children, else of a cgroup v1 hierarchy, else not at all.

subtree_control is never touched: a unit's cgroup that holds processes (the daemon) may not have it, and
a service manager could not start the daemon again in one that has it and a job below.

Standard library alone, for the shim. No function here raises OSError.
"""

import os
from collections.abc import Iterator

from ardaemon.host import operations, proc

PREFIX = "ardaemon-"
# systemd's DelegateSubgroup=daemon puts the daemon in a leaf of this name: then the unit's own cgroup
# holds no process, may have controllers enabled, and is where the attempts' cgroups belong.
SUBGROUP = "daemon"
_made = 0


class Tree:
    """One attempt's cgroups by their folders in the file system; empty names where there are none."""

    def __init__(self, home: str = "", group: str = "", pids: str = "") -> None:
        self.home, self.group, self.pids = home, group, pids
        self.inside = False  # is this very process in `group`?

    def enter(self) -> None:
        """Move this process in; whatever it starts is born inside."""
        self.inside = self.group != "" and _write(f"{self.group}/cgroup.procs", "0")
        if not self.inside:
            self.pids = "" if self.pids == self.group else self.pids
            self.group = ""
        if self.pids not in ("", self.group) and not _write(f"{self.pids}/cgroup.procs", "0"):
            self.pids = ""

    def leave(self) -> None:
        """Move this process out, so that the rest can be killed; where that fails, the walk has to do."""
        if self.inside and not _write(f"{self.home}/cgroup.procs", "0"):
            self.group = ""
        self.inside = False

    def kill(self) -> None:
        """SIGKILL to all that are inside, and to whatever they are forking now; this process has left."""
        if self.group:
            kill(self.group)

    def living(self) -> dict[int, int]:
        """Who is inside, as pid -> start time; this process left out."""
        found = living(self.group) if self.group else {}
        found.pop(os.getpid(), None)
        return found

    def empty(self) -> bool:
        """Nothing but this process is inside; once it has left, by the kernel's own count."""
        return not self.living() and (self.inside or not populated(self.group))

    def at_limit(self) -> bool:
        """Was a fork refused because of pids_max?"""
        return self.pids != "" and _number(f"{self.pids}/pids.events", "max") > 0

    def oom_kills(self) -> int:
        """How often the kernel killed for memory here (memory.events), or in the cgroup around."""
        for folder in (self.group, self.home or own("")):
            if folder and os.path.exists(f"{folder}/memory.events"):
                return _number(f"{folder}/memory.events", "oom_kill")
        return 0


def make(pids_max: int) -> Tree:
    """New cgroups beside or below the daemon's own; with empty names where the system lets us make none."""
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
        return Tree(home, group, group)
    pids = _make(own("pids"), name)
    if pids and not _write(f"{pids}/pids.max", limit):
        remove(pids)
        pids = ""
    return Tree(home, group, pids)


def ours(folder: str) -> bool:
    """Can that be an attempt's cgroup? What stands in a file that a job may write is not believed blindly."""
    parts = folder.split("/")
    if not parts[-1].startswith(PREFIX) or ".." in parts:
        return False
    mounts = [*_mounts("cgroup2", ""), *_mounts("cgroup", "pids")]
    return any(folder.startswith(f"{point}/") for _, point in mounts)


def living(folder: str) -> dict[int, int]:
    """Every process in that cgroup and below it, as pid -> start time; no zombies."""
    found = {}
    for inner, _, _ in os.walk(folder):
        for word in _read(f"{inner}/cgroup.procs").split():
            start = proc.start_time(int(word))
            if start is not None:
                found[int(word)] = start
    return found


def populated(folder: str) -> bool:
    """Does any process live in it or below it? The kernel's own word (cgroup.events)."""
    return folder != "" and _number(f"{folder}/cgroup.events", "populated") > 0


def kill(folder: str) -> bool:
    """SIGKILL to everything in it and below it."""
    return _write(f"{folder}/cgroup.kill", "1")


def remove(folder: str) -> None:
    """Remove it with what a job made below it; it stays while something lives in it."""
    for inner, _, _ in os.walk(folder, topdown=False) if folder else ():
        operations.at("cgroup", inner, "remove")
        try:
            os.rmdir(inner)
        except OSError:
            return


def sweep() -> None:
    """Remove empty cgroups of daemons that are gone."""
    for parent in (_parent(), own("pids")):
        for name in _names(parent):
            if not _maker_lives(name):
                remove(f"{parent}/{name}")


def _maker_lives(name: str) -> bool:
    pid, _, start = name.removeprefix(PREFIX).rpartition("-")[0].partition("-")
    return pid.isdigit() and str(proc.start_time(int(pid))) == start


def _parent() -> str:
    """Where the attempts' cgroups are made."""
    home = own("")
    return os.path.dirname(home) if os.path.basename(home) == SUBGROUP else home


def own(controller: str) -> str:
    """The folder of this process's cgroup: of v2 (""), or of a controller's v1 hierarchy; "" if unknown."""
    for line in _read("/proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        wanted = controller in controllers.split(",") if controller else number == "0"
        if wanted:
            kind = "cgroup" if controller else "cgroup2"
            return next((found for found in _below(_mounts(kind, controller), path)), "")
    return ""


def _below(mounts: Iterator[tuple[str, str]], path: str) -> Iterator[str]:
    """Where a cgroup's path is seen: a mount may show only what is below its root."""
    for root, point in mounts:
        root = root.rstrip("/")
        if path == root or path.startswith(f"{root}/"):
            yield f"{point}{path[len(root) :]}".rstrip("/")


def _mounts(kind: str, option: str) -> Iterator[tuple[str, str]]:
    """(root, mount point) of every mount of that type (proc(5), mountinfo)."""
    for line in _read("/proc/self/mountinfo").splitlines():
        mount, _, filesystem = line.partition(" - ")
        words, found = mount.split(), filesystem.split()
        if found[0] == kind and (option == "" or option in found[-1].split(",")):
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
    """The value of one line `name value`; 0 if there is none."""
    for line in _read(path).splitlines():
        found, _, value = line.partition(" ")
        if found == name and value.isdigit():
            return int(value)
    return 0
