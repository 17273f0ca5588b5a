"""How a command ends: with TERM and a grace, killed at once, in a cgroup of its own, without its keeper."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ardaemon.host import cgroup, command
from ardaemon.host.command import CommandEnd, Commands, KillPolicy
from tests.support.jobs import alive
from tests.support.lab import wait_until

# Says by files who is at work, and who was asked to end; with a child in a session of its own.
PROGRAM = """import os, pathlib, signal, sys, time
os.chdir(sys.argv[1])
def asked(*_):
    pathlib.Path(f"asked-{os.getpid()}").touch()
    if sys.argv[2] == "polite":
        sys.exit(3)
signal.signal(signal.SIGTERM, asked)
if os.fork() == 0:
    os.setsid()
    first = False
else:
    first = True
pathlib.Path(f"here-{os.getpid()}").touch()
while len(list(pathlib.Path().glob("here-*"))) < 2:
    time.sleep(0.01)
if first and len(sys.argv) > 3:
    sys.exit(0)
while True:
    time.sleep(60)
"""
LONG_S = 60.0


def run(
    folder: Path, *words: str, deadline: float = LONG_S, policy: KillPolicy, group: Commands | None = None
) -> CommandEnd:
    argv = [sys.executable, "-c", PROGRAM, str(folder), *words]
    return command.run(argv, folder, dict(os.environ), deadline, group, policy=policy)


def pids(folder: Path, word: str) -> set[int]:
    return {int(path.name.partition("-")[2]) for path in folder.glob(f"{word}-*")}


def tries(folder: Path, word: str = "here") -> Iterator[tuple[Path, int]]:
    """Yield a folder and how many times as long to wait, until both processes have said that word.

    On a busy machine they may come to it later than the command is to be ended.
    """
    for times in (1, 4, 16):
        place = folder / str(times)
        place.mkdir()
        yield place, times
        if len(pids(place, word)) == 2:
            return


def test_a_late_command_is_asked_to_end_with_all_that_it_started(tmp_path: Path) -> None:
    for folder, times in tries(tmp_path):
        begun = time.monotonic()
        end = run(folder, "polite", deadline=times, policy=KillPolicy(grace=LONG_S))
    assert (end.how, end.code, end.verified) == ("late", 3, True)
    assert len(pids(folder, "asked")) == 2
    assert time.monotonic() - begun < LONG_S, "who ends is not waited for"


def test_who_does_not_end_within_the_grace_is_killed(tmp_path: Path) -> None:
    for folder, times in tries(tmp_path, "asked"):
        end = run(folder, "stubborn", deadline=times, policy=KillPolicy(grace=0.5 * times))
    assert (end.how, end.code, end.verified) == ("late", -signal.SIGKILL, True)
    assert pids(folder, "asked") == pids(folder, "here")
    assert not any(map(alive, pids(folder, "here")))


def test_without_a_grace_nobody_is_asked(tmp_path: Path) -> None:
    for folder, times in tries(tmp_path):
        end = run(folder, "polite", deadline=times, policy=KillPolicy())
    assert (end.how, end.code, end.verified) == ("late", -signal.SIGKILL, True)
    assert pids(folder, "asked") == set()


def test_what_a_command_leaves_behind_is_ended_and_changes_nothing_of_its_code(tmp_path: Path) -> None:
    """Its deadline comes while that is given its grace."""
    for folder, times in tries(tmp_path):
        end = run(folder, "stubborn", "leave", deadline=2 * times, policy=KillPolicy(grace=3 * times))
    assert (end.how, end.code, end.verified) == ("exited", 0, True)
    assert not any(map(alive, pids(folder, "here")))


@pytest.mark.parametrize(("at_once", "asked"), [(True, 0), (False, 2)])
def test_a_command_whose_end_is_wanted_ends_by_its_policy_or_at_once(
    tmp_path: Path, at_once: bool, asked: int
) -> None:
    group = Commands(at_once=at_once)
    ends: list[CommandEnd] = []
    policy = KillPolicy(grace=LONG_S)
    thread = threading.Thread(target=lambda: ends.append(run(tmp_path, "polite", policy=policy, group=group)))
    thread.start()
    wait_until(lambda: len(pids(tmp_path, "here")) == 2, "both processes")
    group.end()
    thread.join(LONG_S)
    assert (ends[0].wanted, ends[0].verified) == (True, True)
    assert len(pids(tmp_path, "asked")) == asked


def test_a_daemon_that_stops_ends_the_grace(tmp_path: Path) -> None:
    ours, all_of_them = Commands(), command._under_way
    ends: list[CommandEnd] = []
    policy = KillPolicy(grace=10 * LONG_S)
    thread = threading.Thread(
        target=lambda: ends.append(run(tmp_path, "stubborn", policy=policy, group=ours))
    )
    thread.start()
    wait_until(lambda: len(pids(tmp_path, "here")) == 2, "both processes")
    ours.end()
    wait_until(lambda: len(pids(tmp_path, "asked")) == 2, "TERM")
    with all_of_them.lock:
        for keeper in all_of_them.keepers:
            keeper.kill()  # what end_all() does, but for good
    thread.join(LONG_S)
    assert ends[0].verified
    assert not any(map(alive, pids(tmp_path, "here")))


@pytest.mark.skipif(not cgroup.make(8).group, reason="needs a system that lets this process make cgroups")
def test_a_command_lives_in_a_cgroup_of_its_own_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    policy = KillPolicy(pids_max=64)
    argv = [sys.executable, "-c", "print(open('/proc/self/cgroup').read())"]
    end = command.run(argv, tmp_path, {}, LONG_S, policy=policy)
    assert cgroup.PREFIX in end.output.decode()
    assert end.tree
    assert not Path(end.tree).exists()


@pytest.mark.skipif(not cgroup.make(8).group, reason="needs a system that lets this process make cgroups")
def test_a_command_without_its_keeper_is_killed_by_its_cgroup(tmp_path: Path) -> None:
    ends: list[CommandEnd] = []
    policy = KillPolicy(grace=1, pids_max=64)
    thread = threading.Thread(target=lambda: ends.append(run(tmp_path, "stubborn", policy=policy)))
    thread.start()
    wait_until(lambda: len(pids(tmp_path, "here")) == 2, "both processes")
    for child in psutil.Process().children():
        if "keeper" in " ".join(child.cmdline()):
            child.kill()
    thread.join(LONG_S)
    assert not ends[0].verified
    wait_until(lambda: not any(map(alive, pids(tmp_path, "here"))), "their end")
