"""`arctl audit`: what the hidden audit has shown, for a person alone."""

import sys

import click

from arctl.base import Here, common, complain, say, say_json
from arctl.person import require_person
from arctl.render.audit import lines, warned
from ardaemon.core import places

EXIT_NOT_CONFIRMED = 20  # so that a script can tell a person


@click.command()
@common
def audit(expr: str | None, as_json: bool) -> None:
    """Show what the session's hidden audit has measured of each advance.

    For a person: the command is refused where an agent calls. Exit code 20: the primary metric improves and
    the audit does not.
    """
    require_person("arctl audit")
    view = Here(expr).ask("audit.get")
    if as_json:
        say_json(view)
    else:
        for line in lines(view, places.machine_id()):
            say(line)
    if warning := warned(view):
        complain(f"warning: {warning}")
        sys.exit(EXIT_NOT_CONFIRMED)
