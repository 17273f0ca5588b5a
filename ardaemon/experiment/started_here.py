"""Whether this user has started a session: it names programs that run as whoever submits a run to it.

A session lies in its project, and a project may have come from elsewhere: a clone, an archive, a pull that
changed it. So each start signs what the session runs, with a key of the user's that lies in no project. The
signature goes along when a project is moved or copied; a session without a valid one is not live. Nobody can
make one for other settings, and one that somebody else copies is good for the same settings alone.
"""

import contextlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ardaemon.core import file_kinds, files
from ardaemon.core.errors import ArdaemonError, SessionNotLive
from ardaemon.core.layout import Experiment, Host
from ardaemon.core.mends import session_again
from ardaemon.core.model import Session, Settings
from ardaemon.core.run_record import Active, RunRecord
from ardaemon.core.text import one_line
from ardaemon.experiment.state import State
from ardaemon.host import secret, state

SHOWN_MAX = 200  # characters of each setting that runs something, as the error shows it
SESSIONS_END = "no session from before is live: start each anew with arctl session start"
# An earlier version signed nothing. It left entries of runs that were not committed, and its log has the
# submits that it took: how many of the latest are looked at, bytes of each of its two files, and seconds
# between the record of a run and its line in the log.
SUBMITS_MAX, LOG_MAX, LOG_SLACK_S = 64, 6 << 20, 10.0
# Settings by which something is run, or files are taken as this user, with the words for them.
_RUNS = {
    "runner": "runner",
    "metric_command": "metric command",
    "checkpoint_glob": "checkpoints",
    "metric_path": "metric files",
}


class StartedHere:
    """The sessions that this user has started, on any machine that shares the state folder."""

    def __init__(
        self,
        key: bytes,
        since: float = 0.0,
        logs: tuple[Path, ...] = (),
        active: frozenset[tuple[str, str]] = frozenset(),
    ) -> None:
        """Take the key, and when it was made: `since`.

        What an earlier version may have left: its `logs`, and folder and run id of its `active` entries.
        """
        self._key, self._since, self._logs, self._active = key, since, logs, active

    @classmethod
    def of(cls, host: Host) -> "StartedHere":
        """Read the user's key, or make it; and what the daemon before left. Raises OSError."""
        key = secret.key(host.session_key, SESSIONS_END)
        logs = (host.log.with_name(f"{host.log.name}.1"), host.log)
        return cls(key, host.session_key.stat().st_mtime, logs, frozenset(_active(host)))

    def signed(self, session: Session) -> Session:
        """Return the session with the signature of its settings."""
        return replace(session, signature=self._signature(session))

    def knows(self, experiment: Experiment, session: Session) -> bool:
        """Return whether this user has started the session, with the settings that it has."""
        if not session.signature:
            return self._was_before(experiment, session)
        return hmac.compare_digest(session.signature.encode(), self._signature(session).encode())

    def adopted(self, experiment: Experiment, current: State) -> State:
        """Sign a session that an earlier version started here, so that it goes on; leave others alone."""
        session = current.session
        if not session.live or session.signature or not self.knows(experiment, session):
            return current
        signed = self.signed(session)
        state.write(experiment.session, signed)
        return State(current.contract, signed, current.best, current.warnings)

    def require(self, experiment: Experiment, session: Session) -> None:
        """Raise SessionNotLive, which shows what would be run, unless this user has started the session."""
        if session.settings is None or self.knows(experiment, session):
            return
        raise SessionNotLive(
            f"the session of {experiment.slug} was started elsewhere; {would_run(session.settings)}",
            f"if you want that to run as you, start it: {_command(experiment, session.settings)}",
        )

    def as_seen(self, experiment: Experiment, current: State) -> State:
        """Return the state as it is shown: a session that was started elsewhere is not live, and why."""
        session = current.session
        if not session.live or session.settings is None or self.knows(experiment, session):
            return current
        line = (
            f"its session was started elsewhere, and takes no run; {would_run(session.settings)}; if you want"
            f" that to run as you: {_command(experiment, session.settings)}"
        )
        shown = replace(session, live=False)
        return State(current.contract, shown, current.best, [*current.warnings, line])

    def _signature(self, session: Session) -> str:
        # As they come back from the file: a number that was given as 5 is read as 5.0.
        settings = msgspec.convert(msgspec.to_builtins(session.settings), Settings | None)
        facts = msgspec.json.encode((settings, session.started_at, session.epoch))
        return hmac.digest(self._key, facts, "sha256").hex()

    def _was_before(self, experiment: Experiment, session: Session) -> bool:
        """Return whether an earlier version left an entry, or a line in its log, of a run of this session.

        A clone has no entry, and does not know at which second a run of the same settings came.
        """
        if state.seconds(session.started_at) > self._since:
            return False
        if any(_is_of(experiment, session, run_id) for run_id in self._left(experiment)):
            return True
        submits = list(self._submits(experiment.slug))[-SUBMITS_MAX:]
        return any(_is_of(experiment, session, run_id, when) for run_id, when in submits)

    def _left(self, experiment: Experiment) -> list[str]:
        return [run_id for folder, run_id in self._active if folder == str(experiment.folder)]

    def _submits(self, slug: str) -> Iterator[tuple[str, float]]:
        """Yield id and time of each run of experiments of that name that was taken before there was a key."""
        for log in self._logs:
            with contextlib.suppress(OSError):
                for line in files.head(log, LOG_MAX, file_kinds.LOG).splitlines():
                    if b'"event": "submitted"' not in line or slug.encode() not in line:
                        continue
                    with contextlib.suppress(ValueError, KeyError, TypeError):
                        facts = json.loads(line)
                        when = state.seconds(facts["time"])
                        if facts["expr"] == slug and when <= self._since:
                            yield facts["run_id"], when


def _active(host: Host) -> Iterator[tuple[str, str]]:
    for entry in host.active.glob("*.json"):
        with contextlib.suppress(ArdaemonError):
            if (active := state.read(entry, Active)) is not None:
                yield active.folder, active.run_id


def _is_of(experiment: Experiment, session: Session, run_id: str, when: float | None = None) -> bool:
    """Return whether the run came under this session's settings, and at that time, if it is known."""
    try:
        record = state.read(experiment.run(run_id).record, RunRecord)
    except (ArdaemonError, ValueError):
        return False
    if record is None or (record.settings, record.epoch) != (session.settings, session.epoch):
        return False
    return when is None or abs(when - state.seconds(record.submitted_at)) <= LOG_SLACK_S


def would_run(settings: Settings) -> str:
    """Say what the session's settings run, cleaned and bounded, for people and agents to judge."""
    given = [(word, getattr(settings, name)) for name, word in _RUNS.items()]
    shown = [f"{word} {one_line(text, SHOWN_MAX)!r}" for word, text in given if text]
    return f"it would run: {', '.join(shown)}"


def _command(experiment: Experiment, settings: Settings) -> str:
    return f"{session_again(settings)} --expr {experiment.slug}"
