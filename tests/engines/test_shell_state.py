"""The limits, CPUs and priority of the submitter's shell: what a job gets of them, and what it cannot."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from ardaemon.core.shell_state import LIMITS, UNLIMITED, of_this_process
from ardaemon.host import shell_state
from ardaemon.host.shell_state import Mine

ROOT = Path(__file__).parents[2]
NOBODY = 65534
# Starts a process as a shim does, and prints what that one has, and whether this one is as before. What it
# starts is root again: nobody else may reach the interpreter.
STARTS = """
import json, os, resource, subprocess, sys
from ardaemon.shim.shell_state import given
state, uid, hard, first = json.loads(sys.argv[1])
for name, both in hard.items():
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), both)
if uid is not None:
    os.seteuid(uid)  # its capabilities are gone with that
look = ("import json, os, resource, sys;" + first + "print(flush=True);"
        " sys.stdin.readline(); names = json.loads(sys.argv[1]);"
        " print(json.dumps([{n: resource.getrlimit(getattr(resource, 'RLIMIT_' + n))[0] for n in names},"
        " sorted(os.sched_getaffinity(0)), os.getpriority(os.PRIO_PROCESS, 0)]))")
own = lambda: [resource.getrlimit(number) for number in range(16)] + [os.sched_getaffinity(0), os.nice(0)]
before = own()
with given(state) as shell:
    argv = [sys.executable, "-I", "-c", look, json.dumps(list(state.get("limits", {})))]
    job = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                           preexec_fn=lambda: uid and os.seteuid(0))
    if first:
        job.stdout.readline()
    shell.complete(job.pid)
print(json.dumps([json.loads(job.communicate("go\\n")[0].splitlines()[-1]), before == own()]))
"""


def started(
    state: object, uid: int | None = None, first: str = "", **hard: tuple[int, int]
) -> tuple[list[object], bool]:
    """What a job has that is started with this state, and whether its starter is as before.

    `first` is what the job does before its starter goes on.
    """
    command = [sys.executable, "-c", STARTS, json.dumps([state, uid, hard, first])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    job, same = json.loads(done.stdout)
    return job, same


def test_a_job_gets_the_soft_limits_the_cpus_and_the_priority_of_the_shell() -> None:
    cpu = min(os.sched_getaffinity(0))
    limits = {"NOFILE": 77, "STACK": 4 << 20, "CPU": 500, "AS": 4 << 30, "FSIZE": 1 << 30, "DATA": 3 << 30}
    job, same = started({"limits": limits, "affinity": [cpu], "nice": 7})
    assert job == [limits, [cpu], 7]
    assert same, "what is the job's alone is not its starter's"


def test_what_a_job_has_set_by_itself_stays() -> None:
    """As `nice -n 5 python train.py` does, and `ulimit` in a script: they may be faster than the starter."""
    sets = (
        "os.nice(9); [resource.setrlimit(getattr(resource, 'RLIMIT_' + name),"
        " (soft, resource.getrlimit(getattr(resource, 'RLIMIT_' + name))[1]))"
        " for name, soft in (('CPU', 700), ('AS', 2 << 30), ('FSIZE', 5), ('DATA', 1 << 30))];"
    )
    own = {"CPU": 700, "AS": 2 << 30, "FSIZE": 5, "DATA": 1 << 30}
    for limits in ({"CPU": 900, "AS": 4 << 30, "FSIZE": 9, "DATA": 3 << 30}, {"CPU": 5, "DATA": 200 << 20}):
        job, same = started({"limits": {**dict.fromkeys(own, UNLIMITED), **limits}, "nice": 3}, first=sets)
        assert job[0] == own
        assert job[2] == os.getpriority(os.PRIO_PROCESS, 0) + 9
        assert same


def test_a_job_has_the_shells_limits_from_its_first_moment() -> None:
    """What it starts within that moment inherits them."""
    shows = "print(resource.getrlimit(resource.RLIMIT_AS)[0], file=sys.stderr);"
    limits = {"AS": 4 << 30}
    code = STARTS.replace("shell.complete(job.pid)", "pass")
    command = [sys.executable, "-c", code, json.dumps([{"limits": limits}, None, {}, shows])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)[0][0] == limits


def test_a_job_gets_what_an_ordinary_user_may_have() -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    state = {"limits": {"NOFILE": 4096}, "affinity": [9999], "nice": -5}
    job, same = started(state, NOBODY, NOFILE=(100, 1024))
    assert job == [{"NOFILE": 1024}, sorted(os.sched_getaffinity(0)), 0]
    assert same


def test_without_a_shells_state_a_job_gets_that_of_its_starter() -> None:
    job, same = started({})
    assert job[1:] == [sorted(os.sched_getaffinity(0)), os.getpriority(os.PRIO_PROCESS, 0)]
    assert same


def test_what_the_kernel_refuses_an_ordinary_user_is_named() -> None:
    hard = {**dict.fromkeys(LIMITS, UNLIMITED), "NOFILE": 1024, "STACK": 8 << 20}
    user, root = Mine(hard, 5, False), Mine(hard, -20, True)
    wanted = {"NOFILE": 4096, "STACK": UNLIMITED, "AS": UNLIMITED, "NPROC": 10, "ELSE": 9}
    lines = shell_state.lacking(wanted, 0, user)
    assert [line.split(":")[0] for line in lines] == [
        *("open files (ulimit -n) 4096", "stack (ulimit -s) unlimited", "nice 0")
    ]
    assert "the job gets 1024" in lines[0]
    assert "the job gets 8192" in lines[1]
    assert "the job gets nice 5" in lines[2]
    assert shell_state.lacking(wanted, 0, root) == []
    assert shell_state.lacking({"NOFILE": 1024}, 5, user) == []
    assert shell_state.lacking({}, None, user) == []


def test_cpus_that_this_machine_does_not_give_are_named() -> None:
    own = os.sched_getaffinity(0)
    assert shell_state.lacking_cpus(()) == []
    assert shell_state.lacking_cpus(tuple(own)) == []
    assert shell_state.lacking_cpus((min(own),)) == []
    [line] = shell_state.lacking_cpus((min(own), 9999))
    assert line.startswith(f"CPUs {min(own)}, 9999: the job gets {min(own)}")
    assert len(shell_state.lacking_cpus((9999,))) == 1
    assert os.sched_getaffinity(0) == own


def test_the_limits_that_may_end_a_run_are_told_as_ulimit_prints_them() -> None:
    assert shell_state.told(dict.fromkeys(LIMITS, UNLIMITED)) == []
    assert shell_state.told({"NOFILE": 5}) == []
    assert shell_state.told({"AS": 8 << 30, "CPU": 60, "FSIZE": 1 << 20}) == [
        *(
            "CPU seconds (ulimit -t) 60",
            "address space (ulimit -v) 8388608",
            "size of a file (ulimit -f) 2048",
        )
    ]


def test_a_process_tells_its_own() -> None:
    state = of_this_process()
    assert state["affinity"] == sorted(os.sched_getaffinity(0))
    assert state["nice"] == os.getpriority(os.PRIO_PROCESS, 0)
    limits = state["limits"]
    assert isinstance(limits, dict)
    assert limits["NOFILE"] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert limits.keys() == LIMITS.keys()
