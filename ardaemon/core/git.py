"""Asks git about a project, and changes nothing there: no lock is taken, no hook and no other program runs.

git may be missing, and a project need not be in a repository: then there is no answer, which is no error.
"""

import os
from collections.abc import Mapping

WAIT_S = 10.0  # for one answer; more than git needs for 100,000 files on a cold disk
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
