"""The lock of the single instance."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from ardaemon import startup
from ardaemon.core.layout import Host
from ardaemon.host import file_lock


def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "r"))
    return Host.of_environment()


def ended() -> int:
    """The pid of a process that lives no more, and is no zombie."""
    with subprocess.Popen(["true"]) as process:
        return process.pid


def test_a_lock_that_a_killed_daemon_has_left_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = host(tmp_path, monkeypatch)
    left = file_lock.take(str(here.lock))
    os.write(left, b"%d 1\n" % ended())  # as file_lock.name_holder had written it
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        os.close(left)  # the copy becomes another program

    monkeypatch.setattr(time, "sleep", sleep)
    os.close(startup.take_lock(here))
    assert waits == [startup.RELEASE_POLL_S]


@pytest.mark.parametrize("is_named", [True, False])
def test_a_daemon_that_lives_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_named: bool
) -> None:
    here = host(tmp_path, monkeypatch)
    held = file_lock.take(str(here.lock))
    if is_named:
        file_lock.name_holder(held, os.getpid())
    monkeypatch.setattr(time, "sleep", None)
    with pytest.raises(startup.AlreadyRunning):
        startup.take_lock(here)
    os.close(held)
