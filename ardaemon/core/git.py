"""Asks git about a project, and changes nothing there: no lock is taken, no hook and no other program runs.

git may be missing, and a project need not be in a repository: then there is no answer, which is no error.
"""

import os
import shlex
from collections.abc import Mapping

WAIT_S = 5.0  # for one answer; more than git needs for 100,000 files
STASHES_MAX, COMMITS_MAX = 5, 20  # that are looked through for what is gone; the newest
# What a project's configuration could have git start.
_ALONE = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-pager")
_REPOSITORY = "GIT_"  # as the variables begin by which a shell names another repository


def answer(folder: str, *words: str) -> str | None:
    """Return what `git WORDS` prints in the folder, at a command that ends well; else None."""
    import subprocess  # who starts arctl for something else need not load it

    try:
        done = subprocess.run(
            ["git", *_ALONE, *words],
            cwd=folder,
            env=_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WAIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return os.fsdecode(done.stdout) if done.returncode == 0 else None


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in given.items() if not name.startswith(_REPOSITORY)}
    return {**kept, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}


def is_in_repository(folder: str) -> bool:
    """Tell whether git knows the folder as one of a repository's files."""
    return (answer(folder, "rev-parse", "--is-inside-work-tree") or "").strip() == "true"


def tracked(folder: str, name: str) -> int:
    """Return how many files in `name`, or `name` itself, git tracks."""
    return (answer(folder, "ls-files", "-z", "--", name) or "").count("\0")


def is_ignored(folder: str, path: str) -> bool:
    """Tell whether git passes over the path."""
    return answer(folder, "check-ignore", "--no-index", "-q", "--", path) is not None


def way_back(folder: str, path: str) -> str | None:
    """Return the command by which git brings `path` back, which is gone or an earlier one; or None.

    Looks into the newest stashes, then into the commits that were checked out before this one.
    """
    if (stash := stashed(folder, path)) is not None:
        return stash
    now = _tree(folder, "HEAD", path)
    for commit in checked_out(folder):
        if _tree(folder, commit, path) not in (None, now):
            return restore(commit, path)
    return None


def stashed(folder: str, path: str) -> str | None:
    """Return the command that brings `path` back from one of the newest stashes; None if none has it."""
    for name in (answer(folder, "stash", "list", "--format=%gd") or "").split()[:STASHES_MAX]:
        unseen = answer(folder, "ls-tree", "-r", "--name-only", f"{name}^3", "--", path)  # those of stash -u
        if unseen or answer(folder, "diff", "--name-only", f"{name}^", name, "--", path):
            return "git stash pop" if name == "stash@{0}" else f"git stash pop {shlex.quote(name)}"
    return None


def checked_out(folder: str) -> list[str]:
    """Return the commits that were checked out last, this one first."""
    commits = answer(folder, "log", "-g", f"-n{COMMITS_MAX}", "--format=%h", "HEAD", "--") or ""
    return list(dict.fromkeys(commits.split()))


def content(folder: str, commit: str, path: str) -> str | None:
    """Return the text of the file in that commit; None if it has none of that name."""
    return answer(folder, "show", f"{commit}:./{path}")


def restore(commit: str, path: str) -> str:
    """Return the command that makes `path` what it was in that commit."""
    return f"git restore --source={commit} --worktree -- {shlex.quote(path)}"


def _tree(folder: str, commit: str, path: str) -> str | None:
    return answer(folder, "rev-parse", "--verify", "-q", f"{commit}:./{path}")
