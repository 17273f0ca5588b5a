"""One run on its way: queued, launching, judged; run.json and its active entry, as types."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType, field
from msgspec.structs import replace

from ardaemon.core.gpus import Need
from ardaemon.core.model import (
    LIMITS,
    Again,
    Best,
    Counters,
    Exit,
    Limit,
    Placed,
    Record,
    Result,
    Session,
    Settings,
    ShellState,
    Status,
    Termination,
    UncleanRecord,
)


class Left(Struct, frozen=True):
    """A checkpoint that a run left in its own output, for --keep-checkpoints."""

    path: str  # relative to the project
    run_id: str
    mark: str  # as it was when the run had ended
    promoted: bool = False  # it is what the best's copy was made from


class Decision(Struct, frozen=True, kw_only=True):
    """The outcome of the commit's first stage: everything that its second will write, decided once."""

    result: Result
    row: str
    counters: Counters
    exit: Exit
    best: Best | None = None  # the new best.json, where this run advances
    live: bool = True
    terminated_by: Termination | None = None
    peaks: dict[str, tuple[float, ...]] = field(default_factory=dict)  # what the session has learned
    place: Placed | None = None  # what train.py shall hold
    stood: bool = True  # it held this run's snapshot when this was decided
    in_train: tuple[str, ...] = ()  # sha256 of what may be overwritten there
    unclean: UncleanRecord | None = None
    promote: str | None = None  # file or folder to copy to .ckpt/{run_id}
    left: tuple[Left, ...] = ()  # what the run left in its output, where the session keeps only so many
    noise: str = ""  # what the session says of the noise after this
    drift: str = ""  # that a rerun of the best was not where it was expected; "": it was, or nobody can tell
    generation: int = 0  # the session's, when this was decided


class Handle(Struct, frozen=True, kw_only=True):
    """The name by which an engine finds an attempt after a restart; `place` is for that engine alone."""

    engine: str  # its name
    attempt: int
    folder: str
    place: dict[str, str] = field(default_factory=dict)
    # The local engine's place, as earlier versions wrote it; read, not written any more.
    shim_lock: str | UnsetType = UNSET
    job_lock: str | UnsetType = UNSET
    boot_id: str | UnsetType = UNSET


class AttemptResult(Struct, frozen=True, kw_only=True):
    """The measurements of an attempt that another follows, and why it follows."""

    why: Again
    seed: int = 0  # AR_SEED
    value: float | None = None  # of the primary metric
    metrics: dict[str, float] = field(default_factory=dict)
    gpu_seconds: float = 0.0
    status: Status = "ok"


class Queued(Struct, frozen=True, tag="queued", tag_field="state"):
    """The run waits for a slot; `attempts` were made before, oldest first; `seed` is the next one's."""

    attempts: tuple[AttemptResult, ...] | int = ()  # a number: as earlier versions wrote it, with `again`
    seed: int = 0
    again: tuple[Again, ...] = ()  # read, not written any more

    @property
    def before(self) -> tuple[AttemptResult, ...]:
        """Return the attempts that were made before, oldest first."""
        if isinstance(self.attempts, tuple):
            return self.attempts
        return tuple(AttemptResult(why=why) for why in self.again)


class Launching(Struct, frozen=True, tag="launching", tag_field="state"):
    """An attempt was given to the engine: whether it runs or is over, the engine knows."""

    handle: Handle
    attempts: tuple[AttemptResult, ...] = ()  # made before this one
    seed: int = 0  # this attempt's AR_SEED
    slots: tuple[str, ...] = ()  # "cpu0", or UUIDs of GPUs
    share: bool = False
    vram_mb: float | None = None  # set aside on each of its GPUs
    devices: tuple[str, ...] | None = None  # its GPUs as CUDA_VISIBLE_DEVICES has them, for its check
    job: str = ""  # name of the job's own folder in the run's; "": the run's own, as in earlier versions
    reads: tuple[str, ...] = ()  # promoted checkpoints that it was given: they stay while it is at work
    again: tuple[Again, ...] = ()  # in the place of `attempts`, as earlier versions wrote it; read alone

    @property
    def before(self) -> tuple[AttemptResult, ...]:
        """Return the attempts that were made before this one, oldest first."""
        return self.attempts or tuple(AttemptResult(why=why) for why in self.again)


class Judged(Struct, frozen=True, tag="judged", tag_field="state"):
    """The decision stands; applying it may have begun."""

    decision: Decision


class RunRecord(Record, frozen=True, kw_only=True):
    """run.json: what was submitted, and where it stands."""

    run_id: str
    submit_id: str
    sha256: str
    base: str | None
    note: str
    submitted_at: str
    settings: Settings
    epoch: int = 0  # of the session it belongs to
    revision: int = 0  # of that session's settings
    seal: str = ""  # fingerprint of the contract at submit
    environment_sha256: str  # HMAC-SHA256 with the machine's key; without a key in earlier versions
    variables: tuple[str, ...] = ()  # names in that environment (pipeline/variables.py); never values
    shell: ShellState | None = None  # whose limits, CPUs and priority the job gets; None: the daemon's
    not_given: tuple[str, ...] = ()  # what of that the kernel does not let it have, a line each
    need: Need | None = None  # None: queued by a version that knew of no GPUs
    argv: tuple[str, ...] = ()  # of the last attempt
    origin: str | None = None  # of train.py, as the contract had it at submit (experiment/script_place.py)
    restore: Literal["at_submit", "at_verdict"] = "at_verdict"
    normal: str = ""  # normal form of the snapshot (source/normal.py); "": there was nothing to compare
    measure: bool = False  # a rerun of the best: its value is a measurement, and decides nothing
    of: str = ""  # the run whose version is launched once more: no verdict, no row; "": a candidate
    idle: bool = False  # nothing waits for it: it begins on an idle place, and gives way to any run
    laid_out_by: str = ""  # which state folder's daemon (ProjectOwner.key); "": an earlier version's
    state_folder: str = ""  # of the daemon that has it: what an audit of it shows lies there
    state: Queued | Launching | Judged = Queued()
    signature: str = ""  # of all the rest, by this user's daemon (experiment/own_records.py)


def of_session(record: RunRecord, session: Session) -> RunRecord:
    """Return the record of a run that waits, as it is to be launched in this session."""
    settings = session.settings or record.settings
    return replace(record, settings=settings, epoch=session.epoch, revision=session.revision)


# Endings of a launch that says nothing of its seed: it was never made, or it gave way to a run.
NOTHING = ("cancelled", "gave_way")


def came_to_nothing(record: RunRecord) -> bool:
    """Tell whether the run ended so that its seed may be launched again."""
    return isinstance(record.state, Judged) and record.state.decision.exit.ending in NOTHING


def with_limits(record: RunRecord, session: Session) -> RunRecord:
    """Return the record of a run at work with the limits of its session as they are now: they end it."""
    if record.epoch != session.epoch or session.settings is None:
        return record
    limits = {name: getattr(session.settings, name) for name in LIMITS}
    return replace(record, settings=replace(record.settings, **limits))


# What is wanted of a run. cancel, stop: its end, and stop: that of its session too. judge, judge_stop: the
# same, but the job had ended already: the run is judged by that, and gets no other attempt. give_way: it was
# begun on an idle place, which a run wants now. The limits: the daemon has found that the job takes too much.
Wanted = Literal["run", "cancel", "stop", "judge", "judge_stop", "give_way", Limit]
TOO_LATE: dict[Wanted, Wanted] = {"cancel": "judge", "stop": "judge_stop"}


class Active(Record, frozen=True, kw_only=True):
    """active/…: one run that is not committed, with its environment (mode 0600)."""

    folder: str  # of the experiment
    run_id: str
    seq: int  # order of submission
    submit_id: str = ""  # of the record that belongs to it; "": of an earlier version, which signed none
    environment: dict[str, str]
    umask: int | None = None  # of the job; None: the daemon's
    shell: ShellState | None = None  # of the job, likewise
    wanted: Wanted = "run"
    priority: int = 0
    front: int = 0  # `arctl queue move --first | --last`: higher goes first among equal priorities
    held: bool = False  # `arctl queue hold`
