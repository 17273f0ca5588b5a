"""`arctl mcp`: serve agents that speak MCP, on standard input and output."""

import click

from arctl.mcp.extra import require_sdk

WAIT_MAX_S = 50.0  # no client gives a call up sooner by default
WAIT_MOST_S = 86_400.0


@click.command()
@click.option(
    "--wait-max",
    type=click.FloatRange(min=0, max=WAIT_MOST_S),
    default=WAIT_MAX_S,
    show_default=True,
    metavar="S",
    help="The longest that a call may wait for a run; raise it with the client's own limit.",
)
def mcp(wait_max: float) -> None:
    """Serve an agent that speaks MCP: status, run, wait, result, tail, history, report, chain_init, cancel.

    The agent starts this command itself. Needs the extra ardaemon[mcp].
    """
    require_sdk()
    from arctl.mcp.server import serve  # a second and 64 MB: for this command alone

    serve(wait_max)
