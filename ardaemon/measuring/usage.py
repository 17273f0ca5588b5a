"""Memory and CPU time of a run's process tree, cheap enough to be read several times a second.

The values come straight from /proc, with one `stat` per process and look: a third of what psutil takes. The
tree is searched again every SEARCH_S, in its cgroup if it has one, else from process to process (proc(5),
children), so that other processes of the machine cost nothing.

Memory is the sum of proportional set sizes (PSS). The plain sum of RSS counts shared pages once for each
process: a data set of 10 GiB that 60 forked workers share would look like 600 GiB. But reading a PSS walks
all pages. So processes are weighed (their PSS is read) only when some came or went, within a budget; in
between, a process counts as its RSS less what it shared when it was last weighed. A process that is not
weighed yet counts as nothing, so that no peak is ever claimed that was not there.
"""

import os
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ardaemon.core.model import Process
from ardaemon.host import proc

SEARCH_S = 2.0  # a process that lives shorter shows in the CPU time alone
SEARCH_SHARE = 0.001  # of one core, on average: there may be thousands of threads to ask for children
WEIGH_AGAIN_S = 30.0  # what is shared changes slowly, once the processes are there
WEIGH_SHARE = 0.002  # of one core, on average
WEIGH_SAVED_S = 0.05  # the most of that share that can be saved up and spent at once
TICKS = os.sysconf("SC_CLK_TCK")
PAGES_PER_MB = (1 << 20) / os.sysconf("SC_PAGE_SIZE")


class Usage(NamedTuple):
    """The memory, CPU and processes of one process tree at one moment."""

    rss_mb: float | None  # None: no process of the tree could be read
    cpu: float | None  # percent of one core since the last look; None at the first
    processes: int


class _Stat(NamedTuple):
    start: int
    cpu: int  # clock ticks of the process, and of its children that have ended and were reaped
    reaped: int  # clock ticks of those children alone
    rss_mb: float


_Key = tuple[int, int]  # pid, start time


class ProcessTree:
    """Reads what one attempt's processes use. For one thread at a time."""

    def __init__(
        self, roots: Iterable[Process] = (), supervisor: Process | None = None, cgroup: str = ""
    ) -> None:
        """Name the tree: all below `roots` and `supervisor` (itself left out), or all in the cgroup."""
        self.roots, self.supervisor, self.cgroup = tuple(roots), supervisor, cgroup
        self._pids: set[int] = set()
        self._search_at = float("-inf")
        self._cpu: tuple[float, float] | None = None  # seconds used, and when
        self._shared: dict[_Key, float] = {}  # MiB that others account for, as last weighed
        self._weigh_at = float("-inf")
        self._budget, self._budget_at = WEIGH_SAVED_S, float("-inf")

    def read(self, now: float) -> Usage:
        """Read what the tree uses; `now` is in CLOCK_MONOTONIC seconds."""
        if now >= self._search_at:
            begun = time.thread_time()
            self._pids = self._search()
            self._search_at = now + max(SEARCH_S, (time.thread_time() - begun) / SEARCH_SHARE)
        stats = {(pid, stat.start): stat for pid in self._pids if (stat := _stat(pid)) is not None}
        return Usage(self._rss(stats, now) if stats else None, self._percent(stats, now), len(stats))

    # --- who ---

    def _search(self) -> set[int]:
        pids = set(_in_cgroup(self.cgroup)) if self.cgroup else set()
        if not pids:
            above = [*self.roots, *([self.supervisor] if self.supervisor else [])]
            pids = _below(p.pid for p in above if (stat := _stat(p.pid)) and stat.start == p.start)
        return pids - {self.supervisor.pid if self.supervisor else 0}

    # --- CPU ---

    def _percent(self, stats: dict[_Key, _Stat], now: float) -> float | None:
        used, last = self._used(stats), self._cpu
        if last is None:
            self._cpu = used, now
            return None
        # Between its end and its parent's wait(2) a process counts nowhere; the sum must not fall then.
        self._cpu = max(used, last[0]), now
        return 100 * (self._cpu[0] - last[0]) / (now - last[1]) if now > last[1] else None

    def _used(self, stats: dict[_Key, _Stat]) -> float:
        if self.cgroup and (micros := _field(f"{self.cgroup}/cpu.stat", "usage_usec")) is not None:
            return micros / 1e6
        above = _stat(self.supervisor.pid) if self.supervisor else None
        return (sum(stat.cpu for stat in stats.values()) + (above.reaped if above else 0)) / TICKS

    # --- memory ---

    def _rss(self, stats: dict[_Key, _Stat], now: float) -> float:
        if self.cgroup and (counted := _counted(self.cgroup)) is not None:
            return counted
        if len(stats) == 1:
            self._shared = dict.fromkeys(stats, 0.0)
            return sum(stat.rss_mb for stat in stats.values())
        if self._due(stats, now):
            self._weigh(stats, now)
        sizes = (stat.rss_mb - self._shared[key] for key, stat in stats.items() if key in self._shared)
        return sum(max(0.0, own) for own in sizes)

    def _due(self, stats: dict[_Key, _Stat], now: float) -> bool:
        saved = self._budget + (now - self._budget_at) * WEIGH_SHARE
        self._budget, self._budget_at = min(saved, WEIGH_SAVED_S), now
        return self._budget > 0 and (now >= self._weigh_at or stats.keys() != self._shared.keys())

    def _weigh(self, stats: dict[_Key, _Stat], now: float) -> None:
        begun = time.thread_time()
        self._shared = {key: _shared(key[0]) for key in stats}
        self._budget -= time.thread_time() - begun
        self._weigh_at = now + WEIGH_AGAIN_S


def swapped_pages() -> int | None:
    """Return the pages that were read from and written to swap since the boot (proc(5), vmstat)."""
    counts = [_field("/proc/vmstat", name) for name in ("pswpin", "pswpout")]
    readable = [count for count in counts if count is not None]
    return sum(readable) if readable else None


def _stat(pid: int) -> _Stat | None:
    """Read one process; None if there is none, or a zombie: its time counts once its parent reaps it."""
    data = _page(f"/proc/{pid}/stat")
    fields = data[data.rfind(b")") + 2 :].split()
    if len(fields) < 22 or fields[0] in b"ZX":
        return None
    reaped = int(fields[13]) + int(fields[14])
    own = int(fields[11]) + int(fields[12])
    return _Stat(int(fields[19]), own + reaped, reaped, int(fields[21]) / PAGES_PER_MB)


def _below(roots: Iterable[int]) -> set[int]:
    """Return the roots and everything that descends from them."""
    walk = _walked if os.path.exists("/proc/thread-self/children") else _scanned
    return walk(roots)


def _scanned(roots: Iterable[int]) -> set[int]:
    """Search all processes of the machine, on a kernel without CONFIG_PROC_CHILDREN."""
    return {pid for root in roots for pid in (root, *proc.descendants(root))}


def _walked(roots: Iterable[int]) -> set[int]:
    todo, pids = list(roots), set[int]()
    while todo:
        pid = todo.pop()
        if pid not in pids:
            pids.add(pid)
            todo += _children(pid)
    return pids


def _children(pid: int) -> Iterator[int]:
    """Yield the children of all threads: each thread has children of its own (proc(5))."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for thread in threads:
        yield from map(int, read_proc(f"/proc/{pid}/task/{thread}/children").split())


def _in_cgroup(folder: str) -> Iterator[int]:
    for inner, _, _ in os.walk(folder):
        yield from map(int, read_proc(f"{inner}/cgroup.procs").split())


def _counted(folder: str) -> float | None:
    """Return the kernel's count in MiB, without the page cache; None without the memory controller."""
    counts = [_field(f"{folder}/memory.stat", name) for name in ("anon", "shmem")]
    return None if counts[0] is None else sum(count or 0 for count in counts) / (1 << 20)


def _shared(pid: int) -> float:
    """Return the MiB that others account for; 0 if that may not be read, or on Linux before 4.14."""
    data = read_proc(f"/proc/{pid}/smaps_rollup")  # read once: this is what costs
    rss, pss = _number(data, b"Rss:"), _number(data, b"Pss:")
    return 0.0 if rss is None or pss is None else (rss - pss) / 1024


def _field(path: str, name: str) -> int | None:
    return _number(read_proc(path), name.encode())


def _number(data: bytes, name: bytes) -> int | None:
    """Return the number in the line that begins with `name` and a space."""
    line = next((line for line in data.splitlines() if line.startswith(name + b" ")), None)
    return None if line is None else int(line.split()[1])


def _page(path: str) -> bytes:
    """Read a file that is never longer than a page: with one system call, and no file object."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 4096)
    except OSError:
        return b""
    finally:
        os.close(fd)


def read_proc(path: str) -> bytes:
    """Read a whole file, which the kernel gives a page at a time; b"" if it is missing or goes meanwhile."""
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall()
    except OSError:
        return b""
