"""`arctl tail`: the end of a run's log."""

import click

from arctl.base import Here, common, say, say_json
from arctl.client import Answer
from ardaemon.core.text import clean

LINES = 40
LINES_MAX = 80  # DESIGN §9


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(1, LINES_MAX),
    default=LINES,
    show_default=True,
    help="How many lines.",
)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run is committed; Ctrl+C leaves.")
@common
def tail(expr: str | None, as_json: bool, run_id: str | None, lines: int, follow: bool) -> None:
    """Show the end of a run's log, the traceback first; without RUN of the latest."""
    if follow and as_json:
        raise click.UsageError("--follow prints text: leave out --json")
    here = Here(expr)
    if follow:
        _follow(here, run_id, lines)
        return
    answer = here.ask("run.tail", run_id=run_id, lines=lines)
    if as_json:
        say_json(answer)
    elif answer["text"]:
        say(answer["text"].rstrip("\n"))


def _follow(here: Here, run_id: str | None, lines: int) -> None:
    """Print what is there, then what is added, as it comes."""
    view = here.ask("run.get", run_id=run_id)  # asks which experiment, and says which run is the latest
    last = ""

    def show(answer: Answer) -> None:
        nonlocal last
        text = clean(str(answer.get("text") or ""))
        if text and not last and not text.endswith("\n"):
            text += "\n"  # the end of the log, as `arctl tail` shows it; what is added follows as it comes
        click.echo(text, nl=False)
        last = text or last

    try:
        show(here.follow("run.tail", show, run_id=view["run_id"], lines=lines, follow=True))
    except KeyboardInterrupt:
        pass  # that is how one leaves
    if last and not last.endswith("\n"):
        click.echo()
