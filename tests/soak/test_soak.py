"""Thousands of runs through one daemon leave nothing behind in it, and none costs more than the first.

SOAK_RUNS=10000 (`make soak`) is the real thing; `make test` runs a short one.
"""

import os
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.lab import Lab, wait_until
from tests.support.look import into

RUNS = int(os.environ.get("SOAK_RUNS", "500"))
WARM_UP = min(max(RUNS // 10, 100), 500)  # caches, threads and the allocator's pools fill
AHEAD = 8  # runs that wait: a launch follows an end at once, as in a night's queue
# The fastest real job that reports a metric: the words after it are one argument more.
HELPERS = 2  # the spare shim, and the process that reads versions of train.py
RUNNER = "/bin/echo 'val/loss: 1.0' train.py"
# Growth of memory that is no leak: free lists and arenas settle. A leak of 1 KiB a run would be 1000 KiB.
GROWTH_MAX_KIB = 256  # per 1000 runs, beyond SLACK
SLACK_KIB = 2048  # a thread that comes later brings an arena of its own
# A worker that waits for work is ended only when another one comes to wait: the last burst's stay for now.
IDLE_THREADS = 4
# What one run costs, a late tenth beside an early one. `make test` counts: times say nothing while
# something else keeps the processors busy. `make soak` has the machine for itself: it compares times too.
MORE_MAX = 1.5
MORE_CALLS = 20  # of 220 a run; a folder that is looked through costs one call for each run in it
MORE_BYTES = 256 << 10  # the ends of tables are read in blocks of 64 KiB, once they are that long
MORE_MS = 10.0  # of noise; whole-history reads of 10,000 runs would cost more
TIMED = RUNS >= 10_000


@dataclass(frozen=True)
class Use:
    """What one daemon holds when nothing runs."""

    descriptors: int
    threads: int
    children: int  # the helpers
    zombies: int
    own_kib: int  # anonymous memory: what it allocated itself
    rss_kib: int
    pss_kib: int  # what it shares with others counts by their number: it changes with theirs
    active: int
    locks: int
    runtime: int
    cgroups: int


def use(lab: Lab) -> Use:
    """Look at the daemon's process and its folders."""
    me = into(lab.pid)
    states = [_state(pid) for pid in _children(lab.pid)]
    memory = dict(line.split(":", 1) for line in (me / "smaps_rollup").read_text().splitlines()[1:])
    return Use(
        descriptors=len(os.listdir(me / "fd")),
        threads=len(os.listdir(me / "task")),
        children=len(states),
        zombies=states.count("Z"),
        own_kib=int(memory["Anonymous"].split()[0]),
        rss_kib=int(memory["Rss"].split()[0]),
        pss_kib=int(memory["Pss"].split()[0]),
        active=len(list((lab.home / "active").iterdir())),
        locks=len(list((lab.runtime / "ardaemon/locks").iterdir())),
        runtime=len(list((lab.runtime / "ardaemon").rglob("*"))),
        cgroups=len(_cgroups(lab.pid)),
    )


class Work(NamedTuple):
    """What the daemon has read and written since its start (proc(5), io), and the CPU time that it took."""

    calls: int
    bytes: int
    cpu_ms: float


def work(lab: Lab) -> Work:
    """Look at the daemon's counters."""
    me = into(lab.pid)
    io = {
        name: int(value)
        for name, value in (line.split(": ") for line in (me / "io").read_text().splitlines())
    }
    stat = (me / "stat").read_text().rpartition(")")[2].split()
    cpu_ms = 1000 * (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    return Work(io["syscr"] + io["syscw"], io["rchar"] + io["wchar"], cpu_ms)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
            found += map(int, (task / "children").read_text().split())
    return found


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"


def _cgroups(pid: int) -> list[str]:
    """Those that this daemon made (host/cgroup.py), in whatever hierarchy."""
    found = (name for _, folders, _ in os.walk("/sys/fs/cgroup") for name in folders)
    return [name for name in found if name.startswith(f"ardaemon-{pid}-")]


def at_rest(lab: Lab, like: Use | None = None) -> Use:
    """Wait until nothing runs; returns what is held then."""

    def resting() -> Use | None:
        found = use(lab)
        clean = (found.active, found.zombies, found.children, found.locks) == (0, 0, HELPERS, 0)
        same = like is None or found.descriptors <= like.descriptors
        return found if clean and same else None

    found: Use = wait_until(resting, f"the daemon to come to rest: {use(lab)} beside {like}")
    return found


class Load:
    """One client that keeps the queue filled, and looks at the status now and then."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.client = lab, lab.rpc()
        self.where = {"project": str(lab.project), "expr": lab.folder.name}
        self.submits: list[float] = []
        self.looks: list[float] = []
        self.memory: list[int] = []  # KiB at each tenth: does it grow on, or come to a level?
        self.work: list[Work] = []  # at the beginning of each tenth

    def runs(self, count: int) -> None:
        """So many runs, to their verdicts."""
        names: list[str] = []
        for number in range(count):
            if number >= AHEAD:
                self._finished(names[number - AHEAD])
            environment = {"PATH": os.environ["PATH"]}
            given = {
                **self.where,
                "submit_id": os.urandom(8).hex(),
                "environment": environment,
                "again": True,
            }
            names.append(self._timed(self.submits, "run.submit", **given)["run_id"])
            if number % max(count // 10, 1) == 0:
                self.memory.append(use(self.lab).own_kib)
                self.work.append(work(self.lab))
            if number % 10 == 0:
                self._timed(self.looks, "status.get", **self.where, last=5)
        for name in names[-AHEAD:]:
            self._finished(name)

    def forget(self) -> None:
        """Begin to measure anew."""
        for measured in (self.submits, self.looks, self.memory, self.work):
            measured.clear()

    def cost(self, name: str) -> tuple[float, float]:
        """Return what one run costs the daemon in the second tenth and in the last but one.

        In these as many runs end as begin: those that wait are there already, and are still there.
        """
        at = [getattr(work, name) for work in self.work]
        tenth = len(self.submits) / 10
        return (at[2] - at[1]) / tenth, (at[-1] - at[-2]) / tenth

    def _finished(self, name: str) -> None:
        result = self.client.call("run.wait", **self.where, run_id=name)["result"]
        assert (result["status"], result["primary"]["value"]) == ("ok", 1.0), result

    def _timed(self, times: list[float], method: str, **params: object) -> dict[str, str]:
        begun = time.perf_counter()
        answer: dict[str, str] = self.client.call(method, **params)
        times.append((time.perf_counter() - begun) * 1000)
        return answer


def ends(times: list[float]) -> tuple[float, float]:
    """The medians of the first and of the last tenth."""
    tenth = max(len(times) // 10, 1)
    return statistics.median(times[:tenth]), statistics.median(times[-tenth:])


def table(before: Use, after: Use, rows: dict[str, tuple[float, float]], said: str) -> str:
    """What was measured, for docs/reliability.md."""
    found = {name: (getattr(before, name), getattr(after, name)) for name in Use.__dataclass_fields__} | rows
    width = max(map(len, found))
    lines = [f"{name:{width}}  {one:>10.6g}  {other:>10.6g}" for name, (one, other) in found.items()]
    return "\n".join([said, f"{'':{width}}  {'before':>10}  {'after':>10}", *lines])


@pytest.mark.promise("soak")
@pytest.mark.timeout(60 + RUNS)
def test_many_runs_leave_nothing_behind_and_none_costs_more_than_the_first(
    lab: Lab, record_property: pytest.FixtureRequest
) -> None:
    lab.forges = False  # what a daemon shares with the process that forked it is no memory of its own
    lab.ready(runner=RUNNER, metrics="log")
    load = Load(lab)
    load.runs(WARM_UP)
    before = at_rest(lab)
    begun = time.monotonic()
    load.forget()
    load.runs(RUNS)
    rate = RUNS / (time.monotonic() - begun)
    after = at_rest(lab, before)
    counts = {"calls": MORE_CALLS, "bytes": MORE_BYTES}
    times = {"cpu_ms": MORE_MS, "submit ms": MORE_MS, "status ms": MORE_MS}
    rows = {name: load.cost(name) for name in Work._fields}
    rows |= {"submit ms": ends(load.submits), "status ms": ends(load.looks)}
    said = f"{RUNS} runs through one daemon after {WARM_UP} to warm up: {rate:.1f} runs a second"
    shown = table(before, after, rows, said) + f"\nown_kib at each tenth: {load.memory}"
    print(f"\n{shown}")
    record_property("cases", RUNS)  # type: ignore[operator]  # as pytest calls it
    record_property("figures", shown)  # type: ignore[operator]
    assert after.threads <= before.threads + IDLE_THREADS, shown
    more = "descriptors children zombies active locks runtime cgroups".split()
    assert [name for name in more if getattr(after, name) > getattr(before, name)] == [], shown
    for name in ("own_kib", "rss_kib"):
        most = SLACK_KIB + GROWTH_MAX_KIB * RUNS / 1000
        assert getattr(after, name) - getattr(before, name) < most, f"{name} grows\n{shown}"
    for name, slack in (counts | times if TIMED else counts).items():
        first, last = rows[name]
        assert last < first * MORE_MAX + slack, f"{name} of a run grow\n{shown}"
    assert lab.get("status.get")["session"]["counters"]["since_start"] == RUNS + WARM_UP
    assert (lab.folder / "results.tsv").read_text().count("\n") == RUNS + WARM_UP + 1
