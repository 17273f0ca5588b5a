"""Where a program is found, and which Python is ardaemon's own (standard library alone)."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping

LINKS_MAX = 40  # that are followed one after the other, as the kernel does (path_resolution(7))


def every_on_path(name: str, environment: Mapping[str, str], cwd: str) -> Iterator[str]:
    """Yield each program of that name on PATH, in its order; a relative folder there begins at `cwd`.

    Each folder is asked by itself: the path of `cwd` may have a colon in it.
    """
    for folder in environment.get("PATH", os.defpath).split(os.pathsep):
        if path := shutil.which(os.path.join(cwd, folder, name)):
            yield path


def on_path(name: str, environment: Mapping[str, str], cwd: str) -> str | None:
    """Return the program of that name that a shell in `cwd` would start; None if there is none."""
    return next(every_on_path(name, environment, cwd), None)


def located(name: str, environment: Mapping[str, str], cwd: str) -> str | None:
    """Return the program as an absolute path: a name with a slash is a path, another is on PATH."""
    if os.sep not in name:
        return on_path(name, environment, cwd)
    path = os.path.join(cwd, name)
    return path if is_executable(path) else None


def is_executable(path: str) -> bool:
    """Return whether there is a program to start."""
    return os.path.isfile(path) and os.access(path, os.X_OK)


def own_environment() -> str | None:
    """Return the environment that this process runs in; None for a Python that is the machine's own.

    A virtual environment has another base prefix than its own; one of conda has a folder conda-meta.
    """
    apart = sys.prefix != sys.base_prefix or os.path.isdir(os.path.join(sys.prefix, "conda-meta"))
    return sys.prefix if apart else None


def is_same(folder: str, other: str | None) -> bool:
    """Return whether both are one folder, links followed."""
    return other is not None and os.path.realpath(folder) == os.path.realpath(other)


def is_of(program: str, environment: str | None) -> bool:
    """Return whether the program lies in that environment's bin/, or is a link to one that does."""
    if environment is None:
        return False
    for _ in range(LINKS_MAX):
        if is_same(os.path.dirname(program), os.path.join(environment, "bin")):
            return True
        if not os.path.islink(program):
            return False
        program = os.path.join(os.path.dirname(program), os.readlink(program))
    return False
