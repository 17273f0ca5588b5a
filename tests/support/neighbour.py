"""Another project on the same machine, served by the same daemon."""

import os
from typing import Any

from tests.support import client
from tests.support.lab import DEADLINE_S, LIMIT_S, TRAIN, Lab

OTHER = "261122-other"


class Neighbour:
    """Another project on the same machine, and so on the same slot."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.project = lab, lab.root / "n"
        self.project.mkdir()
        (self.project / "train.py").write_text(TRAIN.format(value=1, note=""))
        self.call(
            "experiment.init",
            slug=OTHER,
            primary_metric="val/loss",
            primary_direction="min",
            train=str(self.project / "train.py"),
        )
        settings = {"seconds": LIMIT_S, "settle": 0}
        self.ask("session.start", settings=settings, environment=lab.environment)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method on this project."""
        answer: dict[str, Any] = self.lab.call(method, project=str(self.project), **params)
        return answer

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method on this experiment."""
        return self.call(method, expr=OTHER, **params)

    def submit(self) -> str:
        """Submit its script."""
        given = {"submit_id": os.urandom(8).hex(), "environment": self.lab.environment, "again": True}
        view = self.ask("run.submit", **given)
        return str(view["run_id"])

    def arctl(self, *arguments: str) -> tuple[int, str]:
        """A command in this project: its exit code, and all that it said."""
        given = {"cwd": self.project, "env": self.lab.environment, "text": True}
        done = client.run(*arguments, timeout=DEADLINE_S, **given)
        return done.returncode, done.stdout + done.stderr

    def tried(self) -> str:
        """Submit its script and wait for the verdict."""
        run_id = self.submit()
        return str(self.ask("run.wait", run_id=run_id)["result"]["verdict"])
