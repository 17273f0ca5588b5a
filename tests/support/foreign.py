"""A process that is nobody's business: it records every signal that reaches it."""

import ctypes
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

from tests.support.jobs import alive
from tests.support.lab import DEADLINE_S, wait_until

# Every signal that a process can catch is written down; it lives until its standard input closes.
SCRIPT = """import os, signal, sys
record = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, lambda number, _: os.write(record, b"%d " % number))
os.write(record, b"ready ")
while os.read(0, 1):
    pass
"""
CLONE3 = 435  # its number on every architecture (clone(2))
CLONE_ARGS = struct.Struct("11Q")  # struct clone_args of linux/sched.h, up to its cgroup


class Foreign:
    """One such process, with a pid of its own choice where that is wanted (root alone may choose)."""

    def __init__(self, folder: Path, name: str, pid: int | None = None) -> None:
        self.record = folder / name
        self.input, theirs = os.pipe()[::-1]
        argv = [sys.executable, "-c", SCRIPT, str(self.record)]
        if pid is None:
            self.process = subprocess.Popen(argv, stdin=theirs, env={}, start_new_session=True)
            self.pid = self.process.pid
        else:
            command = [sys.executable, "-m", "tests.support.foreign", str(pid), *argv]
            root = str(Path(__file__).parents[2])
            self.process = subprocess.Popen(command, stdin=theirs, env={"PYTHONPATH": root})
            self.pid = pid
        os.close(theirs)
        wait_until(lambda: self.record.exists() and self.record.read_bytes(), f"{name} to be ready")

    @property
    def start(self) -> int:
        """Its start time, as the kernel has it."""
        return int(Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[19])

    def untouched(self) -> bool:
        """It lives, and no signal ever came."""
        return alive(self.pid) and self.record.read_bytes() == b"ready "

    def end(self) -> None:
        """Let it go."""
        os.close(self.input)
        self.process.wait(DEADLINE_S)


def may_choose_pids() -> bool:
    """Only root of the pid's namespace can: CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE."""
    return os.geteuid() == 0


def main() -> None:
    """PID PROGRAM ARGUMENT…: run it as a child with that very pid (clone3(2), set_tid), and wait for it."""
    wanted, argv = int(sys.argv[1]), sys.argv[2:]
    number = ctypes.c_int(wanted)
    given = CLONE_ARGS.pack(0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(number), 1, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    made = libc.syscall(CLONE3, ctypes.create_string_buffer(given, len(given)), ctypes.c_size_t(len(given)))
    if made == 0:
        os.setsid()
        os.execve(argv[0], argv, {})
    if made < 0:
        raise OSError(ctypes.get_errno(), f"clone3 with pid {wanted}")
    os.waitpid(made, 0)


if __name__ == "__main__":
    main()
