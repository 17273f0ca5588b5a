"""The errors that say why this daemon may not change a project, who may, and what to do about it."""

import shlex
from pathlib import Path

from ardaemon.core.errors import OwnedElsewhere, Replaced
from ardaemon.core.layout import Project
from ardaemon.core.owner import user
from ardaemon.core.project_owner import LET_GO_S, STALE_S, ProjectOwner, Standing


def refusal(
    project: Path, record: ProjectOwner | None, why: Standing, me: ProjectOwner, rests_s: float = 0.0
) -> OwnedElsewhere:
    """Make the error that tells `me` who the owner is, and what to do there.

    `rests_s`: for how long the owner has had no run, in seconds.
    """
    path = Project(project).owner
    data = {"standing": why}
    if record is None:
        return OwnedElsewhere(
            f"another daemon works in {project}, and {path} does not say which",
            f"stop that daemon (arctl daemon stop); its pid: {shlex.join(['fuser', str(path)])}",
            data,
        )
    if why == "user":
        return other_users(path, record.uid)
    if why in ("host", "stale"):
        return other_hosts(project, record, why)
    if _has_lost_its_folder(record, me):
        return without_folder(project, record, why)
    who, there = _who(record), _there(record, me)
    if why == "left":
        return OwnedElsewhere(
            f"the daemon that worked in {project} has ended, and has left runs ({who})",
            f"start it again with: {there}arctl status (it takes its runs up); or have this daemon take them"
            " over: arctl adopt",
            data,
        )
    if why == "resting":
        return OwnedElsewhere(
            f"another daemon has {project}, and no run in it ({who})",
            f"it was asked to let go, and does so by itself within {max(LET_GO_S - rests_s, 1.0):.0f} s; at"
            f" once with: {there}arctl daemon stop; if its host is down, the project is free"
            f" {STALE_S / 60:g} minutes after its last sign",
            data,
        )
    if why == "measuring":
        return OwnedElsewhere(
            f"another daemon has {project}, and runs only launches of the best that measure noise there"
            f" (--measure-noise) ({who})",
            f"it was asked to end them, and lets go after that; what it has there: {there}arctl queue",
            data,
        )
    return OwnedElsewhere(
        f"another daemon works in {project} ({who})",
        f"ask again when its runs are over: {there}arctl queue; or end them, one by one: {there}arctl cancel",
        data,
    )


def _who(record: ProjectOwner) -> str:
    return (
        f"pid {record.pid} on {record.host}, {user(record.uid)}, state folder {record.state},"
        f" since {record.since}"
    )


def _there(record: ProjectOwner, me: ProjectOwner) -> str:
    """Return what stands before a command for that daemon; no variable leads into a container."""
    if (record.boot_id, record.pid_namespace) != (me.boot_id, me.pid_namespace):
        return "(there) "
    return f"XDG_STATE_HOME={shlex.quote(str(Path(record.state).parent.parent))} "


def _has_lost_its_folder(record: ProjectOwner, me: ProjectOwner) -> bool:
    """Tell whether the owner had the folder that is `me`'s now: a folder has one daemon at a time."""
    return (record.boot_id, record.pid_namespace, record.state) == (me.boot_id, me.pid_namespace, me.state)


def without_folder(project: Path, record: ProjectOwner, why: Standing) -> OwnedElsewhere:
    """Make the error for a project whose owner no command reaches: its state folder was removed."""
    adopt = "arctl adopt (it names the runs that it cannot see)"
    if why == "left":
        return OwnedElsewhere(
            f"the daemon that worked in {project} has ended, and has left runs; the state folder that is"
            f" there now is not its own ({_who(record)})",
            f"put its own back; or go on without those runs: {adopt}",
            {"standing": why},
        )
    return OwnedElsewhere(
        f"another daemon works in {project}, and no command reaches it, for its state folder or the lock in"
        f" there was removed ({_who(record)})",
        f"it lets go when its runs are over; at once with: kill {record.pid} (running jobs go on), then:"
        f" {adopt}",
        {"standing": why},
    )


def other_hosts(project: Path, record: ProjectOwner, why: Standing) -> OwnedElsewhere:
    """Make the error for a project whose owner is on another machine: locks and pids there are not seen."""
    who = _who(record)
    if why == "stale":
        return OwnedElsewhere(
            f"a daemon on another host had {project} ({who}), and has given no sign for {STALE_S / 60:g}"
            " minutes",
            "start it again there, and it takes its runs up; or, if that host is down, a person takes them"
            " over here: arctl adopt --take-over",
            {"standing": why},
        )
    return OwnedElsewhere(
        f"a daemon on another host works in {project} ({who}), and its lock may not be seen from here",
        f"use that one; if that host is down: {STALE_S / 60:g} minutes after its last sign a person may take"
        " the project over: arctl adopt --take-over",
        {"standing": why},
    )


def other_users(path: Path, uid: int) -> OwnedElsewhere:
    """Make the error for a project in which another user's daemon works."""
    return OwnedElsewhere(
        f"the daemon of another user ({user(uid)}) works in {path.parent.parent}, and a project has one user"
        " at a time",
        f"wait until it lets go, {LET_GO_S:g} s after its last run; if it has ended without that:"
        f" {shlex.join(['rm', str(path)])}",
        {"standing": "user"},
    )


def other_name(project: Path, other: Path) -> OwnedElsewhere:
    """Make the error for a project in which this daemon works under another name: its ids would repeat."""
    return OwnedElsewhere(
        f"{project} is the same folder as {other}, where this daemon works",
        f"work in {other}; if the project was moved, move it back until its runs are over",
        {"standing": "busy"},
    )


def replaced(project: Path) -> Replaced:
    """Make the error for a project whose folder was exchanged under the daemon's runs."""
    home = Project(project).home
    return Replaced(
        f"{home} is another folder, or a copy from before, or another daemon has had it meanwhile: this"
        " daemon has runs in the one that was there",
        f"put that one back at {home}; or, to go on with what stands there now: arctl daemon restart",
    )
