"""The memory of daemon and shims, which holds the keys of runs: no core file, and nobody looks in."""

import ctypes
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardaemon.host import proc
from tests.support.lab import DEADLINE_S, Lab, wait_until
from tests.support.shell import UNTIL_TOLD, Shell

pytestmark = pytest.mark.promise("credentials")

PR_CAPBSET_DROP = 24  # linux/prctl.h
# SYS_PTRACE, SYS_ADMIN and PERFMON of linux/capability.h: each lets root look into any process.
LOOK = (19, 21, 38)
HARD = resource.getrlimit(resource.RLIMIT_CORE)[1]
CORE = 1 << 20 if HARD == resource.RLIM_INFINITY else min(HARD, 1 << 20)  # bytes: what a person has set


def as_a_person() -> None:
    """Take from root what a person does not have either: the right to look into every process."""
    for capability in LOOK:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (CORE, HARD))


def opens_up(pid: int) -> bool:
    """Tell whether another process of the user may look into this one."""
    command = ["cat", f"/proc/{pid}/environ", f"/proc/{pid}/maps"]
    done = subprocess.run(command, preexec_fn=as_a_person, capture_output=True, timeout=DEADLINE_S)
    return done.returncode == 0


def core_limit(pid: int) -> int:
    return resource.prlimit(pid, resource.RLIMIT_CORE)[0]


@pytest.fixture
def shell(lab: Lab) -> Shell:
    return Shell(lab)


@pytest.fixture
def daemon(shell: Shell) -> Iterator[int]:
    """A daemon that a person has started, with a run under way."""
    lab = shell.lab
    out, err = shell.start("daemon", "start", "--json", preexec_fn=as_a_person).communicate(
        timeout=DEADLINE_S
    )
    assert err == ""
    try:
        lab.init()
        lab.session()
        lab.write(UNTIL_TOLD.format(go=str(shell.go), value=0.5))
        lab.submit()
        lab.wait("r0001", until="launched")
        yield int(json.loads(out)["pid"])
    finally:
        shell("daemon", "stop")


def test_of_daemon_and_shims_nobody_gets_the_memory_and_the_job_has_the_limit_of_the_starter(
    shell: Shell, daemon: int
) -> None:
    lab = shell.lab
    start = wait_until(lambda: started(lab), "the shim has named its job")
    shim, job = start["shim"][0], start["job"][0]
    spare = wait_until(lambda: set(proc.descendants(daemon)) - {shim, job}, "a spare shim is parked")
    assert not opens_up(daemon)
    assert not opens_up(shim)
    wait_until(lambda: not any(map(opens_up, spare)), "the spare one is ready for an environment")
    assert {core_limit(pid) for pid in (daemon, shim, *spare)} == {0}
    assert core_limit(job) == CORE
    assert opens_up(job), "the probe itself works"
    shell.go.touch()
    result = lab.wait("r0001")["result"]
    assert (result["verdict"], result["primary"]["value"]) == ("advance", 0.5)


def started(lab: Lab) -> dict[str, list[int]] | None:
    """What start.json says, once the job is in it."""
    try:
        found: dict[str, list[int]] = json.loads((lab.folder / "runs/r0001/a1/start.json").read_text())
    except FileNotFoundError:
        return None
    return found if found["job"] else None


def test_a_shim_that_waits_for_space_says_so_though_its_files_in_proc_are_roots() -> None:
    """Its name is how; see test_watchdog for the whole story, which runs as root."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from ardaemon.host import core_files;"
        " from ardaemon.shim import ending; core_files.forbid(); ending._call_oneself(ending.NO_DISK);"
        " print(open('/proc/self/comm').read())"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", program, root], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "ar-no-disk"
