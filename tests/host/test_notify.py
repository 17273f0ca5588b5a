"""What systemd is told: datagrams, as sd_notify(3) has them."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardaemon.host.notify import STATUS_MAX, Manager

Heard = list[str]


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A socket on which to listen, and its name as NOTIFY_SOCKET has it."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@test-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address.replace("@", "\0", 1))
        sock.settimeout(10)
        yield address, sock


def test_each_word_is_one_datagram(systemd: tuple[str, socket.socket]) -> None:
    address, sock = systemd
    manager = Manager(address, watchdog_s=1.0)
    manager.ready()
    manager.alive()
    manager.status("runs: 1 at work, 0 waiting")
    manager.status("runs: 1 at work, 0 waiting")  # as before: not told again
    manager.stopping()
    words = [sock.recv(1000).decode() for _ in range(4)]
    assert words == ["READY=1", "WATCHDOG=1", "STATUS=runs: 1 at work, 0 waiting", "STOPPING=1"]


def test_a_status_is_one_line_of_a_bounded_length(systemd: tuple[str, socket.socket]) -> None:
    """A line end in it would begin another assignment."""
    address, sock = systemd
    Manager(address).status("error: x\nMAINPID=1\n" + "y" * 1000)
    text = sock.recv(10_000).decode()
    assert "\n" not in text
    assert len(text) <= len("STATUS=") + STATUS_MAX


def test_the_variables_are_taken_out_of_the_environment() -> None:
    environment = {
        "NOTIFY_SOCKET": "/x",
        "WATCHDOG_USEC": "60000000",
        "WATCHDOG_PID": str(os.getpid()),
        "A": "b",
    }
    manager = Manager.of_environment(environment)
    assert (manager.address, manager.watchdog_s) == ("/x", 60.0)
    assert environment == {"A": "b"}


@pytest.mark.parametrize("given", [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}])
def test_a_watchdog_of_another_process_gets_no_sign_of_life(
    systemd: tuple[str, socket.socket], given: dict[str, str]
) -> None:
    address, sock = systemd
    manager = Manager.of_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000", **given})
    assert manager.watchdog_s is None
    manager.alive()
    manager.ready()
    assert sock.recv(1000) == b"READY=1"


def test_where_nobody_listens_nothing_is_told_and_nothing_fails(tmp_path: Path) -> None:
    for address in ("", str(tmp_path / "gone")):
        manager = Manager(address, watchdog_s=1.0)
        manager.ready()
        manager.alive()
        manager.status("a")


def test_a_manager_that_is_behind_holds_nobody_up(systemd: tuple[str, socket.socket]) -> None:
    """Its queue is full: the next sign of life reaches it."""
    address, sock = systemd
    manager = Manager(address, watchdog_s=1.0)
    for _ in range(2000):  # more than net.unix.max_dgram_qlen
        manager.alive()
    assert sock.recv(1000) == b"WATCHDOG=1"
