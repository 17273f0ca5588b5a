"""Where no daemon is started: in a PID namespace that was made for this one command.

The kernel kills all processes of such a namespace with its pid 1 (pid_namespaces(7)). A sandbox makes one for
each command, and a daemon that is started there dies with the command, and its runs with it. A container is
one too, and there pid 1 goes on: it is an ordinary host.
"""

import os
from typing import NamedTuple

from ardaemon.core.errors import DaemonUnavailable

PROC = "/proc"
HOST = 0xEFFFFFFC  # the inode of the namespace in which the machine's own init is (linux/proc_ns.h)
SANDBOXES = frozenset(("bwrap", "unshare"))  # as pid 1 these are there for one command, however old
INITS = frozenset("systemd init tini docker-init dumb-init catatonit s6-svscan runit".split())
SHELLS = frozenset("sh bash dash ash zsh ksh fish busybox".split())
# From the start of a pid 1 to that of the command for which it was started. A sandbox takes some tenths of a
# second for that on a loaded machine; what a person types into a new container takes longer.
TOGETHER_S = 1.0
# Fields of /proc/PID/stat (proc(5)), counted behind the name, which may hold anything.
SESSION, STARTED = 3, 19


class Process(NamedTuple):
    """What /proc says of a process."""

    pid: int
    name: str
    arguments: tuple[str, ...]
    session: int
    started: float  # seconds since the machine's boot

    def names(self) -> set[str]:
        """Return its names: for a script the kernel has the script's name, the command line its shell's."""
        return {self.name, os.path.basename((*self.arguments, "")[0]).lstrip("-")}


class Surroundings(NamedTuple):
    """The facts that say for what this PID namespace was made."""

    pid: int  # this process's own
    has_proc: bool  # /proc shows this namespace, and no other
    first: Process | None = None  # pid 1; None: it cannot be seen
    parent: Process | None = None  # None: it is outside the namespace, as that of `docker exec`
    own: Process | None = None


def require_lasting() -> None:
    """Raise DaemonUnavailable where a daemon that is started would end with this command."""
    surroundings = look()
    why = ends_with_us(surroundings) if surroundings is not None else None
    if why is not None:
        raise DaemonUnavailable(
            f"a daemon that is started here would end with this command: {why}",
            "arctl daemon start (once: in a terminal outside the sandbox, or in a container's entrypoint)",
        )


def ends_with_us(around: Surroundings) -> str | None:
    """Say why pid 1 ends with this command; None where it goes on, as on an ordinary host."""
    if around.pid == 1:
        return "it is pid 1 of its PID namespace"
    if not around.has_proc:
        return "its PID namespace has no /proc of its own"
    first = around.first
    if first is not None and (first.names() & SANDBOXES or _began_with_us(around, first)):
        return f"pid 1 of its PID namespace ({first.name}) was started for it alone"
    return None


def _began_with_us(around: Surroundings, first: Process) -> bool:
    """Tell whether pid 1 was started together with our parent, and is no init, entrypoint or shell."""
    if first.session == 1:  # a container's runtime makes its entrypoint the leader of a session
        return False
    if first.names() & INITS or _reads_its_commands(first):
        return False
    command = around.parent
    if command is not None and command.pid == 1:
        command = around.own
    return command is not None and command.started - first.started <= TOGETHER_S


def _reads_its_commands(process: Process) -> bool:
    """Tell whether it is a shell that reads from a terminal, a pipe or a script, and not from its options."""
    if not process.names() & SHELLS:
        return False
    options = [word for word in process.arguments[1:] if word.startswith("-")]
    return not any("c" in word for word in options if not word.startswith("--"))


def look() -> Surroundings | None:
    """Look who is around; None on the machine itself, and where there is no /proc to look at."""
    try:
        if os.stat(f"{PROC}/self/ns/pid").st_ino == HOST:
            return None
        has_proc = os.readlink(f"{PROC}/self") == str(os.getpid())
    except OSError:
        return None
    seen = map(_process, (1, os.getppid(), os.getpid())) if has_proc else ()
    return Surroundings(os.getpid(), has_proc, *seen)


def started_ticks(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since the boot; None if there is none."""
    try:
        return int(_stat(pid)[1][STARTED])
    except OSError:
        return None


def _stat(pid: int) -> tuple[bytes, list[bytes]]:
    """Read the name of a process, and the fields behind it (proc(5)). Raises OSError if it is gone."""
    with open(f"{PROC}/{pid}/stat", "rb") as file:
        head, _, fields = file.read().rpartition(b")")
    return head.partition(b"(")[2], fields.split()


def _process(pid: int) -> Process | None:
    """Read what /proc says of a process; None if it is gone, or outside the namespace (pid 0)."""
    folder = f"{PROC}/{pid}"
    try:
        name, values = _stat(pid)
        with open(f"{folder}/cmdline", "rb") as file:
            arguments = file.read().split(b"\0")[:-1]
    except OSError:
        return None
    started = int(values[STARTED]) / os.sysconf("SC_CLK_TCK")
    return Process(pid, os.fsdecode(name), tuple(map(os.fsdecode, arguments)), int(values[SESSION]), started)
