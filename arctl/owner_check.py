"""The check of `arctl doctor` that names the daemon of another state folder that has the project."""

from collections.abc import Iterator
from pathlib import Path

from msgspec import MsgspecError, json

from arctl.check import Check
from ardaemon.core import file_kinds, files
from ardaemon.core.layout import Host, Project, boot_id
from ardaemon.core.locking import has_locks
from ardaemon.core.project_owner import LET_GO_S, ProjectOwner


def owner_checks(project: Path, host: Host) -> Iterator[Check]:
    """Yield a warning if another daemon has the project, or if its file system has no locks."""
    path = Project(project).owner
    try:
        record = json.decode(files.read(path, file_kinds.STATE), type=ProjectOwner)
    except FileNotFoundError:  # nobody has it
        yield from _locks(project, _has_locks(project))
        return
    except (OSError, MsgspecError) as error:
        why = getattr(error, "strerror", None) or error
        yield Check("warn", "owner", f"{path} cannot be read: {why}", "arctl run says what to do about it")
        return
    yield from _locks(project, record.locks)
    if (record.state, record.boot_id) != (str(host.state), boot_id()):
        yield Check(
            "warn",
            "owner",
            f"another daemon has the project (pid {record.pid} on {record.host}, state folder {record.state},"
            f" since {record.since})",
            f"it lets go {LET_GO_S:g} s after its last run; if it has ended and left runs: arctl adopt, with"
            " --take-over if it was on another host",
        )


def _has_locks(project: Path) -> bool:
    """Tell whether a file of ours in the project can be locked; True if there is none to try."""
    try:
        return has_locks(Project(project).ignore)
    except OSError:
        return True


def _locks(project: Path, works: bool) -> Iterator[Check]:
    if not works:
        what = f"the file system of {project} has no locks"
        yield Check("warn", "owner", what, "work in the project on one host, and in one container")
