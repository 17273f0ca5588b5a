"""Reads program.md: the front matter between +++ lines, and the prose for the agent."""

import tomllib

import msgspec

from ardaemon.core import constraints, files
from ardaemon.core.errors import UsageError
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Primary

FENCE = "+++"


class Front(msgspec.Struct, frozen=True, kw_only=True):
    """The front matter of program.md."""

    primary: Primary
    goal: str = ""
    mutation_scope: tuple[str, ...] = ("train.py",)
    constraints: tuple[str, ...] = ()


def split_program(text: str) -> tuple[str | None, str]:
    """Split program.md into front matter, None if there is none, and prose."""
    lines = text.splitlines(keepends=True)
    if not lines or lines[0].strip() != FENCE:
        return None, text
    for at, line in enumerate(lines[1:], 1):
        if line.strip() == FENCE:
            return "".join(lines[1:at]), "".join(lines[at + 1 :])
    return None, text


def read_front(experiment: Experiment) -> tuple[str, Front]:
    """Return the front matter as text and decoded. Raises UsageError, which names file and fault."""
    path = experiment.program
    try:
        text, _ = split_program(files.text(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "restore it from version control") from error
    if text is None:
        raise UsageError(f"{path} has no front matter", f"begin it with TOML between two {FENCE} lines")
    try:
        front = msgspec.convert(tomllib.loads(text), type=Front)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UsageError(f"{path}: front matter: {error}", "see docs/files.md for its fields") from error
    for expression in front.constraints:
        try:
            constraints.parse(expression)
        except UsageError as error:
            raise UsageError(f"{path}: front matter: {error.message}", error.mend) from error
    return text, front
