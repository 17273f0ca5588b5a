"""Another version of the product: a copy of the package that calls itself so."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.lab import Lab, wait_until
from tests.support.shell import Shell

HERE = Path(__file__).parents[2]


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1, f"{path} has no one line {old!r}"
    path.write_text(text.replace(old, new))


class Version(Shell):
    """`arctl` of a copy with this version and protocol; the daemon that it starts is the copy's too."""

    def __init__(self, lab: Lab, version: str, protocol: int) -> None:
        super().__init__(lab)
        self.version, self.root = version, lab.root / f"version-{version}"
        for name in ("ardaemon", "arctl"):
            shutil.copytree(HERE / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        from ardaemon.core.protocol import PROTOCOL
        from ardaemon.core.version import VERSION

        replaced(self.root / "ardaemon/core/version.py", f'"{VERSION}"', f'"{version}"')
        for name in ("ardaemon/core/protocol.py", "arctl/dial.py"):
            replaced(self.root / name, f"\nPROTOCOL = {PROTOCOL}", f"\nPROTOCOL = {protocol}")

    def start(self, *arguments: str, **options: object) -> subprocess.Popen[str]:
        """A command of that version, in the project."""
        environment = {**self.lab.environment, "PYTHONPATH": str(self.root)}
        given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment, **options}
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]  # options are Popen's own
            [sys.executable, "-m", "arctl", *arguments],
            cwd=self.lab.project,
            stdin=subprocess.DEVNULL,
            text=True,
            **given,
        )

    def boot(self) -> int:
        """Its daemon, started; the pid."""
        info = self.json("daemon", "start")
        assert info["version"] == self.version
        pid: int = info["pid"]
        assert str(self.root).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()  # where its code is
        return pid


def gone(pid: int) -> None:
    """Wait until a daemon that nobody here is the parent of has ended."""
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), f"the end of {pid}")


def as_before(handle: dict[str, Any]) -> dict[str, Any]:
    """A handle as run.json had it before handles had a place: its locks and boot id beside the rest."""
    return {**{name: value for name, value in handle.items() if name != "place"}, **handle["place"]}
