"""`arctl skill`: install the skill for an agent, take it away, show what is installed where."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import click
from msgspec import structs

from arctl.base import complain, json_option, project, say, say_json
from arctl.skill import folder, record
from arctl.skill import show as showing
from arctl.skill.checks import is_person_there
from arctl.skill.install import Installing, Removing, Wish
from arctl.skill.places import CLAUDE, CODEX, OTHER
from arctl.skill.settings import Change
from ardaemon.core.errors import UsageError
from ardaemon.core.version import VERSION


@click.group()
def skill() -> None:
    """Install the skill by which an agent runs the loop, and show where it is installed."""


def which(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say for which agent, and where; the command gets a Wish for each agent."""

    @click.option("--claude", is_flag=True, help="For Claude Code: a plugin with its hooks and MCP server.")
    @click.option("--codex", is_flag=True, help="For Codex and others that read ~/.agents/skills.")
    @click.option(
        "--path",
        type=click.Path(file_okay=False),
        metavar="DIR",
        help="For another agent: its folder of skills.",
    )
    @click.option("--project/--user", "in_project", help="Into this project, or for this user (the default).")
    @click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
    @wraps(command)
    def with_wishes(
        claude: bool, codex: bool, path: str | None, in_project: bool, dry_run: bool, **options: Any
    ) -> Any:
        agents = [name for name, wanted in ((CLAUDE, claude), (CODEX, codex), (OTHER, path)) if wanted]
        if not agents:
            raise UsageError("for which agent?", "name it: --claude, --codex or --path DIR")
        if in_project and path:
            raise UsageError("--path DIR says where, and --project too", "use one of the two")
        where = project() if in_project else None
        wishes = [Wish(agent=agent, project=where, path=path, dry_run=dry_run) for agent in agents]
        return command(wishes=wishes, **options)

    return with_wishes


@skill.command()
@which
@click.option("--force", is_flag=True, help="Also over files that a person changed; the old folder is kept.")
@click.option("--no-mcp", is_flag=True, help="Without the MCP server.")
@click.option("--yes", is_flag=True, help="Do not ask about what lets the agent do nothing more than before.")
def install(wishes: list[Wish], force: bool, no_mcp: bool, yes: bool) -> None:
    """Copy the skill to where an agent looks, and show what its settings need for a night without questions.

    Each change of settings is shown first and written once you agree; a backup is named. What lets the agent
    do more unasked is only written if a person agrees at a terminal.
    """
    ask = partial(_confirmed, yes)
    whole = [structs.replace(wish, force=force, mcp=not no_mcp) for wish in wishes]
    work = [Installing(wish, say, ask, approve=is_person_there() or wish.dry_run) for wish in whole]
    for one in work:
        one.prepare()
    for one in work:
        one.install()
    if shutil.which("arctl") is None:
        folder_ = shlex.quote(os.path.dirname(sys.executable))
        complain("warning: arctl is not on PATH: an agent's shell would not find it")
        complain(f'→ in the profile of your shell: export PATH="$PATH":{folder_}')


def _confirmed(yes: bool, change: Change) -> bool:
    """Return whether a change of settings is to be written."""
    if not change.widens and yes:
        return True
    return is_person_there() and click.confirm("Write this?", err=True)


@skill.command()
@which
def uninstall(wishes: list[Wish]) -> None:
    """Take away what `arctl skill install` has put there; files that a person changed stay."""
    work = [Removing(wish, say) for wish in wishes]
    for one in work:
        one.prepare()
    for one in work:
        one.uninstall()


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
