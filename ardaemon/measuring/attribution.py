"""Whose is a process on a GPU: of a run of ours, or foreign.

Evidence, the strongest first: the environment that it was started with (it stays with whatever leaves the
tree), its ancestors (it may have overwritten its environment, as setproctitle does), its cgroup. A pid that
is not in our /proc says nothing: of another pid namespace, another user's under hidepid, or just ended.
"""

import functools
import os
import pwd
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from ardaemon.core.gpus import GpuProcess, GpuReading
from ardaemon.core.measured import Holder
from ardaemon.core.text import one_line
from ardaemon.host import proc

NAME_MAX = 32  # characters; the kernel cuts a command's name at 15
ANCESTORS_MAX = 64  # no job's tree is so deep; a loop by reused pids ends there


class Attempt(Struct, frozen=True, kw_only=True):
    """An attempt at work, as its processes can be told: `folder` is in their environment, in two parts."""

    folder: str
    roots: tuple[int, ...] = ()  # its shim and its job
    cgroup: str = ""


class Evidence(Struct, frozen=True, kw_only=True):
    """What one process shows of itself; read once in its life."""

    tag: str = ""  # the attempt's folder, by its environment
    cgroups: tuple[str, ...] = ()  # the names of its cgroups, from the root on
    user: str = ""
    name: str = ""


def owner(evidence: Evidence, ancestors: Iterable[int], attempts: Sequence[Attempt]) -> str | None:
    """The folder of the attempt that it belongs to; None: foreign. Pure; `ancestors` is read if needed."""
    known = {attempt.folder for attempt in attempts}
    if evidence.tag in known:
        return evidence.tag
    roots = {pid: attempt.folder for attempt in attempts for pid in attempt.roots}
    found = next((roots[pid] for pid in ancestors if pid in roots), None)
    if found is not None:
        return found
    groups = {os.path.basename(attempt.cgroup): attempt.folder for attempt in attempts if attempt.cgroup}
    return next((groups[name] for name in evidence.cgroups if name in groups), None)


class Attribution:
    """Remembers by pid and start time; what is gone is forgotten at once. For one thread at a time."""

    def __init__(self) -> None:
        self._evidence: dict[tuple[int, int], Evidence] = {}
        self._owners: dict[tuple[int, int], str | None] = {}
        self._last: dict[int, Holder] = {}
        self._attempts: tuple[Attempt, ...] = ()

    def holders(
        self, gpus: Iterable[GpuReading], attempts: Iterable[Attempt]
    ) -> dict[str, tuple[Holder, ...] | None]:
        """Who is on each GPU, by its UUID; None where NVML did not say."""
        wanted = tuple(attempts)
        if wanted != self._attempts:  # what was foreign may be of an attempt that we did not know yet
            self._attempts = wanted
            self._owners.clear()
        last, self._last = self._last, {}
        seen: set[tuple[int, int]] = set()
        found = {
            gpu.uuid: None
            if gpu.processes is None
            else tuple(self._holder(p, last, seen) for p in gpu.processes)
            for gpu in gpus
        }
        self._evidence = {key: self._evidence[key] for key in seen}
        self._owners = {key: self._owners[key] for key in seen}
        return found

    def _holder(self, process: GpuProcess, last: Mapping[int, Holder], seen: set[tuple[int, int]]) -> Holder:
        start = proc.start_time(process.pid)
        if start is None:
            return self._gone(process, last)
        key = process.pid, start
        seen.add(key)
        if key not in self._evidence:
            self._evidence[key] = gather(process.pid)
        if key not in self._owners:
            self._owners[key] = owner(self._evidence[key], ancestors(process.pid), self._attempts)
        found = Holder(
            pid=process.pid,
            used_mb=process.used_mb,
            graphics=process.graphics,
            owner=self._owners[key],
            user=self._evidence[key].user,
            name=self._evidence[key].name,
        )
        self._last[process.pid] = found
        return found

    def _gone(self, process: GpuProcess, last: Mapping[int, Holder]) -> Holder:
        """Not in /proc: whose it was a moment ago, as its memory drains; else nobody can tell."""
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
    """All that a process shows."""
    return Evidence(
        tag=_tag(_read(f"/proc/{pid}/environ")),
        cgroups=_cgroups(_read(f"/proc/{pid}/cgroup")),
        user=_user_of(pid),
        name=one_line(proc.name(pid), NAME_MAX),
    )


def ancestors(pid: int) -> Iterable[int]:
    """Its parent, and that one's, up to the first process; itself first of all."""
    for _ in range(ANCESTORS_MAX):
        if pid <= 1:
            return
        yield pid
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        pid = int(fields[1]) if len(fields) > 1 else 0


def _tag(environ: bytes) -> str:
    values = dict(entry.partition(b"=")[::2] for entry in environ.split(b"\0"))
    run, attempt = values.get(b"AR_RUN_DIR"), values.get(b"AR_ATTEMPT")
    return "" if run is None or attempt is None else os.fsdecode(run + b"/a" + attempt)


def _cgroups(text: bytes) -> tuple[str, ...]:
    return tuple(name for line in os.fsdecode(text).splitlines() for name in line.split("/") if name)


def _user_of(pid: int) -> str:
    try:
        return user_name(os.stat(f"/proc/{pid}").st_uid)
    except OSError:
        return ""


@functools.lru_cache(maxsize=256)  # a directory service may be asked for each
def user_name(uid: int) -> str:
    """The user's name; the number where it has none here."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        return b""
