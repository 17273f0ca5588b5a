"""To whom a process on a GPU belongs: to a run of this daemon, or to nobody that the daemon knows (foreign).

Evidence, the strongest first: the environment that the process was started with (a process that leaves its
tree keeps it), its ancestors (a process may overwrite its environment, as setproctitle does), its cgroup. A
pid that is not in this host's /proc tells nothing: it is of another pid namespace, of another user under
hidepid, or has just ended.
"""

import functools
import os
import pwd
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from ardaemon.core.gpus import GpuProcess, GpuReading
from ardaemon.core.layout import JOB
from ardaemon.core.measured import Holder
from ardaemon.core.text import one_line
from ardaemon.host import proc
from ardaemon.measuring.usage import read_proc

NAME_MAX = 32  # characters; the kernel cuts a command's name at 15
ANCESTORS_MAX = 64  # no job's tree is so deep; a loop through reused pids ends there


class Suspect(Struct, frozen=True, kw_only=True):
    """An attempt that a process may belong to, with the marks that its processes bear."""

    folder: str  # in their environment, in two parts: AR_RUN_DIR, less its job/, and AR_ATTEMPT
    roots: tuple[int, ...] = ()  # pids of the shim and of the job
    cgroup: str = ""


class Evidence(Struct, frozen=True, kw_only=True):
    """The marks of one process that tell whose it is; read once in its life."""

    tag: str = ""  # the folder of the attempt that the process's environment names
    cgroups: tuple[str, ...] = ()  # the names of the process's cgroups, from the root on
    user: str = ""
    name: str = ""


def owner(evidence: Evidence, ancestors: Iterable[int], suspects: Sequence[Suspect]) -> str | None:
    """Return the folder of the attempt that a process belongs to; None for a foreign process.

    Pure, but for `ancestors`, which is read only if the environment does not decide.
    """
    if evidence.tag in {suspect.folder for suspect in suspects}:
        return evidence.tag
    roots = {pid: suspect.folder for suspect in suspects for pid in suspect.roots}
    nearest = next((roots[pid] for pid in ancestors if pid in roots), None)
    if nearest is not None:
        return nearest
    groups = {os.path.basename(suspect.cgroup): suspect.folder for suspect in suspects if suspect.cgroup}
    return next((groups[name] for name in evidence.cgroups if name in groups), None)


class Attribution:
    """Tells whose each process on a GPU is. For one thread at a time.

    Answers are kept by pid and start time, and forgotten as soon as the process is off the GPUs.
    """

    def __init__(self) -> None:
        self._evidence: dict[tuple[int, int], Evidence] = {}
        self._owners: dict[tuple[int, int], str | None] = {}
        self._last: dict[int, Holder] = {}
        self._suspects: tuple[Suspect, ...] = ()

    def holders(
        self, gpus: Iterable[GpuReading], suspects: Iterable[Suspect]
    ) -> dict[str, tuple[Holder, ...] | None]:
        """Return the processes on each GPU, by its UUID; None where NVML did not list them."""
        suspects = tuple(suspects)
        if suspects != self._suspects:  # what seemed foreign may belong to an attempt that is new here
            self._suspects = suspects
            self._owners.clear()
        last, self._last = self._last, {}
        seen: set[tuple[int, int]] = set()
        holders = {
            gpu.uuid: None
            if gpu.processes is None
            else tuple(self._holder(p, last, seen) for p in gpu.processes)
            for gpu in gpus
        }
        self._evidence = {key: self._evidence[key] for key in seen}
        self._owners = {key: self._owners[key] for key in seen}
        return holders

    def _holder(self, process: GpuProcess, last: Mapping[int, Holder], seen: set[tuple[int, int]]) -> Holder:
        start = proc.start_time(process.pid)
        if start is None:
            return self._gone(process, last)
        key = process.pid, start
        seen.add(key)
        if key not in self._evidence:
            self._evidence[key] = gather(process.pid)
        if key not in self._owners:
            self._owners[key] = owner(self._evidence[key], ancestors(process.pid), self._suspects)
        holder = Holder(
            pid=process.pid,
            used_mb=process.used_mb,
            graphics=process.graphics,
            owner=self._owners[key],
            user=self._evidence[key].user,
            name=self._evidence[key].name,
        )
        self._last[process.pid] = holder
        return holder

    def _gone(self, process: GpuProcess, last: Mapping[int, Holder]) -> Holder:
        """Describe a process that is not in /proc by what it was a moment ago, while its memory drains."""
        before = last.get(process.pid)
        if before is None:
            return Holder(pid=process.pid, used_mb=process.used_mb, graphics=process.graphics, known=False)
        self._last[process.pid] = before
        return Holder(
            pid=process.pid,
            used_mb=process.used_mb,
            graphics=process.graphics,
            owner=before.owner,
            user=before.user,
            name=before.name,
            known=False,
        )


def gather(pid: int) -> Evidence:
    """Read everything that a process shows of itself."""
    return Evidence(
        tag=_tag(read_proc(f"/proc/{pid}/environ")),
        cgroups=_cgroups(read_proc(f"/proc/{pid}/cgroup")),
        user=_user_of(pid),
        name=one_line(proc.name(pid), NAME_MAX),
    )


def ancestors(pid: int) -> Iterator[int]:
    """Yield the pid itself, then its parent, and so on up to the first process."""
    for _ in range(ANCESTORS_MAX):
        if pid <= 1:
            return
        yield pid
        fields = read_proc(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        pid = int(fields[1]) if len(fields) > 1 else 0


def _tag(environ: bytes) -> str:
    values = dict(entry.partition(b"=")[::2] for entry in environ.split(b"\0"))
    run, attempt = values.get(b"AR_RUN_DIR"), values.get(b"AR_ATTEMPT")
    if run is None or attempt is None:
        return ""
    return os.fsdecode(run.removesuffix(f"/{JOB}".encode()) + b"/a" + attempt)


def _cgroups(text: bytes) -> tuple[str, ...]:
    return tuple(name for line in os.fsdecode(text).splitlines() for name in line.split("/") if name)


def _user_of(pid: int) -> str:
    try:
        return user_name(os.stat(f"/proc/{pid}").st_uid)
    except OSError:
        return ""


@functools.lru_cache(maxsize=256)  # a directory service may be asked for each
def user_name(uid: int) -> str:
    """Return the user's name; the number of a user who has no name on this host."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
