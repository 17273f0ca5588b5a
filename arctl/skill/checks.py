"""What must hold before anything is written."""

import errno
import os
import shlex
import socket
import stat

from arctl import sandbox
from arctl.base import interactive
from ardaemon.core.errors import Refused, StorageError
from ardaemon.core.owner import is_ours, user


def require_no_sandbox(command: str) -> None:
    """Raise Refused in an agent's sandbox: what an agent may do is not for the agent to choose."""
    call = _refused_call()
    if call is not None:
        name = sandbox.name_of(sandbox.agent_of(os.environ, call))
        raise Refused(
            f"{name} is around this command, which would change what agents may do",
            f"a person calls it in a terminal of their own: {command}",
        )


def _refused_call() -> str | None:
    """Return which system call on the way to a Unix socket is refused with EPERM; None if none is."""
    call = "socket"
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            call = "connect"
            probe.connect("/")  # no socket: without a sandbox it is refused as such
    except OSError as error:
        if error.errno == errno.EPERM:
            return call
    return None


def is_person_there() -> bool:
    """Return whether a person can be asked: at a terminal, but not at an agent's own."""
    return interactive() and sandbox.agent_of(os.environ, "") is None


def require_place(path: str) -> None:
    """Raise Refused or StorageError unless this user can put a folder or a file at `path`."""
    if os.path.islink(path):
        mend = f"it leads to {os.path.realpath(path)}: remove the link, or install there by --path DIR"
        raise Refused(f"{path} is a link, and is left as it is", mend)
    above = os.path.dirname(path)
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    try:
        status = os.stat(above)
    except OSError as error:
        raise StorageError(
            f"{above} cannot be looked at: {error.strerror}", "mend it, then call again"
        ) from None
    if not stat.S_ISDIR(status.st_mode):
        raise Refused(f"{above} is no folder", f"move it away: {shlex.join(['mv', above, f'{above}.old'])}")
    if not is_ours(status.st_uid):
        mend = f"call arctl as that user: sudo -Hu '#{status.st_uid}' arctl skill install …"
        raise Refused(f"{above} belongs to another user ({user(status.st_uid)})", mend)
    if not os.access(above, os.W_OK | os.X_OK):
        raise StorageError(
            f"{above} cannot be written: nothing was changed",
            "make it writable; to install elsewhere, in a folder that an agent of yours reads:"
            " arctl skill install --path DIR",
        )


def require_file(path: str) -> None:
    """Raise as require_place does, and Refused for a file that nobody is to write."""
    require_place(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISREG(mode) and not mode & stat.S_IWUSR:
        raise Refused(f"{path} is read-only: some tool may manage it", f"chmod u+w {shlex.quote(path)}")
