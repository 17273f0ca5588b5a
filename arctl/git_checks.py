"""Checks of `arctl doctor`: what git does to the experiments, and which agent hides them."""

import os
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from arctl.check import Check
from ardaemon.core import file_kinds, files, git
from ardaemon.core.layout import FOLDER, Project

GEMINI_MARK = "GEMINI_CLI"  # in the environment of each command that Gemini CLI starts
GEMINI_SETTINGS = Path(".gemini/settings.json")
# ripgrep passes over what git ignores, and over names that begin with a dot; agents search with it.
RG_SHOWS = f"rg --no-ignore --hidden PATTERN {FOLDER}"
GEMINI_SAYS = '"context": {"fileFiltering": {"respectGitIgnore": false}}'


def git_checks(folder: Path) -> Iterator[Check]:
    """Report what git's everyday commands would do to the experiments of a project in a repository."""
    project = Project(folder)
    if not git.is_in_repository(str(folder)):
        return
    if not os.path.lexists(project.home):
        command = git.way_back(str(folder), FOLDER)
        if command is not None:
            yield Check("FAIL", "git", f"{FOLDER} is gone, and git has one that was here", command)
        return
    count = git.tracked(str(folder), FOLDER)
    if count:
        files_of = "1 file" if count == 1 else f"{count} files"
        yield Check(
            "warn",
            "git",
            f"git tracks {files_of} of {FOLDER}: a checkout, stash or reset --hard takes results away",
            f"{shlex.join(['git', 'rm', '-r', '--cached', str(project.home)])}, and commit that",
        )
    if not git.is_ignored(str(folder), _inside(project)):
        yield Check(
            "warn",
            "git",
            f"git does not ignore {FOLDER}: stash -u and clean -fd take the experiments away",
            _ignoring(project),
        )
    elif not count:
        rg = f"; so does rg, but for: {RG_SHOWS}" if shutil.which("rg") else ""
        yield Check("ok", "git", f"git leaves {FOLDER} alone{rg}")


def _inside(project: Project) -> str:
    """Return a path of which git says whether it is ignored; behind a link it looks at nothing."""
    return FOLDER if project.home.is_symlink() else f"{FOLDER}/{project.ignore.name}"


def _ignoring(project: Project) -> str:
    """Return the command that has git ignore the experiments."""
    if not project.home.is_symlink():
        return f"echo '*' > {shlex.quote(str(project.ignore))}"
    exclude = (
        git.answer(str(project.folder), "rev-parse", "--git-path", "info/exclude") or ".git/info/exclude"
    )
    path = os.path.join(project.folder, exclude.strip())
    return f"echo {FOLDER} >> {shlex.quote(path)}"


def agent_checks(
    folder: Path, environment: Mapping[str, str], parse: Callable[[str], object]
) -> Iterator[Check]:
    """Report an agent of this project whose file tools do not show what git ignores.

    `parse` reads JSON with comments, which Gemini CLI takes; it raises ValueError.
    """
    places = [folder / GEMINI_SETTINGS, Path.home() / GEMINI_SETTINGS]
    if not environment.get(GEMINI_MARK) and not any(place.parent.is_dir() for place in places):
        return
    if any(_shows_ignored(place, parse) for place in places):
        return
    yield Check(
        "warn",
        "agent",
        f"Gemini CLI's file tools hide what git ignores, {FOLDER} too",
        f"a person may put {GEMINI_SAYS} into {places[0]}; or work with arctl status, diff, tail and result",
    )


def _shows_ignored(settings: Path, parse: Callable[[str], object]) -> bool:
    """Tell whether Gemini CLI's settings say that ignored files are shown, as it writes them or once did."""
    try:
        given = parse(files.read(settings, file_kinds.INSTALLED).decode())
    except (OSError, ValueError, RecursionError):
        return False
    for name in ("context", "fileFiltering", "respectGitIgnore"):
        if not isinstance(given, dict):
            return False
        given = given.get(name, given if name == "context" else None)
    return given is False
