"""Whether this user has started a session: it names programs that run as whoever submits a run to it.

A session lies in its project, and a project may have come from elsewhere: a clone, an archive, a pull that
changed it. So each start signs what the session runs, with a key of the user's that lies in no project. The
signature goes along when a project is moved or copied; a session without a valid one is not live. Nobody can
make one for other settings, and one that somebody else copies is good for the same settings alone.
"""

import hmac
import os
from functools import lru_cache

import msgspec
from msgspec.structs import replace

from ardaemon.core.errors import SessionNotLive
from ardaemon.core.layout import Experiment, Host
from ardaemon.core.mends import session_anew
from ardaemon.core.model import Session, Settings
from ardaemon.core.text import one_line
from ardaemon.experiment import generation
from ardaemon.experiment.own_records import OwnRecords
from ardaemon.experiment.state import State
from ardaemon.host import secret, state

SHOWN_MAX = 200  # characters of each setting that runs something, as the error shows it
SESSIONS_KEPT = 64  # whose signatures are remembered: making one costs `status` 15 us
SESSIONS_END = "no session from before is live: start each anew; arctl status names the command"
# Settings by which something is run, or files are taken as this user, with the words for them.
_RUNS = {
    "runner": "runner",
    "metric_command": "metric command",
    "audit": "audit",
    "checkpoint_glob": "checkpoints",
    "metric_path": "metric files",
}


class StartedHere:
    """The sessions that this user has started, on any machine that shares the state folder."""

    def __init__(self, key: bytes, first: bool = False, made: bool = False) -> None:
        """Take the key; `made` says that it was made just now; `first`, that there was none before either."""
        self._key, self._first = key, first
        self.records = OwnRecords(key, made)  # of the runs in them

    @classmethod
    def of(cls, host: Host) -> "StartedHere":
        """Read the user's key, or make it. Raises OSError."""
        first, whole = not os.path.lexists(host.session_key), secret.is_whole(host.session_key)
        return cls(secret.key(host.session_key, SESSIONS_END), first, made=not whole)

    def signed(self, session: Session) -> Session:
        """Return the session with the signature of its settings."""
        return replace(session, signature=self._signature(session))

    def knows(self, session: Session) -> bool:
        """Return whether this user has started the session, with the settings that it has."""
        return hmac.compare_digest(session.signature.encode(), self._signature(session).encode())

    def adopt(self, experiment: Experiment) -> None:
        """Sign the live session of an experiment with an active entry, if an earlier version started it.

        Only the daemon that made the key does this, as it takes up the entries. An entry lies in the state
        folder, so it came with no clone; all else of a session could have come with one.
        """
        session = state.read(experiment.session, Session) if self._first else None
        if session is not None and session.live and session.settings is not None and not session.signature:
            generation.write(experiment, self.signed(session))

    def require(self, experiment: Experiment, session: Session) -> None:
        """Raise SessionNotLive, which shows what would be run, unless this user has started the session."""
        if session.settings is None or self.knows(session):
            return
        raise SessionNotLive(
            f"the session of {experiment.slug} was started elsewhere; {would_run(session.settings)}",
            f"if you want that to run as you, start it: {session_anew(session.settings, experiment.slug)}",
        )

    def as_seen(self, experiment: Experiment, current: State) -> State:
        """Return the state as it is shown: a session that was started elsewhere is not live, and why."""
        session = current.session
        if not session.live or session.settings is None or self.knows(session):
            return current
        line = (
            f"its session was started elsewhere, and takes no run; {would_run(session.settings)}; if you want"
            f" that to run as you: {session_anew(session.settings, experiment.slug)}"
        )
        shown = replace(session, live=False)
        return State(current.contract, shown, current.best, [*current.warnings, line])

    def _signature(self, session: Session) -> str:
        facts = (session.settings, session.started_at, session.epoch)
        return _signature_of(self._key, msgspec.json.encode(facts))


@lru_cache(SESSIONS_KEPT)
def _signature_of(key: bytes, given: bytes) -> str:
    # As the facts come back from the file: a number that was given as 5 is read as 5.0.
    facts = msgspec.json.decode(given, type=tuple[Settings | None, str | None, int])
    return hmac.digest(key, msgspec.json.encode(facts), "sha256").hex()


def would_run(settings: Settings) -> str:
    """Say what the session's settings run, cleaned and bounded, for people and agents to judge."""
    given = [(word, getattr(settings, name)) for name, word in _RUNS.items()]
    given += [("check", command) for command in settings.checks]
    shown = [f"{word} {one_line(text, SHOWN_MAX)!r}" for word, text in given if text]
    return f"it would run: {', '.join(shown)}"
