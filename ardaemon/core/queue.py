"""The queue and the machine as facts, and what is decided from them.

Memory is in MiB, moments are CLOCK_MONOTONIC seconds.
"""

from msgspec import Struct

from ardaemon.core.gpus import CardState, Need
from ardaemon.core.measured import Header

Key = tuple[str, str]  # folder of the experiment, run id
IDLE = -2  # `front` of a run that begins on a place that is idle: every other run goes before it
CPU = "cpu"  # a CPU slot's name begins so, and no GPU's does: cpu0, cpu1, ...


class Seat(Struct, frozen=True, kw_only=True):
    """The place of a run: GPUs, by their UUIDs, or a CPU slot; and what goes with that."""

    cards: tuple[str, ...] = ()
    slot: str | None = None
    share: bool = False  # others may be on its GPUs
    vram_mb: float | None = None  # set aside for it on each of its GPUs
    devices: tuple[str, ...] | None = None  # its GPUs as CUDA_VISIBLE_DEVICES has them; None: no driver here
    header: Header = Header()  # its GPUs as they were before the launch

    @property
    def slots(self) -> tuple[str, ...]:
        """Return the names of its GPUs or of its slot, as run.json and the quarantine have them."""
        return self.cards or ((self.slot,) if self.slot is not None else ())


NOWHERE = Seat()


def seat_of(slots: tuple[str, ...], share: bool = False, vram_mb: float | None = None) -> Seat:
    """Return the seat that was written down as those slots."""
    slot = next((name for name in slots if name.startswith(CPU)), None)
    cards = tuple(name for name in slots if not name.startswith(CPU))
    return Seat(cards=cards, slot=slot, share=share, vram_mb=vram_mb)


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
    """A run that has its place already."""

    key: Key
    experiment: str
    seat: Seat
    seq: int = 0
    ends_by: float | None = None  # when it is over for certain; None: nobody knows
    idle: bool = False  # it gives way to any run


class Stranger(Struct, frozen=True):
    """An attempt that something on this machine runs, and that is none of the runs that the daemon knows."""

    run: str  # run id
    attempt: int


class Stranded(Struct, frozen=True):
    """An active entry whose run the daemon cannot follow, and what a person can do about that."""

    why: str
    mend: str


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
    idle: bool = False  # it starts where no other run can


class QueueFacts(Struct, frozen=True, kw_only=True):
    """The queue and the machine at one moment: all that an assignment depends on."""

    now: float
    waiting: tuple[Waiting, ...] = ()
    at_work: tuple[AtWork, ...] = ()
    cards: tuple[Card, ...] = ()
    slots: tuple[str, ...] = ()  # names of all CPU slots
    kept: Key | None = None  # whose the reservation was at the last decision
    closed: str | None = None  # why no run may start now, whatever is free


class Start(Struct, frozen=True, kw_only=True):
    """One run that starts, and its seat as far as assign() knows it: cards or slot, and whether it shares."""

    key: Key
    seat: Seat


class Reservation(Struct, frozen=True):
    """The first run that cannot start does so by `at`, by all that is known now on those cards."""

    key: Key
    cards: tuple[str, ...]
    at: float


class Assignment(Struct, frozen=True):
    """The runs that start now, and the one for which room is being made."""

    starts: tuple[Start, ...] = ()
    reservation: Reservation | None = None
