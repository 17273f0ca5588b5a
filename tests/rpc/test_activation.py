"""Sockets on which systemd listens are taken over where they are the daemon's own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from arctl.connection import Connection
from ardaemon.core.errors import DaemonUnavailable, UsageError
from ardaemon.rpc import activation, listening
from ardaemon.rpc.refusing import refuse
from tests.support.imports import ROOT
from tests.support.lab import DEADLINE_S, Lab

# Is told to be itself by LISTEN_PID, as execve(2) keeps the pid; says what it took, and what its child sees.
TAKES = """
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
from ardaemon.rpc import activation
if sys.argv[2] == "us":
    os.environ["LISTEN_PID"] = str(os.getpid())
taken = activation.take(os.environ)
print([(sock.fileno(), sock.getsockname()) for sock in taken])
print([name for name in os.environ if name.startswith("LISTEN_")])
seen = subprocess.run(["ls", "/proc/self/fd"], close_fds=False, capture_output=True, text=True).stdout.split()
print([sock.fileno() for sock in taken if str(sock.fileno()) in seen and sock.get_inheritable()])
"""


def listener(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    return sock


@pytest.mark.parametrize("whose", ["us", "another"])
def test_what_was_passed_to_this_process_is_taken_and_told_to_no_other(lab: Lab, whose: str) -> None:
    path = lab.root / "a"
    with listener(path) as sock:

        def place() -> None:
            os.dup2(sock.fileno(), activation.FIRST)

        done = subprocess.run(
            [sys.executable, "-c", TAKES, str(ROOT), whose],
            env={"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "ardaemon.socket"},
            preexec_fn=place,
            close_fds=False,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
    taken = f"[({activation.FIRST}, '{path}')]" if whose == "us" else "[]"
    assert done.stdout.splitlines() == [taken, "[]", "[]"], done.stderr


def test_the_socket_at_the_daemons_own_path_is_chosen(lab: Lab) -> None:
    with listener(lab.root / "a") as other, listener(lab.root / "b") as ours:
        assert activation.choose([other, ours], lab.root / "b") is ours
        assert activation.choose([], lab.root / "b") is None


def test_a_socket_elsewhere_is_refused_with_both_paths(lab: Lab) -> None:
    """Clients would not find the daemon there."""
    with listener(lab.root / "a") as other, pytest.raises(UsageError) as refusal:
        activation.choose([other], lab.root / "b")
    assert f"systemd listens at {lab.root / 'a'}, and arctl asks at {lab.root / 'b'}" in refusal.value.message
    assert f"ListenStream={lab.root / 'b'}" in refusal.value.mend


def test_a_socket_whose_file_is_gone_is_replaced_by_one_of_our_own(lab: Lab) -> None:
    path = lab.root / "a"
    with listener(path) as passed:
        path.unlink()
        assert activation.choose([passed], path) is None


def test_after_it_is_taken_over_the_kernel_names_this_process_as_the_listener(lab: Lab) -> None:
    """Then `arctl daemon stop` ends the daemon, and not systemd. The file stays systemd's."""
    path = lab.root / "a"
    with listener(path) as passed:
        ours, theirs = socket.socketpair()
        if os.fork() == 0:  # the daemon; this process is systemd
            listening.listen(path, passed)
            theirs.send(str(os.getpid()).encode())
            theirs.recv(1)
            os._exit(0)
        daemon = int(ours.recv(100))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        ours.send(b".")
        os.waitpid(daemon, 0)
        ours.close()
        theirs.close()
    assert int.from_bytes(credentials[:4], sys.byteorder) == daemon
    assert path.exists()


def test_a_count_that_is_wrong_is_refused_in_words(lab: Lab) -> None:
    """Where the number passed on is not that of the sockets, as behind a wrapper that has closed them."""
    serve = (
        "import os, sys\nos.environ['LISTEN_PID'] = str(os.getpid())\nos.execv(sys.executable, sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", serve, sys.executable, "-m", "ardaemon", "serve"],
        env={**lab.environment, "LISTEN_FDS": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 64, done.stderr
    assert done.stderr.startswith(f"Error: LISTEN_FDS says that descriptor {activation.FIRST} is a socket")
    assert "Traceback" not in done.stderr


def test_who_waits_for_a_daemon_that_cannot_start_is_told_why_and_a_dead_client_harms_nobody(
    lab: Lab,
) -> None:
    """One has asked already, one asks later, one was killed meanwhile; and one socket does not listen."""
    with listener(lab.root / "a") as passed, socket.socket(socket.AF_UNIX) as deaf:
        clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for client in clients:
            client.settimeout(DEADLINE_S)
            client.connect(passed.getsockname())
        asked, killed, late = clients
        asked.sendall(b'{"jsonrpc":"2.0","id":1,"method":"queue.list"}\n')
        killed.close()
        refuse([deaf, passed], DaemonUnavailable("the daemon cannot start: no space", "make space"))
        for client in (asked, late):
            with client, pytest.raises(DaemonUnavailable, match="no space") as told:
                Connection(client).call("queue.list")
            assert told.value.mend == "make space"
