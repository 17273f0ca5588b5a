"""A person's HOME with what agents keep there, and `arctl skill` called as that person does."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support import client, terminal
from tests.support.lab import Lab

DEADLINE_S = 60
RESET = "\x1b[0m"  # ends each line at a terminal


class Home:
    """The HOME of a lab, and what `arctl skill` does in it."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.path = lab, lab.root / "h"
        marks = ("CLAUDE", "CODEX", "CURSOR")  # the tests may be run by an agent themselves
        kept = {name: value for name, value in lab.environment.items() if not name.startswith(marks)}
        self.environment = {**kept, "TERM": "dumb"}
        (lab.project / ".git").mkdir()

    @property
    def plugin(self) -> Path:
        """Where Claude Code looks for it."""
        return self.path / ".claude/skills/autoresearch"

    @property
    def portable(self) -> Path:
        """Where Codex and others look for the skill *run*."""
        return self.path / ".agents/skills/autoresearch-run"

    def write(self, name: str, text: str) -> Path:
        """Write a file of the person's."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return path

    def files(self) -> dict[str, bytes]:
        """All that lies there, but for what Python caches; a folder ends in a slash and is empty."""
        found = {}
        for path in sorted(self.path.rglob("*")):
            if "__pycache__" not in path.parts:
                name = str(path.relative_to(self.path))
                found[name + "/" * path.is_dir()] = b"" if path.is_dir() else path.read_bytes()
        return found

    def json(self, name: str) -> Any:
        """A file without comments."""
        return json.loads((self.path / name).read_bytes())

    def call(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """`arctl skill …` without a terminal."""
        variables = {**self.environment, **environment}
        given = {"env": variables, "cwd": self.lab.project, "text": True}
        done: subprocess.CompletedProcess[str] = client.run("skill", *words, timeout=DEADLINE_S, **given)
        return done

    def run(self, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        """A command in the project, without a terminal."""
        return subprocess.run(
            command,
            env={**self.environment, **environment},
            cwd=self.lab.project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )

    def done(self, *words: str, **environment: str) -> str:
        """The same, which must go well; its output."""
        done = self.call(*words, **environment)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def refused(self, *words: str, code: int = 65, **environment: str) -> str:
        """The same, which must be refused, with a mend, and leave everything as it was; its words."""
        before = self.files()
        done = self.call(*words, **environment)
        assert (done.returncode, done.stdout) == (code, ""), done.stdout + done.stderr
        assert self.files() == before
        assert "\n→ " in done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    def typed(self, answers: str, *words: str, **environment: str) -> str:
        """The same at a terminal, where a person types; what the terminal shows. It must go well."""
        arguments, given = ["skill", *words], {**self.environment, **environment}
        code, shown = terminal.typed(arguments, answers, given, self.lab.project)
        assert code == 0, shown
        return shown.replace("\r\n", "\n").replace(RESET, "")
