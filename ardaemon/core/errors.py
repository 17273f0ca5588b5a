"""Errors that a user or a client can see, each with its wire code, its exit code and its mend.

    ArdaemonError
    ├── UsageError            a parameter is wrong                              exit 64
    │   ├── UnknownExperiment · AmbiguousExperiment · UnknownRun · SecondsNeeded
    ├── Refused               the circumstances are wrong; nothing was changed  exit 65
    │   ├── SealBroken · Unclean · SessionNotLive · BadTrainFile
    │   ├── RunnerNotFound · CorruptState · UnknownSchema · ForeignOwner
    │   ├── OwnedElsewhere · Replaced
    ├── Stuck                 the run is recorded, and does not move by itself  exit 76
    │   └── Unfollowed
    ├── UnderWay              a run of the same train.py waits or is at work    exit 75
    ├── StorageError          disk full, read-only, folder gone                 exit 74
    ├── Incompatible          client and daemon are too far apart               exit 69
    ├── DaemonUnavailable     nobody answers on the socket                      exit 69
    ├── Overloaded            a limit of the daemon was reached                 exit 69
    └── InternalError         a fault of ardaemon                               exit 70

This module imports the standard library alone, because the client loads it at every start. Wire codes lie in
the range that JSON-RPC 2.0 leaves to servers (-32000 to -32099), except for the five that JSON-RPC defines
itself.
"""

from typing import Any, ClassVar

# JSON-RPC 2.0, section 5.1.
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603


class ArdaemonError(Exception):
    """Base of the errors: `message` says what is wrong and where, `mend` what to do now, `data` the rest."""

    code: ClassVar[int] = -32000
    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, mend: str = "", data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend
        self.data = data or {}

    @property
    def line(self) -> str:
        """What is wrong and what to do, where one line is all there is."""
        return f"{self.message} ({self.mend})" if self.mend else self.message

    def wire(self) -> dict[str, Any]:
        """Return the JSON-RPC error object of this error."""
        kind = type(self).__name__
        return {
            "code": self.code,
            "message": self.message,
            "data": {**self.data, "kind": kind, "mend": self.mend},
        }


class UsageError(ArdaemonError):
    """A parameter or an option is wrong."""

    code, exit_code = INVALID_PARAMS, 64


class UnknownExperiment(UsageError):
    """The project has no experiment of that name."""

    code = -32010


class AmbiguousExperiment(UsageError):
    """Several experiments could be meant; data["candidates"] lists their slugs."""

    code = -32011


class UnknownRun(UsageError):
    """The experiment has no run of that id."""

    code = -32012


class SecondsNeeded(UsageError):
    """A session is to start, and nobody says how long its runs may take; a person at a terminal is asked."""

    code = -32013


class Refused(ArdaemonError):
    """The circumstances do not allow the request. Nothing was recorded, nothing was changed."""

    code, exit_code = -32020, 65


class SealBroken(Refused):
    """A sealed file has changed since it was sealed."""

    code = -32021


class Unclean(Refused):
    """Processes of an earlier run are still alive although they were killed."""

    code = -32022


class SessionNotLive(Refused):
    """The experiment has no session, or its session has ended."""

    code = -32023


class BadTrainFile(Refused):
    """train.py is missing, empty, unreadable, too large or not text."""

    code = -32024


class RunnerNotFound(Refused):
    """The runner's program is not on PATH or cannot be executed."""

    code = -32025


class CorruptState(Refused):
    """A state file cannot be read. The daemon has put it aside under another name."""

    code = -32026


class UnknownSchema(Refused):
    """A state file was written by a version whose files this one cannot read. The file is left as it is."""

    code = -32027


class ForeignOwner(Refused):
    """A folder or a file of the project belongs to another user; data["path"] names it."""

    code = -32028


class OwnedElsewhere(Refused):
    """Another daemon may change the project; data["standing"] is a word of core/project_owner.py."""

    code = -32029


class Replaced(Refused):
    """The project's `.autoresearch/` is another one than the daemon has locked."""

    code = -32070


class Stuck(ArdaemonError):
    """The run is recorded and does not move by itself: somebody has to do something first."""

    code, exit_code = -32050, 76


class Unfollowed(Stuck):
    """No daemon follows the run."""

    code = -32051


class UnderWay(ArdaemonError):
    """A run of the same version waits or is at work. Nothing was recorded; data["run_id"] names that run."""

    code, exit_code = -32060, 75


class StorageError(ArdaemonError):
    """The disk is full or read-only, or the folder is gone."""

    code, exit_code = -32030, 74


class Incompatible(ArdaemonError):
    """Client and daemon speak protocol versions more than one apart."""

    code, exit_code = -32040, 69


class DaemonUnavailable(ArdaemonError):
    """The daemon cannot be reached or started."""

    code, exit_code = -32041, 69


class Overloaded(ArdaemonError):
    """A limit of the daemon was reached (connections, requests in flight)."""

    code, exit_code = -32042, 69


class InternalError(ArdaemonError):
    """A fault of the daemon itself. The daemon's log has the traceback."""

    code, exit_code = INTERNAL_ERROR, 70


def _tree(cls: type[ArdaemonError]) -> list[type[ArdaemonError]]:
    return [cls, *(leaf for child in cls.__subclasses__() for leaf in _tree(child))]


BY_KIND: dict[str, type[ArdaemonError]] = {cls.__name__: cls for cls in _tree(ArdaemonError)}


def from_wire(error: dict[str, Any]) -> ArdaemonError:
    """Turn a JSON-RPC error object back into the error that the daemon raised."""
    data = error.get("data")
    data = (
        dict(data) if isinstance(data, dict) else {}
    )  # another server's may be anything (JSON-RPC 2.0, 5.1)
    cls = BY_KIND.get(str(data.pop("kind", "")))
    if cls is None:
        cls = UsageError if error.get("code") in (INVALID_PARAMS, METHOD_NOT_FOUND) else InternalError
    return cls(str(error.get("message", "unknown error")), str(data.pop("mend", "")), data)
