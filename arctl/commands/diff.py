"""`arctl diff`: show what a run changed in train.py."""

from difflib import unified_diff
from pathlib import Path

import click

from arctl.base import Here, at_terminal, common, say, say_json
from arctl.dial import Answer
from arctl.options import which_run
from ardaemon.core import file_kinds, files
from ardaemon.core.errors import StorageError, UnknownRun, UsageError
from ardaemon.core.layout import ORIGINAL, Run, run_number

LINES_MAX = 200  # an agent's context has room for these; a longer diff is rarely one idea
COLOURS = {"+": "green", "-": "red", "@": "cyan"}


@click.command()
@which_run
@click.option(
    "--against",
    default="base",
    show_default=True,
    metavar="base|best|RUN",
    help="The version to compare with.",
)
@common
def diff(expr: str | None, as_json: bool, run_id: str | None, against: str) -> None:
    """Show what a run changed in train.py. Without RUN: the latest."""
    here = Here(expr)
    view = here.ask("run.get", run_id=run_id)
    after = Run(Path(view["folder"]))
    before = Run(after.folder.parent / _other(here, view, against))
    lines = list(
        unified_diff(
            _lines(before),
            _lines(after),
            f"{before.run_id}/train.py",
            f"{after.run_id}/train.py",
            lineterm="",
        )
    )
    if as_json:
        shown = {"lines": lines[:LINES_MAX], "left_out": max(0, len(lines) - LINES_MAX)}
        say_json({"run_id": after.run_id, "against": before.run_id, **shown})
    elif not lines:
        say(f"{after.run_id} is the same as {before.run_id}")
    else:
        _say(lines)


def _other(here: Here, view: Answer, against: str) -> str:
    if against == "base":
        return str(view.get("base") or ORIGINAL)
    if against == "best":
        best = here.ask("status.get")["best"]
        if best is None:
            raise UsageError("there is no best yet", "arctl diff --against base, or a run's id")
        return str(best["run_id"])
    run_number(against)
    return against


def _lines(run: Run) -> list[str]:
    try:
        return files.text(run.train, file_kinds.TRAIN, "replace").splitlines()
    except FileNotFoundError:
        raise UnknownRun(f"there is no run {run.run_id}", "arctl status --last 10 lists the latest") from None
    except OSError as error:
        raise StorageError(f"cannot read {run.train}: {error.strerror}", "check its rights") from None


def _say(lines: list[str]) -> None:
    for line in lines[:LINES_MAX]:
        say(line, fg=COLOURS.get(line[0]) if line and at_terminal() else None)
    if len(lines) > LINES_MAX:
        say(f"… {len(lines) - LINES_MAX} more lines")
