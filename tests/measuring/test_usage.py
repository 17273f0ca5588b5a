"""Memory and CPU of real process trees."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardaemon.core.model import Process
from ardaemon.host import proc
from ardaemon.measuring import usage
from ardaemon.measuring.usage import ProcessTree
from tests.support import pace
from tests.support.cgroups import own_cgroup
from tests.support.lab import wait_until
from tests.support.trees import PRELUDE, tree

# An interpreter of its own, and what the allocator rounds up.
SLACK_MB = 40
BURN = "def burn(s):\n    end = time.process_time() + s\n    while time.process_time() < end: pass\n"


def test_memory_of_a_single_process_is_what_it_holds() -> None:
    with tree("kept = hold(200)\nready()") as (root, _):
        assert ProcessTree([root]).read(0.0).rss_mb == pytest.approx(200, abs=SLACK_MB)


def test_memory_of_each_process_counts() -> None:
    script = "def work():\n    kept = hold(100)\n    os.write(tell, b'.')\n    rest()\n"
    script = "told, tell = os.pipe()\n" + script + "for _ in range(3): child(work)\n"
    with tree(script + "for _ in range(3): os.read(told, 1)\nready()") as (root, _):
        found = ProcessTree([root]).read(0.0)
        assert found.rss_mb == pytest.approx(300, abs=4 * SLACK_MB)
        assert found.processes == 4


def test_what_forked_workers_share_counts_once() -> None:
    with tree("kept = hold(200)\nfor _ in range(8): child(rest)\nready()") as (root, _):
        found = ProcessTree([root])
        plain = sum(stat.rss_mb for pid in found._search() if (stat := usage._stat(pid)))
        assert plain > 1400, "the plain sum counts it nine times"
        assert found.read(0.0).rss_mb == pytest.approx(200, abs=9 * 8)


def test_a_worker_that_is_not_weighed_yet_raises_no_peak() -> None:
    with tree("kept = hold(100)\nfor _ in range(4): child(rest)\nready()") as (root, _):
        found = ProcessTree([root])
        found._pids, found._search_at = {root.pid}, 5.0
        alone = found.read(0.0).rss_mb or 0.0
        found._budget, found._budget_at = -1000.0, 9.0  # spent, as by an earlier, larger tree
        unweighed = found.read(9.0)
        assert unweighed.processes == 5
        assert unweighed.rss_mb == pytest.approx(alone, abs=1)
        found._budget = 1.0
        assert found.read(10.0).rss_mb == pytest.approx(100, abs=2 * SLACK_MB)


def test_growth_counts_between_two_weighings() -> None:
    grow = "kept = []\nimport signal\nsignal.signal(10, lambda *_: kept.append(hold(100)))\n"
    with tree("shared = hold(50)\nfor _ in range(2): child(rest)\n" + grow + "ready()") as (root, _):
        found = ProcessTree([root])
        before = found.read(0.0).rss_mb or 0.0
        found._budget = -1000.0  # none is weighed again
        os.kill(root.pid, signal.SIGUSR1)
        wait_until(lambda: (found.read(1.0).rss_mb or 0.0) > before + 95, "the growth")
        assert found.read(1.0).rss_mb == pytest.approx(before + 100, abs=5)


def test_weighing_keeps_to_its_budget() -> None:
    """Whatever comes and goes, on average it takes no more than its share."""
    with tree("kept = hold(100)\nfor _ in range(8): child(rest)\nready()") as (root, _):
        found, begun, seconds = ProcessTree([root]), time.thread_time(), 300
        weighed = 0
        for now in range(seconds):
            found._shared.popitem() if found._shared else None  # as if one had come
            known = found._weigh_at
            found.read(float(now))
            weighed += found._weigh_at != known
        spent = time.thread_time() - begun
        assert weighed >= 2
        assert -found._budget <= spent
        assert spent - seconds * 0.002 < seconds * (usage.WEIGH_SHARE + usage.SEARCH_SHARE) + 0.2


def test_cpu_of_the_tree_is_percent_of_one_core() -> None:
    script = BURN + "child(lambda: burn(30))\nready()"
    with tree(script) as (root, _):
        found = ProcessTree([root])
        assert found.read(time.monotonic()).cpu is None

        def busy() -> bool:
            cpu = found.read(time.monotonic()).cpu
            return cpu is not None and cpu > 10

        wait_until(busy, "its work is seen")
        for pid in found._pids - {root.pid}:
            os.kill(pid, 9)


def test_cpu_of_a_worker_that_has_ended_is_not_lost() -> None:
    """What lives shorter than the time between two searches counts through its parent."""
    script = BURN + "print(flush=True)\nos.read(0, 1)\nos.waitpid(child(lambda: burn(0.5)), 0)\nready()"
    with subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        found = ProcessTree([Process(process.pid, proc.start_time(process.pid) or 0)])
        found.read(0.0)
        process.stdin.write(b".")
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        assert found.read(1.0).cpu == pytest.approx(50, abs=8)
        process.stdin.close()


def test_a_double_fork_is_found_below_its_supervisor() -> None:
    script = (
        "import ctypes\nctypes.CDLL(None).prctl(36, 1)\n"  # a subreaper, as the shim
        "told, tell = os.pipe()\n"
        "def away():\n    os.setsid()\n    child(lambda: (hold(1), os.write(tell, b'.'), rest()))\n"
        "os.waitpid(child(away), 0)\nos.read(told, 1)\nready()"  # the one between them is gone by now
    )
    with tree(script) as (supervisor, _):
        found = ProcessTree(supervisor=supervisor)
        assert len(found._search()) == 1
        assert supervisor.pid not in found._search()
        assert found.read(0.0).processes == 1


def test_a_kernel_that_tells_no_children_is_scanned_for_them() -> None:
    deep = "def deeper(left):\n    if left: child(lambda: deeper(left - 1))\n"
    deep += "    else: os.write(tell, b'.')\n    rest()\n"
    start = "told, tell = os.pipe()\nchild(lambda: deeper(3))\nos.read(told, 1)\nready()"
    with tree(deep + start) as (root, _):
        found = usage._walked([root.pid])
        assert len(found) == 5
        assert usage._scanned([root.pid]) == found


def test_a_pid_of_another_process_is_not_taken_for_a_root() -> None:
    with tree("ready()") as (root, _):
        found = ProcessTree([Process(root.pid, root.start + 1)]).read(0.0)
        assert (found.processes, found.rss_mb) == (0, None)


def test_nothing_is_left_of_a_tree_that_has_ended() -> None:
    with tree("ready()") as (root, _):
        found = ProcessTree([root])
        assert found.read(0.0).processes == 1
    assert found.read(1.0) == (None, 0.0, 0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A cgroup v2 of this test's own."""
    with own_cgroup(f"test-usage-{os.getpid()}") as made:
        yield made


def test_a_cgroup_tells_who_is_inside_and_what_they_used(folder: Path) -> None:
    enter = f"open({str(folder / 'cgroup.procs')!r}, 'w').write('0')\n"
    script = BURN + enter + "def work():\n    burn(0.3)\nos.waitpid(child(work), 0)\nready()"
    with tree(script) as (root, _):
        found = ProcessTree(cgroup=str(folder))
        assert found.read(0.0).processes == 1
        assert found._pids == {root.pid}
        assert found._used({}) >= 0.3, "what has ended counts as well"


def test_a_long_list_of_processes_is_read_whole(folder: Path) -> None:
    """The kernel gives a page at a time."""
    enter = f"open({str(folder / 'cgroup.procs')!r}, 'w').write('0')\n"
    with tree(enter + "for _ in range(1200): child(rest)\nready()") as _:
        assert len(ProcessTree(cgroup=str(folder))._search()) == 1201


def test_swapping_is_counted_since_the_boot() -> None:
    pages = usage.swapped_pages()
    assert pages is not None
    assert pages >= 0


def test_60_processes_cost_less_than_half_a_percent_of_a_core_each_second() -> None:
    script = "kept = hold(50)\nfor _ in range(60): child(rest)\nready()"
    with tree(script) as (root, _):
        found, seconds = ProcessTree([root]), 100
        found.read(0.0)

        def read() -> None:
            for now in range(1, seconds):
                assert found.read(float(now)).processes == 61

        assert pace.spent(read) / pace.slower() / seconds <= 0.005
