"""Check a command line of `arctl` that stands in a text, without running it.

A word in capitals (`SLUG`, `r0043` stands for itself), with `…`, or in brackets is a placeholder.
"""

import re
import shlex
from itertools import pairwise

import click

from arctl.cli import arctl

PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*|.*[…\[\]{}<>].*|\.\.\.")


class _Unknown(Exception):
    """Raised for a command that there is not."""


def faults(line: str) -> list[str]:
    """What is wrong with a command line that begins with `arctl`: unknown commands, options, values."""
    try:
        command, context, words = _resolved(line)
    except _Unknown as error:
        return [f"no command {str(error)!r}"]
    return [fault for option, value in _options(words) for fault in _option(command, context, option, value)]


def missing(line: str) -> list[str]:
    """What a command needs where nobody can be asked, and the line does not give."""
    command, context, words = _resolved(line)
    if "--help" in words or PLACEHOLDER.fullmatch(context.info_name or ""):
        return []
    given = any(not word.startswith("-") for word in words)
    needed = [one for one in command.get_params(context) if isinstance(one, click.Argument) and one.required]
    arguments = [] if given else [one.make_metavar(context) for one in needed]
    fresh = "--resume fresh" in " ".join(words) and command.name == "start" and "--yes" not in words
    return [*arguments, *(["--yes"] if fresh else [])]


def _resolved(line: str) -> tuple[click.Command, click.Context, list[str]]:
    """The command that a line names, and the words behind it."""
    words = [word.strip("[]") for word in shlex.split(line)][1:]
    context = click.Context(arctl, info_name="arctl")
    command: click.Command = arctl
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name = words.pop(0)
        if PLACEHOLDER.fullmatch(name):
            return command, click.Context(command, parent=context, info_name=name), []
        found = _subcommand(command, context, name)
        if found is None:
            raise _Unknown(name)
        command, context = found, click.Context(found, parent=context, info_name=name)
    return command, context, words


def _subcommand(group: click.Group, context: click.Context, name: str) -> click.Command | None:
    try:
        return group.get_command(context, name)
    except click.ClickException:
        return None


def _options(words: list[str]) -> list[tuple[str, str | None]]:
    """Each option, and the word behind it."""
    return [
        (word, None if after.startswith("-") else after)
        for word, after in pairwise([*words, "-"])
        if word.startswith("-") and word != "-"
    ]


def _option(command: click.Command, context: click.Context, name: str, value: str | None) -> list[str]:
    for param in command.get_params(context):
        if name in (*param.opts, *param.secondary_opts):
            return _value(param, context, name, value)
    return [f"{command.name} has no option {name}"]


def _value(param: click.Parameter, context: click.Context, name: str, value: str | None) -> list[str]:
    if value is None or getattr(param, "is_flag", False) or PLACEHOLDER.fullmatch(value):
        return []
    if isinstance(param.type, click.Path):  # whether the file is there is no matter of spelling
        return []
    try:
        for one in value.split("|"):
            param.type.convert(one, param, context)
    except click.ClickException as error:
        return [f"{name} {value}: {error.format_message()}"]
    return []
