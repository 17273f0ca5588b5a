"""Types for the hidden audit's files, which lie in the daemon's state folder and nowhere else."""

from msgspec import Struct

from ardaemon.core.model import Direction, Record
from ardaemon.core.run_record import Active


class AuditValue(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One audit of one advance: its value, or why there is none (`problem`).

    `primary` is the best's value after that advance. `begins`: there was no best before. `command` is a hash
    of what ran: values of different commands are never compared.
    """

    run_id: str
    submit_id: str  # of the run: run ids of an experiment that was made anew begin again
    run_ended_at: str = ""  # audits stand in this order
    at: str  # when the audit ended
    command: str = ""
    direction: Direction = "min"  # of the audit's value
    primary: float | None = None
    value: float | None = None
    name: str = ""  # as the command printed it
    problem: str = ""
    seconds: float = 0.0
    begins: bool = False


class Audits(Record, frozen=True, kw_only=True):
    """The content of audits/…/values.json: the audits of one experiment, oldest first."""

    folder: str  # of the experiment
    metric: str = ""  # the primary one
    direction: Direction = "min"  # of that
    values: tuple[AuditValue, ...] = ()


class WaitingAudit(Active, frozen=True, kw_only=True):
    """audits-waiting/…: the active entry of a committed advance, until its audit is recorded."""

    starts: int = 0  # how often the audit was started
    came_ns: int = 0  # when the advance was committed, by the entry's own time; 0: the entry still has that
    away_since: float = 0.0  # since when the project is away, in seconds since 1970; 0: it is not
