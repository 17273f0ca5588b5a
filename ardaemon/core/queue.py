"""The queue and the machine as facts, and what is decided from them.

Memory is in MiB, moments are CLOCK_MONOTONIC seconds.
"""

from msgspec import Struct

from ardaemon.core.gpus import CardState, Need

Key = tuple[str, str]  # folder of the experiment, run id


class Card(Struct, frozen=True, kw_only=True):
    """One GPU or MIG instance, as far as it can be given away.

    `free_mb` is what sharing runs may still take now, `total_mb` what they may take when none is there; the
    margin and what others use are already taken off both. Unknown memory (None) is never shared.
    """

    uuid: str
    index: int
    state: CardState
    total_mb: float | None = None
    free_mb: float | None = None
    name: str = ""  # its model
    occupant: str = ""  # for people: who is on it, where that is no run of this daemon


class AtWork(Struct, frozen=True, kw_only=True):
    """A run that has its place already. `vram_mb` is what was set aside for it on each of its cards."""

    key: Key
    experiment: str
    seq: int = 0
    cards: tuple[str, ...] = ()  # UUIDs
    slot: str | None = None  # the CPU slot, for a run without GPUs
    ends_by: float | None = None  # when it is over for certain; None: nobody knows
    share: bool = False
    vram_mb: float | None = None


class Stranger(Struct, frozen=True):
    """An attempt that something on this machine runs, and that is none of the runs that the daemon knows."""

    run: str  # run id
    attempt: int


class Waiting(Struct, frozen=True, kw_only=True):
    """A run in the queue; `seq` is the order of submission and nobody else's."""

    key: Key
    seq: int
    experiment: str
    need: Need
    seconds: float  # how long it holds its place at most, from now on; inf: nobody knows
    front: int = 0  # higher goes first among equal priority: `arctl queue move`
    held: bool = False
    paused: bool = False  # for a moment: it keeps its turn and its place, and does not start
    alone_in: str | None = None  # its experiment, where that has one run at a time: all of its runs or none
    alone: bool = False  # shares with nobody, whatever its need says
    unfit: str | None = None  # why it may not start, as others found


class Facts(Struct, frozen=True, kw_only=True):
    """Everything that a decision is made from."""

    now: float
    waiting: tuple[Waiting, ...] = ()
    at_work: tuple[AtWork, ...] = ()
    cards: tuple[Card, ...] = ()
    slots: tuple[str, ...] = ()  # names of all CPU slots
    kept: Key | None = None  # whose the reservation was at the last decision


class Start(Struct, frozen=True, kw_only=True):
    """This run, on those cards or in that CPU slot; `share`: others may be put beside it."""

    key: Key
    cards: tuple[str, ...] = ()
    slot: str | None = None
    share: bool = False


class Reservation(Struct, frozen=True):
    """The first run that cannot start does so by `at`, by all that is known now on those cards."""

    key: Key
    cards: tuple[str, ...]
    at: float


class Decision(Struct, frozen=True):
    """What starts now, and for whom room is being made."""

    starts: tuple[Start, ...] = ()
    reservation: Reservation | None = None
