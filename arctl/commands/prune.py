"""`arctl prune`: make room on the disk."""

import click

from arctl.base import Here, common, say_answer


@click.command()
@click.option(
    "--keep-logs",
    type=click.IntRange(min=0),
    metavar="N",
    required=True,
    help="Keep the logs of the last N runs, and the best's.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@common
def prune(expr: str | None, as_json: bool, keep_logs: int, dry_run: bool) -> None:
    """Remove old logs of an experiment, with a line in the place of each.

    Runs that are under way keep theirs. Snapshots, results, samples and checkpoints are not touched.
    """
    say_answer(Here(expr).ask("log.prune", keep_logs=keep_logs, dry_run=dry_run), as_json)
