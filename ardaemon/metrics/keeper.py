"""Stands between the daemon and one command: when the daemon wants it, or is dead, all of the command ends.

`keeper FD PROGRAM ARGUMENT…`: FD is a socket whose other end the daemon alone holds. When the program
has ended, or the socket has, whatever it left is killed (as a child subreaper this process has no child
left exactly when no descendant is left, prctl(2)); then a text of JSON says how it ended. Standard library
alone, and little of it.
"""

import ctypes
import json
import os
import select
import signal
import sys
import time

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
VERIFY_S = 5.0  # for what was killed to be gone; a process in uninterruptible sleep may take longer
KILL_POLL_S = 0.01  # a grandchild becomes ours when its parent is gone, and nothing tells


def main() -> None:
    """Start the program, keep it, say how it ended."""
    channel, argv = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(channel, False)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        pid = _start(argv)
    except OSError as error:
        word: dict[str, object] = {"errno": error.errno, "error": error.strerror, "file": argv[0]}
    else:
        _wait(pid, channel, wake)
        word = {"code": _end(pid)}
    try:
        os.write(channel, json.dumps(word).encode())
    except OSError:
        pass  # nobody is left to be told
    os._exit(0)


def _start(argv: list[str]) -> int:
    # As it was given: an interpreter in the C locale adds to its own (PEP 538).
    with open("/proc/self/environ", "rb") as file:
        pairs = [item.partition(b"=") for item in file.read().split(b"\0") if item]
    environment = {name: value for name, _, value in pairs}
    ignored = (signal.SIGPIPE,)  # Python ignores it, and a child would too
    return os.posix_spawnp(argv[0], argv, environment, setpgroup=0, setsigdef=ignored)


def _wait(pid: int, channel: int, wake: int) -> None:
    """Until the program has ended (not reaped: its number stays its own), or the daemon wants its end."""
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


def _end(pid: int) -> int | None:
    """Kill all that is left; the program's exit code, negative for a signal, None if it cannot be ended."""
    os.killpg(pid, signal.SIGKILL)
    code, deadline = None, time.monotonic() + VERIFY_S
    while time.monotonic() < deadline:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
        elif ended == 0:
            for child in _children():  # not reaped by anyone but us: each number is still its own
                os.kill(child, signal.SIGKILL)
            time.sleep(KILL_POLL_S)
    return code


def _children() -> list[int]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except OSError:
            continue
        if parent == os.getpid():
            found.append(int(pid))
    return found
