"""Where an attempt's cgroup is made, and that nothing is needed to do without."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardaemon.host import cgroup
from tests.support.cgroups import own_cgroup

ROOT = str(Path(__file__).parents[2])
# Enters the cgroup that it is told, then makes one as the daemon does, says which, and removes it.
MAKE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from ardaemon.host import cgroup
if sys.argv[2:] == ["nobody"]:
    os.setuid(65534)
elif len(sys.argv) > 2:
    with open(sys.argv[2] + "/cgroup.procs", "w") as file: file.write("0")
tree = cgroup.make(10)
print(tree.home, tree.group, tree.pids, sep=chr(10))
print(os.path.exists(tree.group) if tree.group else "")
cgroup.remove(tree.group)
cgroup.remove(tree.pids)
"""


def made(*arguments: str) -> list[str]:
    """What MAKE says: home, group, pids, and whether the group was there."""
    argv = [sys.executable, "-I", "-S", "-c", MAKE, ROOT, *arguments]
    done = subprocess.run(argv, cwd="/", capture_output=True, text=True, check=True)
    return done.stdout.split("\n")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A cgroup v2 of this test's own."""
    with own_cgroup(f"test-{os.getpid()}") as group:
        yield group


def test_it_is_made_below_the_daemons_own(folder: Path) -> None:
    home, group, _, there = made(str(folder))[:4]
    assert (home, Path(group).parent, there) == (str(folder), folder, "True")
    assert not Path(group).exists()
    assert cgroup.ours(group)


def test_a_daemon_in_a_delegated_subgroup_has_it_beside_itself(folder: Path) -> None:
    leaf = folder / cgroup.SUBGROUP
    leaf.mkdir()
    home, group, _, there = made(str(leaf))[:4]
    assert (home, Path(group).parent, there) == (str(leaf), folder, "True")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody without rights")
def test_who_may_make_none_gets_none() -> None:
    assert made("nobody")[1:4] == ["", "", ""]


def test_what_a_job_made_inside_goes_with_it(folder: Path) -> None:
    deep = folder / "a/b"
    deep.mkdir(parents=True)
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        (deep / "cgroup.procs").write_text(str(process.pid))
        assert list(cgroup.living(str(folder))) == [process.pid]
        assert cgroup.populated(str(folder))
        cgroup.remove(str(folder))
        assert deep.exists(), "it is never removed over a living process"
        assert cgroup.kill(str(folder))
        assert process.wait(10) == -9
    assert cgroup.living(str(folder)) == {}
    cgroup.remove(str(folder))
    assert not folder.exists()


@pytest.mark.parametrize(
    "path",
    ["", "/", "/sys/fs/cgroup", "/tmp/ardaemon-1-2-3", "/sys/fs/cgroup/user.slice", "ardaemon-1-2-3"],
)
def test_only_an_attempts_own_cgroup_is_taken_for_one(path: str) -> None:
    assert not cgroup.ours(path)


def test_no_dots_lead_out_of_it(folder: Path) -> None:
    assert not cgroup.ours(f"{folder}/../ardaemon-1-2-3")


@pytest.mark.parametrize(
    ("root", "path", "seen"),
    [
        ("/", "/user.slice/a", "/mnt/user.slice/a"),
        ("/docker/x", "/docker/x/a", "/mnt/a"),
        ("/docker/x", "/docker/x", "/mnt"),
        ("/docker/x", "/docker/xy", None),
        ("/", "/", "/mnt"),
    ],
)
def test_a_mount_may_show_only_what_is_below_its_root(root: str, path: str, seen: str | None) -> None:
    assert next(cgroup._below(iter([(root, "/mnt")]), path), None) == seen


def test_a_dead_daemons_cgroup_is_swept_once_no_shim_is_about_to_enter_it() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    with own_cgroup(f"{cgroup.PREFIX}{gone.pid}-1-1") as folder:
        cgroup.sweep()
        assert folder.exists()
        made = folder.stat().st_mtime - cgroup.YOUNG_S
        os.utime(folder, (made, made))
        cgroup.sweep()
        assert not folder.exists()
