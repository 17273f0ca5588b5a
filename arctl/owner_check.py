"""The check of `arctl doctor` that names the daemon of another state folder that has the project."""

from collections.abc import Iterator
from pathlib import Path

from msgspec import MsgspecError, json

from arctl.check import Check
from ardaemon.core import file_kinds, files
from ardaemon.core.layout import Host, Project
from ardaemon.core.project_owner import LET_GO_S, ProjectOwner


def owner_checks(project: Path, host: Host) -> Iterator[Check]:
    """Yield a warning if another daemon has the project."""
    path = Project(project).owner
    try:
        record = json.decode(files.read(path, file_kinds.STATE), type=ProjectOwner)
    except FileNotFoundError:
        return
    except (OSError, MsgspecError) as error:
        yield Check("warn", "owner", f"{path} cannot be read: {error}", "arctl run says who has the project")
        return
    if record.state != str(host.state):
        yield Check(
            "warn",
            "owner",
            f"another daemon has the project (pid {record.pid} on {record.host}, state folder {record.state},"
            f" since {record.since})",
            f"it lets go {LET_GO_S:g} s after its last run; if it has ended and left runs: arctl adopt",
        )
