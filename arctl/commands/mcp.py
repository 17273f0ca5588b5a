"""`arctl mcp`: serve agents that speak MCP, on standard input and output."""

import sys

import click

from arctl.base import complain
from arctl.dial import require_way
from arctl.mcp.extra import require_sdk
from arctl.options import DURATION_OR_0
from ardaemon.core.errors import DaemonUnavailable, UsageError

WAIT_MAX_S = 50.0  # no client gives a call up sooner by default
WAIT_MOST_S = 86_400.0


@click.command()
@click.option(
    "--wait-max",
    type=DURATION_OR_0,
    default=WAIT_MAX_S,
    show_default=True,
    metavar="TIME",
    help="The longest that a call may wait for a run, as 50 or 10m; raise it with the client's own limit.",
)
def mcp(wait_max: float) -> None:
    """Serve an agent that speaks MCP: status, run, wait, result, tail, history, report, chain_init, cancel.

    The agent starts this command itself. Needs the extra ardaemon[mcp].
    """
    if wait_max > WAIT_MOST_S:
        raise UsageError(f"--wait-max {wait_max:g}: it is longer than a day", "give at most 24h")
    require_sdk()
    _require_loop()
    if sys.stdin is not None and sys.stdin.isatty():
        complain("arctl mcp speaks MCP on its standard input: an agent starts it. Ctrl+C ends it.")
    from arctl.mcp.server import serve  # a second and 64 MB: for this command alone

    serve(wait_max)


def _require_loop() -> None:
    """Raise Sandboxed where no event loop can work: a filter that refuses connect() refuses sendto() as well.

    With that a loop is woken by its threads; without it every call would hang. Where socket() alone is
    refused, the server answers, and each call tells the agent what is the matter.
    """
    try:
        require_way()
    except DaemonUnavailable as error:
        if error.data.get("call") == "connect":
            raise
