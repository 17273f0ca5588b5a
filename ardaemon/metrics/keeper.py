"""The process between the daemon and one command, all of which it ends when the daemon wants it or dies.

`keeper FD PROGRAM ARGUMENT…`: FD is a socket whose other end the daemon alone holds. When the program has
ended, or when that other end is closed, the keeper kills every process that the program left, and sends a
JSON text that says how it ended. The keeper is a child subreaper (prctl(2)), so it has no child left exactly
when no descendant is left. It imports little of the standard library, and nothing else.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
VERIFY_S = 5.0  # for killed processes to be gone; one in uninterruptible sleep may take longer
KILL_POLL_S = 0.01  # no signal tells that a grandchild became a child because its parent is gone


def main() -> None:
    """Start the program, wait for its end or the daemon's word, end what is left, and report how it ended."""
    channel, argv = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(channel, False)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        pid = _start(argv)
    except OSError as error:
        report: dict[str, object] = {"errno": error.errno, "error": error.strerror, "file": argv[0]}
    else:
        _wait(pid, channel, wake)
        code, clear = _end(pid)
        report = {"code": code, "clear": clear}
    try:
        os.write(channel, json.dumps(report).encode())
    except OSError:
        pass  # the daemon is gone
    os._exit(0)


def _start(argv: list[str]) -> int:
    # The environment as it was given: os.environ of an interpreter in the C locale has more in it (PEP 538).
    with open("/proc/self/environ", "rb") as file:
        pairs = [item.partition(b"=") for item in file.read().split(b"\0") if item]
    environment = {name: value for name, _, value in pairs}
    ignored = (signal.SIGPIPE,)  # Python ignores it, and a child would too
    return os.posix_spawnp(argv[0], argv, environment, setpgroup=0, setsigdef=ignored)


def _wait(pid: int, channel: int, wake: int) -> None:
    """Wait until the program has ended, or the daemon wants its end.

    The program is not reaped here, so that its pid stays its own until all of it is killed.
    """
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    poll.register(wake, select.POLLIN)
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        if channel in dict(poll.poll()):
            return
        try:
            os.read(wake, 4096)
        except BlockingIOError:
            pass


def _end(pid: int) -> tuple[int | None, bool]:
    """Kill all that is left. Return the program's exit code, and whether nothing is left.

    The code is negative for a signal, None if the program lives.
    """
    os.killpg(pid, signal.SIGKILL)
    code, deadline = None, time.monotonic() + VERIFY_S
    while time.monotonic() < deadline:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code, True
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
        elif ended == 0:
            for child in _children():  # only this process can reap them: each pid is still the child's own
                os.kill(child, signal.SIGKILL)
            time.sleep(KILL_POLL_S)
    return code, False


def _children() -> list[int]:
    children = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except OSError:
            continue
        if parent == os.getpid():
            children.append(int(pid))
    return children
