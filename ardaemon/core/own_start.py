"""Begins a process of ours, before it imports a library: nothing of the caller's Python stays in it.

The shell's PYTHONPATH and PYTHONWARNINGS belong to its training jobs. Our own libraries come from where arctl
is installed, whatever else of the same name lies there. Standard library alone.
"""

import os
import site
import sys

STANDARD_FDS = 3  # standard input, output and error


def begin() -> None:
    """Open what standard descriptors are closed; forget the caller's PYTHONPATH and his wish for warnings."""
    fill_descriptors()
    if not sys.flags.ignore_environment:
        _forget_warnings()
    given = os.environ.get("PYTHONPATH")
    if given and not sys.flags.ignore_environment:
        sys.path[:] = own_path(sys.path, given)
    sys.path[:] = [entry for entry in sys.path if os.path.isabs(entry)]


def _forget_warnings() -> None:
    """Show no warnings where PYTHONWARNINGS or PYTHONDEVMODE asks for them: the caller's own are meant."""
    if os.environ.get("PYTHONWARNINGS") or os.environ.get("PYTHONDEVMODE"):
        import warnings  # the interpreter has loaded it in this case

        warnings.simplefilter("ignore")


def fill_descriptors() -> None:
    """Open /dev/null in the place of each standard descriptor that is closed, as some supervisors start us.

    Else the next file or socket would get its number, and whoever starts a process would close or replace it.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) < STANDARD_FDS:  # open(2) gives the lowest that is free
        os.set_inheritable(fd, True)
    os.close(fd)


def own_path(path: list[str], given: str) -> list[str]:
    """Return the search path without the entries of PYTHONPATH (`given`), but for the interpreter's own.

    An entry that the interpreter has by itself as well stands there once, at the place that PYTHONPATH gave
    it: such a folder goes behind the others. The folder from which arctl itself is run keeps its place.
    """
    try:
        named = {os.path.abspath(entry) for entry in given.split(os.pathsep)}
    except FileNotFoundError:  # the working folder is gone, and with it what relative entries name
        named = {os.path.normpath(entry) for entry in given.split(os.pathsep) if os.path.isabs(entry)}
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    kept = [entry for entry in path if entry not in named or entry == root]
    own = [entry for entry in _interpreters_own() if entry in named and entry in path]
    return kept + [entry for entry in own if entry != root]


def _interpreters_own() -> list[str]:
    """Return the folders in which the interpreter looks without PYTHONPATH, in its order."""
    standard = os.path.dirname(os.path.abspath(os.__file__))
    users = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [standard, os.path.join(standard, "lib-dynload"), *users, *site.getsitepackages()]
