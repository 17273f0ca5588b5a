"""`arctl chain-init`: create the experiment that follows the chain's current one."""

import sys
from functools import partial
from typing import Any

import click

from arctl import chain_request
from arctl.base import ask_missing, environment, json_option, project, project_option, say, say_json, warn
from arctl.client import Client
from arctl.dial import Answer
from arctl.options import SCOPE, file_type, path_type
from arctl.session_options import session_options, take_settings
from ardaemon.core.errors import UsageError
from ardaemon.core.layout import check_slug

RATIONALE_MAX = 1 << 20  # bytes that are read of standard input: the daemon takes less, and says so
EXPORT = "export AR_NONINTERACTIVE=1"


@click.command()
@click.option("--new-slug", metavar="SLUG", help="Its name, as 261123-lr-warmup.")
@click.option("--goal", metavar="TEXT", help="What it is for.")
@click.option(
    "--rationale",
    metavar="TEXT|-",
    help="Why it comes next, kept word for word; -: from standard input.",
)
@click.option("--from-expr", metavar="SLUG", help="Its parent. Default: the chain's current experiment.")
@click.option(
    "--mutation-scope", type=SCOPE, metavar="A,B", help="What may be changed. Default: as in the parent."
)
@click.option("--primary-metric", metavar="NAME", help="The metric that is compared. Default: the parent's.")
@click.option("--primary-direction", type=click.Choice(["min", "max"]), help="Which way is better.")
@click.option("--train", type=file_type, help="Its train.py. Default: the parent's best.")
@click.option(
    "--parent-ckpt",
    type=path_type,
    metavar="PATH|none",
    help="The checkpoint that it gets a copy of. Default: the best's.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Also if the parent's session is live: it ends, and what waits is cancelled.",
)
@click.option("--export", is_flag=True, help=f"Print '{EXPORT}' in the place of the name.")
@click.option(
    "--constraints", "listed", metavar="A,B", help="The session's constraints, with commas; inherit or none."
)
@session_options
@project_option
@json_option
def chain_init(as_json: bool, export: bool, listed: str | None, **params: Any) -> None:
    """Create the experiment that follows the chain's current one, with a live session.

    It gets the parent's best train.py, its sealed files and a copy of its checkpoint. A setting that is not
    given is as in the parent's session; `none` clears one. The next command is `arctl run --wait`. The same
    command again gives the same experiment: after a lost answer, call it once more.
    """
    given = take_settings(params)
    if listed is not None:
        given = _with_constraints(given, listed)
    params = _complete(params)
    params["rationale"] = _rationale(params["rationale"])
    request = chain_request.wire(project(), params, given)
    answer = Client().call("chain.init", environment=environment(), **request)
    warn(answer)
    _say(answer, as_json, export)


def _complete(params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with what was missing, and the slug under the daemon's name for it."""
    asked = {
        "new_slug": "Name of the new experiment (--new-slug)",
        "goal": "Goal (--goal)",
        "rationale": "Why it comes next (--rationale)",
    }
    ask = {name: partial(click.prompt, text, err=True) for name, text in asked.items()}
    whole = ask_missing(params, ask, "arctl chain-init --help")
    whole["slug"] = check_slug(whole.pop("new_slug"))
    return whole


def _with_constraints(given: dict[str, Any], listed: str) -> dict[str, Any]:
    if "constraints" in given:
        raise UsageError("--constraint and --constraints are given", "use one of the two")
    if listed == "inherit":
        return given
    return {**given, "constraints": [] if listed == "none" else listed.split(",")}


def _rationale(text: str) -> str:
    """Return the rationale; of standard input where it is `-`."""
    if text != "-":
        return text
    if sys.stdin is None:
        raise UsageError("--rationale -: there is no standard input", "say it: --rationale TEXT")
    try:
        return sys.stdin.buffer.read(RATIONALE_MAX).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"--rationale -: it is not UTF-8 text ({error.reason})", "give it as UTF-8"
        ) from None


def _say(answer: Answer, as_json: bool, export: bool) -> None:
    if as_json:
        say_json(answer)
    else:
        say(EXPORT if export else str(answer["expr"]))
