"""`arctl gpus`: show each GPU's state, who uses it, and whether it takes runs."""

import click

from arctl.base import at_terminal, json_option, say, say_json, warn
from arctl.client import Client
from arctl.render import queue as queue_lines


@click.command()
@click.option("--release", is_flag=True, help="Let go of the driver for a minute, to reset a GPU.")
@click.option("--clear", multiple=True, metavar="GPU", help="Lift a sick GPU's quarantine (index or UUID).")
@json_option
def gpus(as_json: bool, release: bool, clear: tuple[str, ...]) -> None:
    """Show the GPUs and who uses them."""
    view = Client().call("gpu.list", release=release, clear=list(clear))
    warn(view)
    if as_json:
        say_json(view)
        return
    if view["state"] != "ok":
        say(
            f"no GPU: {view['why']}"
            if view["state"] == "none"
            else f"the driver gives no answer: {view['why']}"
        )
    if not view["gpus"]:
        return
    if at_terminal():
        from arctl.render import tables  # rich, for people only

        tables.gpus(view)
    else:
        for line in queue_lines.gpus(view["gpus"]):
            say(line)
