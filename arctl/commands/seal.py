"""`arctl seal` and `arctl clean`: two decisions of a person."""

import os

import click

from arctl.base import Here, common, say_answer
from arctl.options import path_type
from arctl.seal_check import faults
from ardaemon.core.errors import SealBroken


@click.command()
@click.option("--accept", "--yes", "accept", is_flag=True, help="Seal the files as they are now.")
@click.option(
    "--add", type=path_type, multiple=True, metavar="PATH", help="Seal this path as well; repeatable."
)
@common
def seal(expr: str | None, as_json: bool, accept: bool, add: tuple[str, ...]) -> int:
    """Report which sealed files have changed; --accept seals them as they are now.

    The exit code is 65 where the seal is broken.
    """
    answer = Here(expr).ask("experiment.seal", accept=accept, add=[os.path.abspath(path) for path in add])
    say_answer(answer, as_json)
    is_made = accept or add
    return SealBroken.exit_code if faults(answer) and not is_made else 0


@click.command()
@common
def clean(expr: str | None, as_json: bool) -> None:
    """Verify that no process of an unclean run is left, and accept runs again."""
    say_answer(Here(expr).ask("experiment.clean"), as_json)
