"""The daemon as a service of a real `systemd --user`, as `arctl daemon install` makes it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.lab import Lab, wait_until
from tests.support.shell import Shell
from tests.support.user_systemd import UserSystemd, user_systemd

UNIT, SOCKET = "ardaemon.service", "ardaemon.socket"


class Service(Shell):
    """`arctl` as a person who has a systemd runs it."""

    def __init__(self, lab: Lab, systemd: UserSystemd) -> None:
        super().__init__(lab)
        self.systemd = systemd

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """A command in the background, inside."""
        inside = self.systemd.process.pid
        return super().start(*arguments, inside=inside, **options)

    def arctl(self, *arguments: str) -> list[str]:
        """The words of that command."""
        return [sys.executable, "-m", "arctl", *arguments]

    def by(self, way: str) -> None:
        """A person's command, of arctl or of systemctl."""
        program, *words = way.split()
        self.systemd.run(*(self.arctl(*words) if program == "arctl" else [program, *words]))

    def info(self) -> dict[str, Any]:
        """`arctl daemon status --json`."""
        answer: dict[str, Any] = self.json("daemon", "status")
        return answer

    def ready(self) -> None:
        """An experiment with a session, in the daemon that runs."""
        self.lab.init()
        self.lab.session()

    def new_pid(self, old: int) -> int:
        """Wait until another daemon serves; its pid."""
        # A file costs less to look at, again and again, than a systemctl.
        wait_until(lambda: _serving(self.lab) not in (0, old), "another daemon has come up")

        def other() -> int:
            pid = self.systemd.main_pid()
            return pid if pid not in (0, old) and self.systemd.is_active() else 0

        return int(wait_until(other, "systemd has started another daemon"))

    def result(self, run_id: str = "r0001") -> dict[str, Any]:
        """What stands in result.json."""
        read: dict[str, Any] = json.loads((self.lab.folder / f"runs/{run_id}/result.json").read_bytes())
        return read


def _serving(lab: Lab) -> int:
    """The pid in daemon.json; 0 if there is none."""
    try:
        return int(json.loads((lab.home / "daemon.json").read_bytes())["pid"])
    except FileNotFoundError:
        return 0


@contextmanager
def services(lab: Lab) -> Iterator[Service]:
    """A systemd in the world of a lab, with nothing installed; at the end nothing of it runs."""
    with user_systemd(lab) as systemd:
        yield Service(lab, systemd)
