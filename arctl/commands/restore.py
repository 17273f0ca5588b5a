"""`arctl restore`: put a run's edit into train.py again."""

import click

from arctl.base import Here, common, say_answer
from arctl.options import which_run


@click.command()
@which_run
@common
def restore(expr: str | None, as_json: bool, run_id: str | None) -> None:
    """Make train.py the version of a run. Without RUN: the latest. An edit that stands there is archived."""
    say_answer(Here(expr).ask("experiment.restore", run_id=run_id), as_json)
