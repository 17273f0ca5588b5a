"""Which test stands for which promise, and how often it is tried: the rows of docs/reliability.md.

A test says `@pytest.mark.promise("kill-matrix")`; where one test tries many cases it calls
`record_property("cases", n)`, and with "wrong" how many of them failed. `make torture` (TORTURE=1) runs
them at full size and writes the figures; `make test` runs the same tests at the small one. Loaded by
pyproject.toml (`-p tests.support.promises`).
"""

import json
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
FULL = os.environ.get("TORTURE", "") not in ("", "0")

# name -> what is promised and how it is tested; the order is the table's.
PROMISES = {
    "crash-points": (
        "kill -9 of the daemon before any operation that outlives it: the same experiment folder as"
        " undisturbed",
        "a run of each kind (baseline, advance with a checkpoint, revert, crash) is recorded; for every"
        " operation in it a fresh daemon is killed right before it and started again; folders compared whole",
    ),
    "torn-writes": (
        "the same, in the middle of a write",
        "as above, for every write and copy: half of the bytes, then SIGKILL",
    ),
    "shim-crash": (
        "kill -9 of the shim before any of its operations: one verdict, nothing left alive",
        "as above, in the shim's process",
    ),
    "power-cut": (
        "a power cut at any moment: what was acknowledged is there, and everything goes on",
        "the recorded operations are replayed up to each point; what was not fsynced is missing, torn or"
        " there in every combination (up to 3 such operations; of more: none, all, each alone, each alone"
        " missing or torn)",
    ),
    "disk-full": (
        "ENOSPC at any operation: a clear error or a run that waits, and all is as undisturbed when"
        " space is back",
        "every operation that takes space fails from there on; then space is back",
    ),
    "disk-error": (
        "EIO at any operation: the same",
        "every operation on a file fails once",
    ),
    "kill-matrix": (
        "at its limit nothing of a run's tree survives, whatever it did to get away",
        "every shape of tree, by the subreaper walk alone and with a cgroup v2, 50 times each; afterwards no"
        " process works in the project, whatever its environment, and its cgroup is gone",
    ),
    "unclean": (
        "what SIGKILL cannot end: sentinel, slot in quarantine for everybody, over restarts, until it is"
        " gone",
        "a process in a real uninterruptible sleep (a filesystem that never answers); kill -9 of the daemon"
        " in between; `arctl clean` refused while it lives",
    ),
    "pids-limit": (
        "a fork bomb is bounded by pids_max, ends by its limit, and others go on",
        "a bomb that forks in new sessions, limited to 40; the kernel's own count is watched meanwhile",
    ),
    "adopted-tree": (
        "a job whose shim was killed is found and ended by its cgroup, whatever it has dropped",
        "SIGKILL of the shim (and of the daemon); what is left of the job has no environment and no"
        " descriptor",
    ),
    "stopped-shim": (
        "a stopped shim is woken and ends its job: at once on request, else when it is overdue",
        "SIGSTOP of the shim",
    ),
    "adoption": (
        "a job goes on without the daemon, and the next one goes on with it: limit, live value, exact end",
        "the daemon is killed (-9) and started again while a job runs, waits or ends, and clients wait",
    ),
    "supervisor-lost": (
        "kill -9 of the shim, with or without the daemon: one copy, its slot held, its end called unknown",
        "both are killed in either order and at several moments, and in mid-start; trees of sessions and"
        " double forks, polite and deaf, are cancelled and run into their limit",
    ),
    "host-restart": (
        "a reboot loses the runs under way and nothing else",
        "everything is killed and the boot's id in the records is another one",
    ),
    "pid-reuse": (
        "no foreign process is ever signalled, whatever pid it has",
        "records are forged to name living processes which write down every signal; and the pids of a killed"
        " shim and job are really given to such processes (clone3, set_tid)",
    ),
    "clock": (
        "the wall clock set back a day or to 1970, or forward a year, changes no limit, wait or verdict",
        "a preloaded library moves the clock of daemon, shim, job and client while a run is under way",
    ),
    "stopped-spare": (
        "a shim that is stopped before its job is spawned holds up neither its run nor a stop of the daemon,"
        " and no job is started twice",
        "SIGSTOP of a parked shim, and of one that was given an attempt, before each of its steps; the daemon"
        " is stopped or killed (-9) meanwhile",
    ),
    "trusted-files": (
        "what a job or anybody else has written never counts as the daemon's own: no forged result, end or"
        " measurement",
        "a job writes every name of the daemon's, and the daemon is killed (-9) before the verdict; results"
        " that no commit has written lie where those of commits do",
    ),
    "in-the-way": (
        "what keeps a run from its commit is named with its owner, and the run goes on when it is gone; no"
        " other experiment waits for it",
        "a job puts folders into the places of the daemon's files, in its run's folder and the experiment's;"
        " `status`, `doctor` and the next submit are asked; the command that they name is run",
    ),
    "rewritten": (
        "what is put back into train.py is what was judged, whatever a job makes of its source or of"
        " the runs",
        "jobs that rewrite themselves, their snapshot, each snapshot or each Python file of the runs, in"
        " place and as a new file, or remove it; each then advances, reverts, and is run again",
    ),
    "git": (
        "what git takes away under a daemon is told with the command that brings it back; nothing is made"
        " anew or merged meanwhile",
        "stash, reset, checkout and clean, with experiments that git tracks or does not ignore, also while"
        " a run is at work; the command that is named is run, and folders are compared whole",
    ),
    "noise": (
        "a noise verdict launches each seed once for a version, and is the same whenever the daemon is"
        " killed",
        "a baseline, its reruns and an edit that is confirmed with a second seed; the daemon is killed before"
        " each of its operations and started again",
    ),
    "idle-launches": (
        "launches of the best on an idle place go on by themselves whenever the daemon is killed: none is"
        " made twice, and no value is lost",
        "a baseline in a session with --measure-noise, and nobody asks for a run; the daemon is killed before"
        " each operation of such a launch, and of laying out the next one, and started again",
    ),
    "audit": (
        "a hidden audit is recorded once for each advance, whenever the daemon is killed and however full the"
        " disk is; what is recorded is not run again",
        "a baseline, a revert and an advance; the daemon is killed before each operation on the files of"
        " audits, and space runs out at each",
    ),
    "removed-run": (
        "a run whose folder is removed is ended, its slot is held until its job is gone, its id is not used"
        " again",
        "folders of runs that wait, launch or run are removed or moved away, beside a daemon or without one;"
        " jobs that are deaf to SIGTERM notice another one in their slot",
    ),
    "wishes": (
        "a wish (cancel, session stop, Ctrl+C) is done, or said to be too late, in every state of a run",
        "every wish in every state; wishes that are held in mid-write, or that the disk refuses, while a"
        " place gets free, a run is committed or the daemon is killed (-9)",
    ),
    "stale-decision": (
        "a decision that was not applied, and that others have overtaken, undoes nothing of theirs",
        "kill -9 of the daemon as it applies a decision; run.json is away while another run becomes the best",
    ),
    "no-plain-file": (
        "whatever stands in a file's place (FIFO, device, folder, circle of links) holds up its own project"
        " at most",
        "seven such things in the place of each file of a project, and the requests that read or write it",
    ),
    "trust": (
        "a file that somebody else can write is data: none holds others up, fills the daemon or commands it",
        "every kind of file that the daemon reads, of a project and of a job, is a FIFO, a folder, a device,"
        " has no end, is a link, is another user's, or is swapped between the look and the opening; meanwhile"
        " somebody else asks for his status without a pause, and is answered within 100 ms; folders hold too"
        " many names, or links that lead in a circle; checkpoints hold setuid files and other users'",
    ),
    "dead-disk": (
        "a disk that never answers holds up its own project alone, until it answers again",
        "a filesystem that answers no request covers a project with a run at work; threads are counted",
    ),
    "standstill": (
        "who waits for a run that does not move by itself is told so at once, and what to do",
        "every way to stand still, and every command that waits; the command that a message names is run",
    ),
    "logs": (
        "a log takes no more of the disk than it may, and old logs go before a disk is full: each is whole,"
        " or gone with a line that says so; the best's and the last go last, and nothing else of a run goes",
        "jobs that print more than --max-log; kill -9 of the shim as it makes a hole, of the daemon before"
        " each operation of `arctl prune`; disks that are full, users' quotas that are used up, at a submit"
        " and at a verdict",
    ),
    "chain": (
        "the next experiment of a chain is there whole or not at all, and the budget, its parent's session"
        " and its parent's waiting runs with it",
        "kill -9 of the daemon, and of the client that asked, before every operation of chain.init; what any"
        " request finds then, and what the same call gives; and every disk that a power cut leaves meanwhile",
    ),
    "soak": (
        "thousands of runs leave nothing behind in the daemon",
        "descriptors, threads, children, memory and folders before and after (`make soak`: 10,000 runs)",
    ),
    "older-state": (
        "a state file of another schema is read or refused by name, and is never changed",
        "each kind of file as schema 0, none and 2, and every command; a recorded folder is read whole",
    ),
    "takeover": (
        "a daemon of another version takes over with runs in flight",
        "a copy of the package with another version and protocol is replaced by `arctl daemon restart`"
        " with runs in flight and clients of each kind; two restarts at once, in mid-commit, in mid-start",
    ),
    "service": (
        "a systemd service that is restarted, stopped, upgraded, that crashes or hangs: no run notices",
        "a real `systemd --user`, booted for each test; a run is in flight and a client waits, with the"
        " daemon started at log-in and by its socket; the loop is blocked, the process stopped (SIGSTOP),"
        " the package replaced; a stop is told, and so is what a log-out without lingering ends",
    ),
    "made-again": (
        "a run that is made again (out of memory beside others) has one verdict, and no attempt runs twice",
        "kill -9 of the daemon before each of its operations in such a run's life, on the stand-in's GPU",
    ),
    "same-edit": (
        "an edit that was run before is refused before a run is wasted on it, and no other is; a rerun of the"
        " best decides nothing",
        "equal edits (layout, comments, note) of runs that ended in every way, that wait or work, under other"
        " conditions and environments; the index is removed, and made to name other runs",
    ),
    "metric-command": (
        "a metric command that runs delays no stop and outlives no daemon",
        "the daemon is stopped and killed (-9) while one runs that has left its group and session",
    ),
    "checks": (
        "a win that fails its check is not kept, and nothing is decided by half a check",
        "checks that fail, pass and stay; while one is at work, the daemon is killed (-9), the run cancelled,"
        " its session stopped; and its file is changed",
    ),
    "clients-die": (
        "whatever becomes of a client: its run goes on, is judged once, others are served, nothing is"
        " left of it",
        "SIGKILL of client, group and session, also of those that started the daemon; SIGHUP, closed"
        " terminals and pipes, half requests, deaf readers, 200 at once, idle ones; memory, descriptors and"
        " threads are counted",
    ),
    "socket-private": (
        "nobody but the owner reaches the daemon, or can put a folder or socket of his in its place",
        "every umask; modes looked at before listen(2); another uid, with the modes opened up too; symlinks,"
        " foreign and open folders anywhere on the way to state and runtime folder",
    ),
    "one-daemon": (
        "one daemon per user and host: a stale socket is replaced, a live one respected",
        "20 daemons and 20 clients at once after a kill -9, again and again; one with another state folder",
    ),
    "one-owner": (
        "one daemon at a time changes a project: two never give one id, write one row or judge one run twice",
        "two daemons work on one project at once: of other state folders, one with a copy of the other's,"
        " one in PID and mount namespaces of its own, one of another uid; one is killed (-9) before each"
        " change that it makes, and the other one takes its runs over, or is refused; that one is killed as"
        " it does so; leases of other hosts are renewed, and end; `.autoresearch/` is made anew, a backup is"
        " put in its place, and an older session over the one that is there",
    ),
    "credentials": (
        "agents' credentials reach no job; an environment is on disk in its run's 0600 entry alone,"
        " until commit (--measure-noise: for 10 s more at most), and nobody reads it in the memory of the"
        " daemon or of a shim; nothing stays in the daemon of the shell that started it",
        "a planted secret is looked for in every file and command line, without a pause, all through a"
        " run's life; another process of the user tries to look in; the daemon is started in a shell full"
        " of a project's modules and libraries",
    ),
    "clean-text": (
        "nothing that a script, a note or a file name says acts on a terminal",
        "the bytes of real commands, in pipes, as JSON and at a terminal, about runs full of escape"
        " sequences",
    ),
    "protocol-examples": (
        "JSON-RPC 2.0 as its specification prints it",
        "every example of section 7, our methods in the place of theirs",
    ),
    "protocol-fuzz": (
        "whatever is sent: an answer or a documented error, never a fault; the connection's rules hold",
        "hypothesis: bytes, mutated and cut requests, values of every method's own types, to a real daemon",
    ),
}


def times(full: int, quick: int) -> range:
    """How often a case is tried: for `@pytest.mark.parametrize("again", times(50, 2))`."""
    return range(full if FULL else quick)


def some(cases: Sequence[T], quick: int) -> list[T]:
    """All cases at full size; else `quick` of them, evenly spread and always the same."""
    if FULL or len(cases) <= quick:
        return list(cases)
    return [cases[at * (len(cases) - 1) // max(quick - 1, 1)] for at in range(quick)]


def files_of(promise: str) -> list[str]:
    """List the files with tests of that promise, from the repository's root: collecting all takes long."""
    return [file for file, text in _texts().items() if f'promise("{promise}")' in text]


@cache
def _texts() -> dict[str, str]:
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return {str(path.relative_to(ROOT)): path.read_text() for path in files}


def pytest_addoption(parser: pytest.Parser) -> None:
    """--promise NAME runs the tests of one row."""
    parser.addoption("--promise", default=None, help="run the tests of this promise alone")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", "promise(name): a row of docs/reliability.md")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Each report tells its promise; with --promise, the others are left out."""
    wanted = config.getoption("--promise")
    if wanted is not None and wanted not in PROMISES:
        raise pytest.UsageError(f"--promise {wanted}: known are {', '.join(PROMISES)}")
    for item in items:
        mark = item.get_closest_marker("promise")  # a test counts for one row
        if mark is not None:
            if mark.args[0] not in PROMISES:
                raise pytest.UsageError(f"{item.nodeid}: no promise {mark.args[0]!r} in {__name__}")
            item.user_properties.append(("promise", mark.args[0]))
    if wanted is not None:
        chosen = [item for item in items if ("promise", wanted) in item.user_properties]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the figures of each promise to $TORTURE_REPORT."""
    path = os.environ.get("TORTURE_REPORT")
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if path is None or reporter is None or hasattr(session.config, "workerinput"):
        return
    found: dict[str, dict[str, float]] = {}
    for outcome in ("passed", "failed", "error"):
        for report in reporter.stats.get(outcome, []):
            _count(found, report, failed=outcome != "passed")
    Path(path).write_text(json.dumps(found, indent=1))


def _count(found: dict[str, dict[str, float]], report: pytest.TestReport, failed: bool) -> None:
    properties = dict(report.user_properties)
    if "promise" not in properties:
        return
    row = found.setdefault(str(properties["promise"]), {"tests": 0, "cases": 0, "failed": 0, "seconds": 0.0})
    row["tests"] += 1
    row["cases"] += int(str(properties.get("cases", 1)))
    row["failed"] += int(str(properties.get("wrong", 1))) if failed else 0
    row["seconds"] += report.duration
