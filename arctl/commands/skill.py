"""`arctl skill`: install the skill for an agent, take it away, show what is installed where."""

import click

from arctl.base import json_option, project, say, say_json
from arctl.skill import folder, record
from arctl.skill import show as showing
from ardaemon.core.version import VERSION


@click.group()
def skill() -> None:
    """Show the skill by which an agent runs the loop, and what is installed where."""


@skill.command()
@click.argument("name", type=click.Choice(folder.SKILLS), required=False)
@json_option
def show(name: str | None, as_json: bool) -> None:
    """Show where the skill is installed, and of which version; with NAME its text.

    An agent for which there is no installation can read the text by this command.
    """
    if name is not None:
        text = folder.text(name)
        return say_json({"name": name, "text": text}) if as_json else say(text.rstrip("\n"))
    top = folder.folder()
    source = record.source_hash(folder.contents(top))
    states = showing.states(project())
    if as_json:
        return say_json(
            {"version": VERSION, "folder": top, "copies": [showing.facts(one, source) for one in states]}
        )
    say(f"the skill of ardaemon {VERSION}: {top}")
    for one in states:
        say(showing.line(one, source))
    return None
