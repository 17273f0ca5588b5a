"""Commands as an agent's shell runs them: by name, in a lab's project, in an emulated sandbox or in none."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.lab import DEADLINE_S, Lab

ARCTL = '#!/bin/sh\nexec {python} -m arctl "$@"\n'
needs_bwrap = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="bwrap is not installed (Debian: apt-get install bubblewrap)"
)
Done = subprocess.CompletedProcess[str]


class AgentShell:
    """The shell of an agent, in the project of a lab; `arctl` is on its PATH."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        program = lab.root / "bin" / "arctl"
        program.parent.mkdir()
        program.write_text(ARCTL.format(python=sys.executable))
        program.chmod(0o755)
        for moves_its_settings in ("CLAUDE_CONFIG_DIR", "CODEX_HOME"):
            lab.environment.pop(moves_its_settings, None)
        lab.environment["PATH"] = f"{program.parent}:{lab.environment['PATH']}"

    def run(
        self, *command: str, stdin: str = "", variables: Mapping[str, str] | None = None, **options: Any
    ) -> Done:
        """A command to its end, whatever its exit code."""
        return subprocess.run(
            command,
            env={**self.lab.environment, **(variables or {})},
            cwd=self.lab.project,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            input=stdin,
            **options,
        )

    def sandboxed(self, kind: str, *command: str, namespace: bool = False) -> Done:
        """The same in the sandbox of that kind (tests/support/sandbox.py)."""
        options = ["--namespace"] if namespace else []
        return self.run(sys.executable, "-m", "tests.support.sandbox", kind, *options, "--", *command)

    def daemon_was_started(self) -> bool:
        """Has any daemon ever been started in this lab?"""
        return any(self.lab.state_home.rglob("daemon.log"))
