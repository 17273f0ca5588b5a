"""`arctl watch`: what happens, as it happens."""

import click

from arctl.base import Here, common, project


@click.command()
@click.option("--plain", is_flag=True, help="A line for each event, as in a pipe.")
@common
def watch(expr: str | None, as_json: bool, plain: bool) -> None:
    """Watch the runs: a line for each event, until Ctrl+C.

    Without --expr: of all experiments.
    """
    from arctl.watch.plain import Lines

    if expr is not None:
        here = Here(expr)
        expr = str(here.ask("session.get")["expr"])  # a misspelt one is an error, not a silence
    Lines(project() if expr is not None else None, expr, as_json).run()
