"""One daemon for each project: two would give one number to two runs, and write over each other's files.

While a daemon owns a project it holds the kernel's lock of `.autoresearch/.owner`. The file's text is that
daemon's state folder: there are the runs that wait for it, also while no daemon lives.
"""

import os
from pathlib import Path

from ardaemon.core.errors import ArdaemonError, Refused
from ardaemon.core.layout import Experiment, Host, Project
from ardaemon.core.run_record import Active
from ardaemon.host import file_lock, operations, state

Inode = tuple[int, int]  # device and number


class Owners:
    """The projects that this daemon owns, each from the first change that it makes until the daemon ends."""

    def __init__(self, host: Host) -> None:
        self.state = host.state
        self.locks: dict[
            Inode, int
        ] = {}  # by inode: a project may be moved, and another one made in its place

    def require(self, experiment: Experiment) -> None:
        """Own the experiment's project from now on. Raises Refused if another daemon does, StorageError.

        A project that is away is nobody's: what is to be done there fails by itself.
        """
        file = Project(experiment.project).owner
        with state.storage("lock", file):
            if file.parent.is_dir() and not (file.exists() and _inode(os.stat(file)) in self.locks):
                self._take(experiment.project, file)

    def _take(self, project: Path, file: Path) -> None:
        self._forget_removed()
        try:
            fd = file_lock.take(str(file))
        except BlockingIOError:
            owner = file.read_text(encoding="utf-8")
            raise Refused(f"another daemon owns {project}: that of {owner}", _use(owner)) from None
        try:
            self._name(fd, project, file)
        except BaseException:
            os.close(fd)
            raise
        self.locks[_inode(os.fstat(fd))] = fd

    def _name(self, fd: int, project: Path, file: Path) -> None:
        """Write this daemon's state folder into the locked file, unless runs wait for the owner before it."""
        owner = file.read_text(encoding="utf-8")
        if owner == str(self.state):
            return
        if owner and (waiting := _waiting(Path(owner), project)):
            why = f"{', '.join(waiting[:3])} of {project} wait for another daemon: that of {owner}"
            raise Refused(why, f"start it, so that they are judged: {_home_of(owner)} arctl queue")
        operations.truncate(fd, 0)
        operations.write(fd, os.fsencode(self.state))

    def _forget_removed(self) -> None:
        for inode, fd in list(self.locks.items()):
            if os.fstat(fd).st_nlink == 0:
                os.close(self.locks.pop(inode))


def _inode(stat: os.stat_result) -> Inode:
    return stat.st_dev, stat.st_ino


def _home_of(owner: str) -> str:
    return f"XDG_STATE_HOME={Path(owner).parent.parent}"


def _use(owner: str) -> str:
    home = _home_of(owner)
    return f"use that one: export {home}; or, once nothing is at work there, end it: {home} arctl daemon stop"


def _waiting(owner: Path, project: Path) -> list[str]:
    """List the runs of the project that are active by the state folder `owner`."""
    runs = []
    for entry in sorted((owner / "active").glob("*.json")):
        try:
            active = state.read(entry, Active)
        except ArdaemonError:  # that daemon tells of it, and cannot take it up
            continue
        if active is not None and Experiment(Path(active.folder)).project == project:
            runs.append(active.run_id)
    return runs
