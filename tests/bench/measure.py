"""What is measured, one function per section of the table."""

import json
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from ardaemon.core.layout import run_name
from ardaemon.core.text import clean
from tests.bench.report import Figure, Section, ratio
from tests.bench.world import BIN, NO_OP, SLUG, BenchError, Rpc, World, wait_for

ROUNDS = 25  # of whole commands, 10 to 150 ms each
CALLS = 300  # of one RPC, below a millisecond each
QUEUED = 12  # runs in a row, for the gap between them
IDLE_S = 10.0  # over which the idle daemon's CPU time is counted
SIZES = (10, 1_000, 10_000, 100_000)
READ_SIZES = (10, 1_000, 10_000)
PYTHON = str(BIN / "python")
METRIC = b"val/loss: 0.5"  # what the script prints
SAID_MAX = 80  # of what a command that failed said
SLEEPER = 'import time\nprint("val/loss: 0.5", flush=True)\ntime.sleep(600)\n'
# The first one holds the slot until all the others wait behind it.
GATED = 'import os, time\nwhile not os.path.exists("gate"):\n    time.sleep(0.02)\nprint("val/loss: 0.5")\n'
# What a person's own loop does for each candidate.
GIT_LOOP = """
git commit --quiet --all --message candidate
python train.py > run.log 2>&1
grep '^val/loss:' run.log
git reset --quiet --hard HEAD~1
"""

# Milliseconds of one round; None where it failed, which is no measurement.
Contender = Callable[[int], float | None]


def interleave(rounds: int, contenders: Mapping[str, Contender]) -> dict[str, float]:
    """The median of each that never failed, taken in turns; the first round warms up and does not count."""
    found: dict[str, list[float | None]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, contender in contenders.items():
            found[name].append(contender(number))
    whole = {name: [value for value in values if value is not None] for name, values in found.items()}
    return {name: statistics.median(values[1:]) for name, values in whole.items() if len(values) > rounds}


class Peer:
    """Another way to run the script. Whether it did, its metric on the command's output tells."""

    def __init__(self, world: World, folder: Path, *command: str) -> None:
        self.world, self.folder, self.command = world, folder, command
        self.note = "" if shutil.which(command[0]) else "not installed"

    def __call__(self, number: int) -> float | None:
        """Run it once; not again once it has failed."""
        if self.note:
            return None
        self.edit(number)
        done = self.world.time(list(self.command), self.folder)
        if done.code == 0 and METRIC in done.output:
            return done.ms
        said = clean(done.output.decode(errors="replace")).split("\n")[0][:SAID_MAX]
        self.note = f"did not run the script (exit code {done.code}): {said}".rstrip(": ")
        return None

    def edit(self, number: int) -> None:
        """Make the candidate of that round, where the command needs one of its own."""


class GitLoop(Peer):
    """A commit for each candidate, taken back after its run."""

    def __init__(self, world: World, folder: Path) -> None:
        super().__init__(world, folder, "git")
        self.command = ("sh", "-ec", GIT_LOOP)
        if self.note:
            return
        folder.mkdir()
        (folder / "train.py").write_text(NO_OP)
        for word in ("AUTHOR", "COMMITTER"):
            world.environment |= {f"GIT_{word}_NAME": "bench", f"GIT_{word}_EMAIL": "bench@localhost"}
        first = "git init --quiet && git add train.py && git commit --quiet --message first"
        if world.time(["sh", "-c", first], folder).code:
            raise BenchError("git cannot make a commit here")

    def edit(self, number: int) -> None:
        (self.folder / "train.py").write_text(f"{NO_OP}# candidate {number}\n")


# --- one run ---


def one_run(world: World) -> Section:
    """The whole command beside the bare script and other ways to run it."""
    world.create("one")
    peers = _peers(world)
    daemon = psutil.Process(world.daemon_pid())
    before = cpu_ms([daemon])
    medians = interleave(ROUNDS, {"arctl": _ours(world), "client": _client(world), **peers})
    cpu = (cpu_ms([daemon]) - before) / (ROUNDS + 1)
    if peers["bare"].note:
        raise BenchError(f"python train.py {peers['bare'].note}")
    bare, ours, start = medians["bare"], medians["arctl"], medians["client"]
    to_exec, to_result = logged(world, "to_exec_ms"), logged(world, "to_result_ms")
    rest = ours - bare - start - to_exec - to_result
    if shutil.which("tsp"):
        world.time(["tsp", "-K"], world.project("one"))  # its server stays otherwise

    def peer(title: str, name: str) -> Figure:
        return Figure(title, medians.get(name), note=peers[name].note)

    figures = (
        Figure("`python train.py`, bare", bare),
        Figure("`arctl run --wait`, whole", ours),
        Figure("`arctl run --wait`, less the bare script", ours - bare, target=100),
        Figure("… of it: an interpreter with click, json and socket", start),
        Figure("… of it, in the daemon: request to the script's exec", to_exec, target=15),
        Figure("… of it, in the daemon: script's exit to result.json durable", to_result, target=15),
        Figure("… of it: the rest (arctl's own modules, the socket, printing, exit)", rest),
        peer("`git commit`, run, `grep`, `git reset` in a shell", "git"),
        peer("`tsp -nf python train.py`", "tsp"),
        peer("`srun python train.py`", "srun"),
        Figure("`arctl run --wait` / bare", ours / bare, "times"),
        Figure("CPU time of the daemon per run", cpu),
    )
    how = f"A script that prints one metric. {ROUNDS} rounds; the parts in the daemon are from its log."
    return Section("One run", how, figures)


def _peers(world: World) -> dict[str, Peer]:
    folder = world.project("one")
    world.environment["TMPDIR"] = str(world.folder)  # for tsp's socket
    return {
        "bare": Peer(world, folder, PYTHON, "train.py"),
        "git": GitLoop(world, world.project("git")),
        "tsp": Peer(world, folder, "tsp", "-nf", PYTHON, "train.py"),  # -n: what the script prints is seen
        "srun": Peer(world, folder, "srun", PYTHON, "train.py"),
    }


def _ours(world: World) -> Contender:
    def ours(number: int) -> float:
        world.edit("one", number)
        return world.arctl("one", "run", "--wait").ms

    return ours


def _client(world: World) -> Contender:
    return lambda _: world.time([PYTHON, "-c", "import click, json, socket"], world.project("one")).ms


def logged(world: World, name: str) -> float:
    """The median of a number that the daemon logs with each run, as name=1.2 or "name": 1.2."""
    values = [float(found) for found in re.findall(rf'\b{name}\b"?[=:]\s*([0-9.]+)', world.log())]
    if not values:
        raise BenchError(f"the daemon's log has no {name}")
    return statistics.median(values[1:] or values)


# --- the queue ---


def queue(world: World) -> Section:
    """How long the slot stands idle between two runs that wait for it."""
    experiment = world.create("queue", GATED)
    for _ in range(QUEUED):
        world.arctl("queue", "run")
    (world.project("queue") / "gate").touch()
    runs = [experiment.run(run_name(number)) for number in range(1, QUEUED + 1)]
    wait_for("all queued runs committed", lambda: all(run.result.exists() for run in runs))
    starts = [json.loads(run.attempt(1).start.read_text())["monotonic"] for run in runs]
    ends = [json.loads(run.attempt(1).exit.read_text())["ended_monotonic"] for run in runs]
    gaps = [(start - end) * 1000 for start, end in zip(starts[1:], ends[:-1], strict=True)]
    return Section(
        "The queue",
        f"{QUEUED} runs wait; from one process's end to the next one's start, by the shims' clocks.",
        (Figure("idle gap between two queued runs", statistics.median(gaps), target=25),),
    )


# --- long histories ---


def status(world: World) -> Section:
    """Status after 10 to 100,000 runs: the command and the daemon's part."""
    names = {size: f"h{size}" for size in SIZES}
    whole = interleave(ROUNDS, {name: _status_command(world, name) for name in names.values()})
    rpc = Rpc(str(world.daemon()["socket"]))
    calls = interleave(CALLS, {name: _status_call(world, name, rpc) for name in names.values()})
    rpc.close()
    commands = [
        Figure(f"`arctl status --compact`, {size:,} runs", whole[name]) for size, name in names.items()
    ]
    requests = [Figure(f"`status.get` alone, {size:,} runs", calls[name]) for size, name in names.items()]
    figures = (
        *commands,
        ratio("… 100,000 runs / 10 runs", commands[-1], commands[0], 1.1),
        *requests,
        ratio("… 100,000 runs / 10 runs", requests[-1], requests[0], 1.1),
    )
    how = (
        "The histories are synthetic: one real run, its row of results.tsv and its folder repeated, and the"
        f" counters set (tests/bench/history.py). {ROUNDS} rounds of the command, {CALLS} of the request."
    )
    return Section("Status", how, figures)


def _status_command(world: World, name: str) -> Contender:
    return lambda _: world.arctl(name, "status", "--compact").ms


def _status_call(world: World, name: str, rpc: Rpc) -> Contender:
    return lambda _: rpc.call("status.get", project=str(world.project(name)), expr=SLUG)


def reading(world: World) -> Section:
    """How many bytes an agent gets to read for one iteration."""
    figures = []
    for size in READ_SIZES:
        world.edit(f"h{size}", size)
        output = world.arctl(f"h{size}", "run", "--wait").output
        figures.append(Figure(f"`arctl run --wait` after {size:,} runs", float(len(output)), "bytes", 1024))
    figures.append(ratio("… 10,000 runs / 10 runs (run ids get longer)", figures[-1], figures[0], 1.1))
    return Section("What an agent reads", "All that the command prints: one iteration.", tuple(figures))


# --- memory and CPU ---


def resources(world: World) -> Section:
    """The daemon at rest, and what one running job adds."""
    daemon = psutil.Process(world.daemon_pid())
    processes = [daemon, *daemon.children(recursive=True)]
    before, began = cpu_ms(processes), time.monotonic()
    time.sleep(IDLE_S)  # the measurement itself: what an idle daemon does in that time
    share = (cpu_ms(processes) - before) / ((time.monotonic() - began) * 1000) * 100
    idle = sum(pss_mb(process.pid) for process in processes)
    figures = (
        Figure(f"daemon idle, {len(processes)} processes: Pss", idle, "MB", 60),
        Figure("daemon idle: share of a core", share, "%", 0.1),
        Figure("a shim beside its running job: Pss", shim_mb(world), "MB", 8),
    )
    return Section("Memory and CPU", f"Pss from smaps_rollup; CPU over {IDLE_S:.0f} s.", figures)


def shim_mb(world: World) -> float:
    """The memory of a shim while its job runs."""
    experiment = world.create("sleeper", SLEEPER)
    world.arctl("sleeper", "run")
    attempt = experiment.run("r0001").attempt(1)
    wait_for("the job's first line", lambda: attempt.log.exists() and attempt.log.stat().st_size > 0)
    found = pss_mb(json.loads(attempt.start.read_text())["shim"][0])
    world.arctl("sleeper", "session", "stop")
    return found


def cpu_ms(processes: list[psutil.Process]) -> float:
    """CPU time of all threads so far, of those that have ended too, in finer steps than a clock tick."""
    return sum(time.clock_gettime(_cpu_clock(process.pid)) for process in processes) * 1000


def _cpu_clock(pid: int) -> int:
    """The clock of a process's CPU time (clock_getcpuclockid(3); CPUCLOCK_SCHED of the kernel is 2)."""
    return (~pid << 3) | 2


def pss_mb(pid: int) -> float:
    """Proportional set size: memory that is shared counts in parts (proc(5), smaps_rollup)."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except PermissionError:  # the daemon keeps its memory to itself (host/core_files.py)
        raise BenchError("only root can measure the daemon's memory: run it as root") from None
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    if found is None:
        raise BenchError(f"/proc/{pid}/smaps_rollup has no Pss")
    return int(found[1]) / 1024


def progress(text: str) -> None:
    print(f"bench: {text} ...", file=sys.stderr, flush=True)
