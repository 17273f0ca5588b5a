"""The state of the experiment that the session runs, from its files: bounded, and no link is followed."""

import json
import os
import re
import stat
from typing import Any, NamedTuple

from guards import table, transcript
from guards.event import OPEN, Event, text

FILE_MAX = 1 << 20  # bytes of a state file; none comes near
EXPERIMENTS_MAX = 200  # that are looked at in a project, the newest by name: some 10 ms
AHEAD_MAX = 8  # runs that may be under way beyond the last committed one

Facts = dict[str, Any]


class State(NamedTuple):
    """What the files of an experiment say. `waiting` is a run that is not committed yet; `alone`: no other
    experiment is there; `chain`: what is written of the project's chain."""

    slug: str
    session: Facts
    best: Facts
    last: Facts
    waiting: str | None
    unclean: bool
    alone: bool
    chain: Facts

    @property
    def live(self) -> bool:
        """Return whether its session is live."""
        return self.session.get("live") is True

    @property
    def train(self) -> str:
        """Return the file to edit."""
        return f"{table.HOME}/{self.slug}/train.py"

    @property
    def chain_left(self) -> bool:
        """Return whether another experiment may follow this one in its chain."""
        mode, left = self.chain.get("chain_mode"), self.chain.get("chain_remaining")
        if self.chain.get("current_slug") != self.slug or mode == "disabled":
            return False
        return mode == "unlimited" or (left is None if mode is None else left not in (0, None))

    def command(self) -> str:
        """Return the command that comes next in the loop."""
        expr = "" if self.alone else f" --expr {self.slug}"
        if self.waiting is not None:
            return f"arctl wait {self.waiting} --exit-zero --timeout 540{expr}"
        return f"arctl run --wait --exit-zero --timeout 540{expr}"


def read(path: str) -> Facts:
    """Return the JSON object in a file of ours; {} if there is none that can be read."""
    try:
        fd = os.open(path, OPEN)
    except OSError:
        return {}
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in (0, os.getuid()):
            return {}
        facts = json.loads(os.read(fd, FILE_MAX))
    except (OSError, ValueError, RecursionError):
        return {}
    finally:
        os.close(fd)
    return facts if isinstance(facts, dict) else {}


def of_event(event: Event) -> State | None:
    """Return the state of the experiment that the agent of an event runs; None without one."""
    root = _project([text(event, "cwd"), *filter(None, [os.environ.get("CLAUDE_PROJECT_DIR")])])
    return None if root is None else _find(root, event.get("transcript_path"))


def _project(starts: list[str]) -> str | None:
    """Return the project of the first of some folders that lies in one with experiments."""
    from guards.place import Place

    return next(iter(Place(starts).roots), None)


def _find(root: str, record: object) -> State | None:
    home = os.path.join(root, table.HOME)
    slugs = _slugs(home)
    sessions = {slug: read(os.path.join(home, slug, ".ar-session.json")) for slug in slugs}
    slug = _meant(home, sessions, record)
    return None if slug is None else _state(os.path.join(home, slug), sessions[slug], len(slugs) == 1)


def _slugs(home: str) -> list[str]:
    try:
        with os.scandir(home) as entries:
            found = [
                one.name
                for one in entries
                if re.fullmatch(table.SLUG, one.name) and one.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []
    return sorted(found, reverse=True)[:EXPERIMENTS_MAX]


def _meant(home: str, sessions: dict[str, Facts], record: object) -> str | None:
    """Return the experiment as arctl chooses it; of several, that at which the agent was last."""
    named = os.environ.get("AR_EXPR")
    if named:
        return named if named in sessions else None
    chain = read(os.path.join(home, ".chain-session.json"))
    chained = chain.get("current_slug")
    current = chained if isinstance(chained, str) and chained in sessions else None
    if current is not None and os.environ.get("AR_NONINTERACTIVE", "0") not in ("", "0"):
        return current
    live = [slug for slug, session in sessions.items() if session.get("live") is True]
    own = transcript.experiment(record) if len(sessions) > 1 else None
    if own in sessions and (own in live or not _in_trail(chain, own)):
        return own
    if len(live) == 1:
        return live[0]
    if current is not None:
        return current
    return max(live or sessions, key=lambda slug: _changed(os.path.join(home, slug)), default=None)


def _in_trail(chain: Facts, slug: str) -> bool:
    """Return whether an experiment is one of the chain; after it comes the chain's current one."""
    trail = chain.get("chain_trail")
    return isinstance(trail, list) and slug in trail


def _changed(folder: str) -> float:
    try:
        return os.lstat(os.path.join(folder, ".ar-session.json")).st_mtime
    except OSError:
        return 0.0


def _state(folder: str, session: Facts, alone: bool) -> State:
    number = session.get("last_run")
    number = number if isinstance(number, int) and 0 <= number < 10**9 else 0
    return State(
        os.path.basename(folder),
        session,
        read(os.path.join(folder, "best.json")),
        _result(folder, number) if number else {},
        _waiting(folder, number),
        os.path.lexists(os.path.join(folder, "UNCLEAN.json")),
        alone,
        read(os.path.join(os.path.dirname(folder), ".chain-session.json")),
    )


def _run(folder: str, number: int) -> str:
    return os.path.join(folder, "runs", f"r{number:04d}")


def _result(folder: str, number: int) -> Facts:
    return read(os.path.join(_run(folder, number), "result.json"))


def _waiting(folder: str, last: int) -> str | None:
    """Return the first run that was submitted and is not committed; ids rise with each submit."""
    for number in range(max(1, last - AHEAD_MAX), last + AHEAD_MAX):
        run = _run(folder, number)
        if os.path.lexists(os.path.join(run, "run.json")) and not os.path.lexists(
            os.path.join(run, "result.json")
        ):
            return os.path.basename(run)
    return None
