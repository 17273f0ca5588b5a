"""Whose a process is: of real trees, and by a table."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardaemon.core.gpus import GpuProcess, GpuReading
from ardaemon.core.measured import Holder
from ardaemon.host import cgroup, proc
from ardaemon.measuring import attribution
from ardaemon.measuring.attribution import Attribution, Evidence, Suspect, owner
from tests.support.cgroups import own_cgroup
from tests.support.trees import tree

OURS = Suspect(folder="/p/runs/r0001/a1", roots=(100, 101), cgroup="/sys/fs/cgroup/ardaemon-7-8-1")
OTHER = Suspect(folder="/p/runs/r0002/a2", roots=(200, 201))
TAGS = {"AR_RUN_DIR": "/p/runs/r0001", "AR_ATTEMPT": "1"}
# As setproctitle does: what stood in the environment is overwritten.
OVERWRITE = """
import ctypes
start, end = map(int, open("/proc/self/stat").read().rpartition(")")[2].split()[47:49])
ctypes.memset(start, 0, end - start)
"""


def on(*processes: tuple[int, float | None]) -> list[GpuReading]:
    there = tuple(GpuProcess(pid=pid, used_mb=used) for pid, used in processes)
    return [GpuReading(uuid="GPU-0", index=0, processes=there)]


def holder(pid: int, attempt: Suspect = OURS, memory: Attribution | None = None) -> Holder:
    found = (memory or Attribution()).holders(on((pid, 512.0)), [attempt])["GPU-0"]
    assert found is not None
    return found[0]


@pytest.mark.parametrize(
    ("evidence", "ancestors", "whose"),
    [
        (Evidence(tag=OURS.folder), (), OURS),
        (Evidence(tag=OTHER.folder), (5, 101), OTHER),  # the environment is the stronger word
        (Evidence(tag="/p/runs/r0009/a1"), (5, 101), OURS),  # an outer run's tag is no evidence against
        (Evidence(tag="/p/runs/r0001/a2"), (), None),  # another attempt of the same run
        (Evidence(), (5, 6, 201, 100), OTHER),  # the nearest ancestor
        (Evidence(), (5, 6), None),
        (Evidence(cgroups=("user.slice", "ardaemon-7-8-1", "deeper")), (5,), OURS),
        (Evidence(cgroups=("user.slice", "ardaemon-7-8-11")), (5,), None),
        (Evidence(), (), None),
    ],
)
def test_the_strongest_evidence_decides(
    evidence: Evidence, ancestors: tuple[int, ...], whose: Suspect | None
) -> None:
    assert owner(evidence, ancestors, [OURS, OTHER]) == (whose.folder if whose else None)


def test_a_double_forked_process_is_told_by_its_environment() -> None:
    script = "def away():\n    os.setsid()\n    parent = os.getpid()\n    child(lambda: alone(parent))\n"
    script += "def alone(parent):\n    while os.getppid() == parent: time.sleep(0.001)\n"
    script += "    ready(os.getpid())\n"
    script += "os.waitpid(child(away), 0)\nrest()"
    with tree(script, {**os.environ, **TAGS}) as (root, orphan):
        assert root.pid not in attribution.ancestors(int(orphan))
        found = holder(int(orphan))
        assert (found.owner, found.used_mb, found.known) == (OURS.folder, 512.0, True)


def test_one_that_has_overwritten_its_environment_is_told_by_its_ancestors() -> None:
    script = f"child(lambda: (exec({OVERWRITE!r}), ready(os.getpid())))\nrest()"
    with tree(script, {**os.environ, **TAGS}) as (root, pid):
        assert attribution.gather(int(pid)).tag == ""
        assert holder(int(pid)).owner is None
        assert holder(int(pid), Suspect(folder=OURS.folder, roots=(root.pid,))).owner == OURS.folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A cgroup v2 of this test's own, named as an attempt's."""
    with own_cgroup(f"{cgroup.PREFIX}{os.getpid()}-{proc.start_time(os.getpid())}-test") as made:
        yield made


def test_one_that_has_left_everything_is_told_by_its_cgroup(folder: Path) -> None:
    enter = f"open({str(folder / 'cgroup.procs')!r}, 'w').write('0')\n"
    with tree(enter + "ready()") as (root, _):
        assert holder(root.pid).owner is None
        assert holder(root.pid, Suspect(folder=OURS.folder, cgroup=str(folder))).owner == OURS.folder


def test_a_foreign_process_has_pid_user_name_and_memory() -> None:
    with tree("ready()") as (root, _):
        found = holder(root.pid)
        assert found == Holder(
            pid=root.pid,
            used_mb=512.0,
            owner=None,
            user=attribution.user_name(os.getuid()),
            name=proc.name(root.pid),
        )
        assert found.words() == f"pid {root.pid} ({found.user}, {found.name}), 0.5 GiB"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_foreign_process_of_another_user_has_his_name() -> None:
    with tree("os.setuid(65534)\nready()") as (root, _):
        assert holder(root.pid).user == attribution.user_name(65534)


def test_a_pid_that_is_not_in_proc_is_unknown() -> None:
    nobody = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1
    assert holder(nobody) == Holder(pid=nobody, used_mb=512.0, known=False)
    assert holder(nobody).words() == f"unknown pid {nobody}, 0.5 GiB"


def test_one_that_has_just_ended_is_still_its_runs() -> None:
    """Its memory drains a moment longer than it lives: that is nobody new."""
    memory = Attribution()
    with tree("ready()", {**os.environ, **TAGS}) as (root, _):
        assert holder(root.pid, memory=memory).owner == OURS.folder
    for _ in range(2):
        found = holder(root.pid, memory=memory)
        assert (found.owner, found.known) == (OURS.folder, False)
    memory.holders(on(), [OURS])
    assert holder(root.pid, memory=memory).owner is None, "and not for ever"


def test_one_that_was_seen_before_its_run_was_known_is_looked_at_again() -> None:
    memory = Attribution()
    with tree("ready()", {**os.environ, **TAGS}) as (root, _):
        assert holder(root.pid, OTHER, memory).owner is None
        assert holder(root.pid, OURS, memory).owner == OURS.folder


def test_a_name_cannot_act_on_a_terminal() -> None:
    with tree("open('/proc/self/comm', 'w').write('\\x1b[31mred\\n')\nready()") as (root, _):
        assert holder(root.pid).name == "red"


def test_where_nvml_does_not_say_nobody_is_said_to_be_there() -> None:
    gpus = [
        GpuReading(uuid="GPU-0", index=0, processes=None),
        GpuReading(uuid="GPU-1", index=1, processes=()),
    ]
    assert Attribution().holders(gpus, [OURS]) == {"GPU-0": None, "GPU-1": ()}
