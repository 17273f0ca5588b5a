"""`arctl tail`: show the end of a run's log."""

import click

from arctl.base import Here, common, say, say_json
from arctl.dial import Answer
from arctl.options import which_run
from arctl.reader import leave_with_reader
from ardaemon.core.text import clean

LINES = 40
LINES_MAX = 80  # DESIGN §9


@click.command()
@which_run
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(1, LINES_MAX),
    default=LINES,
    show_default=True,
    help="How many lines.",
)
@click.option(
    "-f", "--follow", is_flag=True, help="Go on until the run is committed; Ctrl+C stops the command."
)
@common
def tail(expr: str | None, as_json: bool, run_id: str | None, lines: int, follow: bool) -> None:
    """Show the end of a run's log, the traceback first. Without RUN: of the latest.

    --follow --json prints one line of JSON for each piece of the log; the last one has the run's state.
    """
    here = Here(expr)
    if follow:
        show = _JsonLines() if as_json else _Text()
        _follow(here, run_id, lines, show)
        return
    answer = here.ask("run.tail", run_id=run_id, lines=lines)
    if as_json:
        say_json(answer)
    elif answer["text"]:
        say(answer["text"].rstrip("\n"))


def _follow(here: Here, run_id: str | None, lines: int, show: "_Text | _JsonLines") -> None:
    """Print the log's end, then each addition as it comes."""
    leave_with_reader()
    view = here.ask("run.get", run_id=run_id)  # settles which experiment, and which run is the latest
    reached: Answer = {}

    def piece(answer: Answer) -> None:
        show.piece(answer)
        reached.update({"offset": answer["offset"]} if "offset" in answer else {})

    def resume() -> Answer | None:
        return reached or None  # an older daemon does not tell the position

    try:
        given = {"run_id": view["run_id"], "lines": lines, "follow": True}
        show.end(here.follow("run.tail", piece, resume, **given))
    except KeyboardInterrupt:
        show.end({})  # the usual way to end it


class _Text:
    """Prints the log as text for a person."""

    def __init__(self) -> None:
        self.last = ""

    def piece(self, answer: Answer) -> None:
        text = clean(str(answer.get("text") or ""))
        if text and not self.last and not text.endswith("\n"):
            text += "\n"  # the first piece is the log's end, as `arctl tail` shows it
        click.echo(text, nl=False)
        self.last = text or self.last

    def end(self, answer: Answer) -> None:
        self.piece(answer)
        if self.last and not self.last.endswith("\n"):
            click.echo()


class _JsonLines:
    """Prints JSON lines for a program, each flushed as it comes."""

    def piece(self, answer: Answer) -> None:
        say_json(answer)

    def end(self, answer: Answer) -> None:
        if answer:
            say_json(answer)
