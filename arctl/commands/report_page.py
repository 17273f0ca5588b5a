"""`arctl report --html`: writes the page of an experiment, and with --watch again at each commit."""

import contextlib
import os

import click

from arctl import output
from arctl.base import Here, say, say_json
from arctl.dial import Answer
from arctl.person import require_person
from ardaemon.core.errors import UsageError
from ardaemon.core.line import counted

STDOUT = "-"
OUTSIDE = "~/audit.html"  # in what errors advise: a person's page with the audit


class Page:
    """The page of one experiment, and the file that it is written to."""

    def __init__(self, expr: str | None, path: str | None, as_json: bool, audit: bool = False) -> None:
        """Refuse at once what cannot be written; `audit`: with the hidden audit, never into the project."""
        self.here, self.path, self.as_json = Here(expr), path, as_json
        self.wanted = {"audit": True} if audit else {}  # a daemon of before does not know the word
        if audit:
            require_person("arctl report --html --audit", f" -o {OUTSIDE}")
            _require_outside(path, self.here.project)
        if path is not None and path != STDOUT:
            output.require_file(path)

    def write(self) -> None:
        """Ask for the page and write it."""
        answer = self.here.ask("report.page", **self.wanted)
        if self.path == STDOUT:
            click.echo(answer["html"], nl=False)
            return
        path = self.path or f"report-{answer['expr']}.html"
        output.require_file(path)
        page = str(answer["html"]).encode()
        output.write(path, page)
        self._tell(path, len(page), answer)

    def watch(self) -> None:
        """Write the page, and again whenever a run is committed, until Ctrl+C."""
        if self.path == STDOUT:
            raise UsageError("--watch writes a file again and again", "name it with -o FILE, or leave -o out")
        with contextlib.suppress(KeyboardInterrupt):  # the usual way to end it
            self.here.ask("session.get")  # settles which experiment
            events = Here(self.here.expr)
            while True:  # a client that fell too far behind is cut off, and looks again
                events.follow("events.subscribe", self._heed, dict, confirm=True)

    def _heed(self, event: Answer) -> None:
        """Write the page anew after a commit or an audit, and wherever these may have been missed."""
        news = ("subscribed", "committed", *(["audited"] if self.wanted else []))
        if event.get("event") in news:
            self.write()

    def _tell(self, path: str, size: int, answer: Answer) -> None:
        if self.as_json:
            facts = {name: answer[name] for name in ("expr", "runs", "pending")}
            say_json({"file": os.path.abspath(path), "bytes": size, **facts})
        else:
            say(f"{path}: {counted(answer['runs'], 'run')}, {size // 1000} KB")


def _require_outside(path: str | None, project: str) -> None:
    """Raise UsageError if the page would lie in the project, where an agent reads it."""
    if path == STDOUT:
        return
    folder, project = os.path.realpath(os.path.dirname(path or "") or "."), os.path.realpath(project)
    if os.path.commonpath((folder, project)) == project:
        raise UsageError(
            f"the page with the audit would lie in the project {project}, where an agent reads it",
            f"arctl report --html --audit -o {OUTSIDE}",
        )
