"""Reads program.md: the front matter between +++ lines, and the prose for the agent."""

from pathlib import Path

import msgspec

from ardaemon.core import constraints, file_kinds, files, toml
from ardaemon.core.errors import UsageError
from ardaemon.core.layout import Experiment
from ardaemon.core.model import Primary
from ardaemon.core.project import foreign_file

FENCE = "+++"
FRONT_MAX = toml.TEXT_MAX  # characters from the beginning of the file in which the front matter ends
SCOPE = ("train.py",)  # what an agent may change, where program.md does not say it


class Front(msgspec.Struct, frozen=True, kw_only=True):
    """The front matter of program.md."""

    primary: Primary
    goal: str = ""
    mutation_scope: tuple[str, ...] = SCOPE
    constraints: tuple[str, ...] = ()


def front_text(front: Front) -> str:
    """Return the front matter as program.md has it, without its two lines of +++."""
    scope, constraints_ = (
        ", ".join(toml.string(text) for text in texts) for texts in (front.mutation_scope, front.constraints)
    )
    return (
        f"goal = {toml.string(front.goal)}\n"
        f"mutation_scope = [{scope}]\n"
        f"constraints = [{constraints_}]\n\n"
        f"[primary]\nmetric = {toml.string(front.primary.metric)}\n"
        f"direction = {toml.string(front.primary.direction)}\n"
    )


def split_program(text: str) -> tuple[str | None, str]:
    """Split program.md into front matter, None if there is none within FRONT_MAX characters, and prose.

    Editors put a byte order mark before it, and people empty lines.
    """
    lines = text[:FRONT_MAX].splitlines(keepends=True)
    fences = [at for at, line in enumerate(lines) if line.strip("\ufeff \t\r\n") == FENCE][:2]
    if len(fences) < 2 or "".join(lines[: fences[0]]).strip("\ufeff \t\r\n"):
        return None, text
    first, last = fences
    return "".join(lines[first + 1 : last]), text[len("".join(lines[: last + 1])) :]


def read_whole(path: Path, kind: file_kinds.Kind) -> str:
    """Return a program.md as text. `encoded` gives its bytes back, also those that are no UTF-8.

    Raises as files.read() does.
    """
    return files.read(path, kind).decode("utf-8", "surrogateescape")


def encoded(text: str) -> bytes:
    """Return the bytes of a program.md."""
    return text.encode("utf-8", "surrogateescape")


def fenced(front: str) -> str:
    """Return the front matter between its two lines of +++."""
    return f"{FENCE}\n{front}{FENCE}\n"


def read_front(experiment: Experiment) -> tuple[str, Front]:
    """Return the front matter as text and decoded.

    Raises UsageError, which names file and fault, and ForeignOwner if the file is another user's.
    """
    path = experiment.program
    try:
        text, _ = split_program(files.text(path, file_kinds.SCRIPT, "surrogateescape"))
    except files.ForeignFile as error:
        raise foreign_file(str(path), error.uid) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "put a copy of it back") from error
    if text is None:
        within = f"in its first {FRONT_MAX >> 10} KiB"
        raise UsageError(
            f"{path} has no front matter {within}", f"begin it with TOML between two {FENCE} lines"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{path}: the front matter is no UTF-8 text", "save the file as UTF-8") from error
    try:
        front = msgspec.convert(toml.parse(text), type=Front)
    except (ValueError, msgspec.ValidationError) as error:
        raise UsageError(f"{path}: front matter: {error}", "see docs/files.md for its fields") from error
    for expression in front.constraints:
        try:
            constraints.parse(expression)
        except UsageError as error:
            raise UsageError(f"{path}: front matter: {error.message}", error.mend) from error
    return text, front
