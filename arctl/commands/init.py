"""`arctl init`: create an experiment."""

import os
import re
import time
import unicodedata
from collections.abc import Callable
from typing import Any

import click

from arctl import init_sources as sources
from arctl.base import Here, ask_missing, json_option, project, project_option, say, say_json, warn
from arctl.client import Client
from arctl.dial import Answer
from arctl.options import NO_FILE, SCOPE, file_or_none, file_type, folder_type, path_type
from ardaemon.core.errors import ArdaemonError, UsageError
from ardaemon.core.layout import SLUG, SLUG_MAX, check_slug

TOPIC_MAX = SLUG_MAX - len("yymmdd-")
TOPIC = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@click.command()
@click.argument("slug")
@click.option("--train", type=file_type, help="The training script; it is copied. Default: train.py.")
@click.option(
    "--prepare",
    type=file_or_none,
    metavar="FILE|none",
    help="prepare.py, the data and the metric; copied and sealed. Default: the one beside the script.",
)
@click.option("--program", type=file_type, help="program.md, the agent's instructions; copied.")
@click.option("--from", "source", type=folder_type, help="A folder that has these three.")
@click.option("--primary-metric", metavar="NAME", help="The metric that is compared, as val/loss.")
@click.option("--primary-direction", type=click.Choice(["min", "max"]), help="Which way is better.")
@click.option("--goal", metavar="TEXT", help="What the experiment is for.")
@click.option(
    "--constraint", "constraints", multiple=True, metavar="EXPR", help="As 'peak_vram_mb<=70000'; repeatable."
)
@click.option("--mutation-scope", type=SCOPE, metavar="A,B", help="What may be changed; default: train.py.")
@click.option(
    "--seal",
    type=path_type,
    multiple=True,
    metavar="PATH",
    help="Data or code that must not change; repeatable.",
)
@project_option
@json_option
def init(
    slug: str,
    as_json: bool,
    constraints: tuple[str, ...],
    seal: tuple[str, ...],
    mutation_scope: list[str] | None,
    **given: str | None,
) -> None:
    """Create the experiment SLUG and seal its inputs.

    SLUG is yymmdd-topic; a topic alone gets today's date. The script is train.py of this folder, if none is
    named. A prepare.py beside the script is copied and sealed as well; at a terminal you are asked. In a
    repository with train.py, prepare.py and program.md:
    arctl init SLUG --from .
    """
    name = dated(slug)
    if given["source"] is None:
        given = sources.with_prepare(_complete(sources.with_train(given)))
    elif given["prepare"] == NO_FILE:
        raise UsageError(
            "--from takes the folder's prepare.py over", "name the files instead: --train FILE --program FILE"
        )
    if given["prepare"] == NO_FILE:
        given["prepare"] = None
    params: dict[str, Any] = {**given, "constraints": constraints, "mutation_scope": mutation_scope}
    for option in ("train", "prepare", "program", "source"):
        params[option] = None if given[option] is None else os.path.abspath(str(given[option]))
    params["seal"] = [os.path.abspath(path) for path in seal]
    answer = Client().call("experiment.init", project=project(), slug=name, **params)
    warn(answer)
    if as_json:
        say_json(answer)
    else:
        _report(answer)


def dated(slug: str) -> str:
    """Return the slug, with today's date if it has none. Raises UsageError if it cannot be a slug."""
    is_topic = TOPIC.fullmatch(slug) and not SLUG.fullmatch(slug)
    try:
        return check_slug(f"{time.strftime('%y%m%d')}-{slug}" if is_topic else slug)
    except UsageError as error:
        raise UsageError(error.message, f"arctl init {corrected(slug)}, with the other options") from error


def corrected(slug: str) -> str:
    """Return a name that is taken, as much like this one as can be; the date may be missing in it."""
    letters = unicodedata.normalize("NFKD", slug).encode("ascii", "ignore").decode().lower()
    topic = "-".join(re.findall(r"[a-z0-9]+", letters))
    return topic[:TOPIC_MAX].strip("-") or "lr-warmup"


def _complete(given: dict[str, str | None]) -> dict[str, str | None]:
    """Ask a person for the missing options.

    Raises UsageError, which names them, if there is nobody to ask.
    """
    ask: dict[str, Callable[[], object]] = {
        "train": lambda: click.prompt("Training script (--train)", type=file_type, err=True),
        "primary_metric": lambda: click.prompt("Primary metric (--primary-metric)", err=True),
        "primary_direction": lambda: click.prompt(
            "Better is (--primary-direction)", type=click.Choice(["min", "max"]), err=True
        ),
        "goal": lambda: click.prompt("Goal (--goal)", err=True),
    }
    # A program.md may hold metric, direction and goal already.
    needed = {"train": ask["train"]} if given["program"] else ask
    return ask_missing(given, needed, "give them, or take over a folder with --from DIR")


def _report(answer: Answer) -> None:
    say(f"experiment: {answer['expr']}")
    root, here = project(), os.getcwd()
    if here.startswith(os.path.join(root, "")):
        say(f"  its runs start in {root}, the project's root, and not in this folder;")
        say("  for an experiment whose runs start here: mkdir .autoresearch, and call arctl init once more")
    for line in answer.get("said") or ():
        say(f"  {line}")
    say(f"edit: {os.path.join(answer['folder'], 'train.py')}")
    say(f"next: arctl session start --seconds 600{_named(answer['expr'])}")


def _named(slug: str) -> str:
    """Return the option that names the new experiment, if without it another one would or could be meant."""
    try:
        meant = Here(None).ask_once("session.get")["expr"]
    except ArdaemonError:
        meant = None  # several could be
    return "" if meant == slug else f" --expr {slug}"
