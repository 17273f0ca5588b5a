"""What the session that runs the loop may write: one table, compared with write-discipline.md by a test.

A path is relative to the project's root. The first row whose pattern matches decides; what no row has, lies
in the host project.
"""

import re
from typing import NamedTuple

HOME = ".autoresearch"


class Row(NamedTuple):
    """Files of one kind, whether they may be edited, and why not."""

    pattern: str
    editable: bool
    why: str


SLUG = r"[0-9]{6}-[a-z0-9]+(?:-[a-z0-9]+)*"
ROWS = (
    Row(
        rf"{HOME}/{SLUG}/train\.py",
        True,
        "arctl puts the best version back: edit it, and leave it where it is",
    ),
    Row(rf"{HOME}/{SLUG}/prepare\.py", False, "it is sealed: data and metric stay as they are"),
    Row(rf"{HOME}/{SLUG}/program\.md", False, "it is the person's"),
    Row(
        rf"{HOME}/{SLUG}/runs(?:/.*)?", False, "it is the record of the runs: read it, and leave it as it is"
    ),
    Row(rf"{HOME}(?:/.*)?", False, "arctl alone writes here"),
    Row(r".*", False, "the host project stays as it is: change its behaviour from train.py, at run time"),
)

# git commands that only read; the others change files, branches or history, which are no part of the loop.
GIT_READS = frozenset(
    "status log diff show blame grep ls-files ls-tree rev-parse rev-list describe cat-file shortlog"
    " merge-base name-rev for-each-ref show-ref version help count-objects check-ignore diff-tree".split()
)
# Those that only read when one of these words comes next; "" is for no word at all, "-" for options alone.
GIT_READS_WITH = {
    "branch": ("", "-", "--list", "-l"),
    "tag": ("", "-", "--list", "-l"),
    "remote": ("", "-", "show", "get-url"),
    "stash": ("list", "show"),
    "worktree": ("list",),
    "reflog": ("", "show"),
    "submodule": ("", "status"),
    "config": ("--get", "--get-all", "--list", "-l", "get", "list"),
}
GIT_WHY = "arctl keeps every version that was tried and puts the best one back"

# Decisions about the person's runs, results and machine: a person makes them, in a shell of their own.
ARCTL_OF_A_PERSON = ("cancel", "session stop", "chain stop", "daemon stop", "seal --accept", "clean", "adopt")


def of_a_person(words: list[str]) -> str | None:
    """Return the command of a person that an arctl command is; None if the agent may call it."""
    for command in () if "--help" in words else ARCTL_OF_A_PERSON:
        first, *rest = command.split()
        if words[:1] == [first] and all(word in words[1:] for word in rest):
            return command
    return None


def row_of(path: str) -> Row:
    """Return the row that decides about a path, which is relative to the project's root."""
    return next(row for row in ROWS if re.fullmatch(row.pattern, path, re.DOTALL))


def git_reads(subcommand: str, words: list[str]) -> bool:
    """Return whether a git command only reads; `words` come after it."""
    if subcommand in GIT_READS:
        return True
    ways = GIT_READS_WITH.get(subcommand, ())
    if not words:
        return "" in ways
    if subcommand == "config" and len(words) == 1 and not words[0].startswith("-"):
        return True
    if words[0] in ways:
        return True
    return "-" in ways and all(word in _HARMLESS for word in words)


_HARMLESS = frozenset("-a -r -v -vv --all --remotes --verbose --show-current --no-color --color".split())
