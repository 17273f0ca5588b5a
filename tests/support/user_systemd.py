"""A real `systemd --user` of a test's own, in a mount namespace, with a cgroup of its own and no D-Bus.

It needs root, and systemd installed; it need not be the machine's init. Its XDG_RUNTIME_DIR and HOME are
those of a Lab, so whatever it starts belongs to that Lab's world.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ardaemon.host import cgroup
from tests.support.cgroups import own_cgroup
from tests.support.lab import DEADLINE_S, Lab, wait_until

PROGRAM = "/lib/systemd/systemd"
# systemd starts as a user's only where /run/systemd/system says that the system runs systemd. It gets the
# unified hierarchy alone, as systems have it today, and an empty folder of people who linger.
GIVEN = ("PATH", "HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "PYTHONPATH")
SETUP = """set -eu
mount --make-rprivate /
echo $$ > "$1/cgroup.procs"
umount --recursive /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd/system
mkdir -p /var/lib/systemd
mount -t tmpfs -o mode=755 tmpfs /var/lib/systemd
exec "$2" --user --log-target=null
"""


class UserSystemd:
    """The instance: what a person does with systemctl, in its namespace."""

    def __init__(self, lab: Lab, process: subprocess.Popen[bytes], group: Path) -> None:
        self.lab, self.process, self.group = lab, process, group
        self.units = Path(lab.environment["HOME"], ".config/systemd/user")

    def command(self, *words: str) -> list[str]:
        """That command, as run inside."""
        return ["nsenter", f"--target={self.process.pid}", "--mount", f"--wd={self.lab.project}", *words]

    def run(self, *words: str, code: int | None = 0, **environment: str) -> str:
        """Run a command inside; its stdout, if its exit code is the expected one."""
        done = subprocess.run(
            self.command(*words),
            env={**self.lab.environment, **environment},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S * 2,
            stdin=subprocess.DEVNULL,
        )
        assert code is None or done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout

    def ctl(self, *words: str, code: int | None = 0) -> str:
        """`systemctl --user` with these words."""
        return self.run("systemctl", "--user", *words, code=code)

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.ctl("show", "--value", f"--property={name}", unit).strip()

    def is_active(self, unit: str = "ardaemon.service") -> bool:
        """Does it run?"""
        return self.show(unit, "ActiveState") == "active"

    def main_pid(self, unit: str = "ardaemon.service") -> int:
        """The process that the unit is; 0 if there is none."""
        return int(self.show(unit, "MainPID"))

    def cgroup_of(self, pid: int) -> str:
        """Where a process is, below the instance's own cgroup."""
        path = Path(f"/proc/{pid}/cgroup").read_text().splitlines()[-1].partition("::")[2]
        return path.partition(f"/{self.group.name}")[2]

    def put(self, name: str, text: str) -> None:
        """Write a unit, or a drop-in as `ardaemon.service.d/test.conf`, and have it read."""
        path = self.units / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.ctl("daemon-reload")

    def log_out(self) -> None:
        """The last session of a user who does not linger ends: systemd ends, then all that it has left."""
        self.process.terminate()
        self.process.wait(DEADLINE_S)
        assert cgroup.kill(str(self.group))
        wait_until(lambda: not cgroup.populated(str(self.group)), "everything of the user's has ended")


@contextmanager
def user_systemd(lab: Lab) -> Iterator[UserSystemd]:
    """Boot an instance in the world of a lab; at the end nothing of it runs."""
    if os.geteuid() != 0 or not Path(PROGRAM).exists() or shutil.which("unshare") is None:
        pytest.skip("needs root and systemd")
    with own_cgroup(f"ar-systemd-{os.getpid()}-{os.urandom(4).hex()}") as group:
        instance = _boot(lab, group)
        try:
            wait_until(lambda: (lab.runtime / "systemd/private").exists(), "systemd listens")
            wait_until(lambda: "running" in _state(instance), "systemd is up")
            yield instance
        finally:
            instance.process.kill()
            instance.process.wait(DEADLINE_S)
            cgroup.kill(str(group))
            wait_until(lambda: not cgroup.populated(str(group)), "everything has ended")


def _boot(lab: Lab, group: Path) -> UserSystemd:
    environment = {name: lab.environment[name] for name in GIVEN}
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", SETUP, "sh", str(group), PROGRAM],
        env=environment,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    return UserSystemd(lab, process, group)


def _state(instance: UserSystemd) -> str:
    """How it is once it is up, without asking again and again; empty where nobody answers yet."""
    return instance.ctl("is-system-running", "--wait", code=None)
