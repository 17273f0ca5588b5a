"""The cards during one decision: what fits where now, when a run will fit, and what is kept for it.

Room only ever shrinks during a decision. That is what lets a run be refused by one look at the bound which an
earlier refusal of the same kind left, instead of by a look at every card.
"""

import sys
from collections.abc import Iterable, Sequence
from math import inf
from operator import attrgetter
from typing import NamedTuple

from ardaemon.core.gpus import is_allowed
from ardaemon.core.queue import AtWork, QueueFacts, Waiting

CLOSED = -inf  # room of a card that takes no run of that kind: less than any need, which may be 0
AT_LAST = sys.float_info.max  # after every end that is known: an unknown one is at infinity
OPEN_STATES = ("free", "held")

Kind = tuple[bool, int, tuple[str, ...] | None]  # shares, GPUs, allow-list


class Stay(NamedTuple):
    """A run on a card."""

    ends: float
    share: bool
    vram: float


def kind_of(run: Waiting) -> tuple[Kind, float]:
    """Return what decides where a run fits: its kind, and the memory that it needs on each card (MiB).

    Without a known need nothing can be shared: such a run has its cards alone.
    """
    need = run.need
    vram = need.vram_mb or 0.0
    return (need.share and vram > 0 and not run.alone, need.gpus, need.allowed), vram


class Table:
    """All cards, by index; `now[share][i]` is the room on card i at this moment for a run of that kind."""

    def __init__(self, facts: QueueFacts) -> None:
        self.cards = sorted(facts.cards, key=attrgetter("index", "uuid"))
        self.tenants: list[list[Stay]] = [[] for _ in self.cards]
        self.moment = facts.now
        self._seat(facts.at_work)
        self.now = ([CLOSED] * len(self.cards), [CLOSED] * len(self.cards))
        for i in range(len(self.cards)):
            self._open(i)
        self._all = range(len(self.cards))
        self._allowed: dict[tuple[str, ...], list[int]] = {}
        self._at_last: dict[Kind, float] = {}
        self._bounds: tuple[dict[Kind, float], dict[Kind, float]] = ({}, {})  # for long runs, for short ones
        self.at = inf  # the moment of the reservation
        # Card that the reservation may use -> what a long sharing run may have beside it.
        self.claim: dict[int, float] = {}
        self.slack = 0  # cards of the claim that may be lost

    def _seat(self, at_work: Iterable[AtWork]) -> None:
        place = {card.uuid: i for i, card in enumerate(self.cards)}
        for run in at_work:
            # Past its bound it may be over at any moment.
            ends = inf if run.ends_by is None else max(run.ends_by, self.moment)
            for uuid in run.seat.cards:
                if (i := place.get(uuid)) is not None:
                    self.tenants[i].append(Stay(ends, run.seat.share, run.seat.vram_mb or 0.0))

    def _open(self, i: int) -> None:
        card, tenants, (alone, shared) = self.cards[i], self.tenants[i], self.now
        if not tenants and card.state == "free":
            alone[i] = self._whole(i, share=False)
        if (tenants or card.state == "free") and card.state in OPEN_STATES and all(t.share for t in tenants):
            shared[i] = min(self._whole(i, share=True), CLOSED if card.free_mb is None else card.free_mb)

    def _whole(self, i: int, *, share: bool) -> float:
        """Return the room of the card when nothing is on it."""
        total = self.cards[i].total_mb
        return total if total is not None else CLOSED if share else inf

    # --- at a moment to come ---

    def room_at(self, i: int, share: bool, at: float) -> float:
        """Return the room on a card at a moment to come if nothing more is started.

        Room never shrinks with time.
        """
        if self.cards[i].state not in OPEN_STATES:
            return CLOSED
        if any(tenant.ends > at for tenant in self.tenants[i]):
            return self._room_beside(i, at) if share else CLOSED
        # A card that is held by no run is draining: that is a matter of moments.
        empty = not self.tenants[i] and self.cards[i].state == "free"
        return self.now[share][i] if empty else self._whole(i, share=share)

    def _room_beside(self, i: int, at: float) -> float:
        """Return the room for a sharing run beside those who are still there at that moment."""
        room = self.now[True][i]
        if room == CLOSED:
            return CLOSED
        return min(self._whole(i, share=True), room + sum(t.vram for t in self.tenants[i] if t.ends <= at))

    def moment_on(self, i: int, share: bool, vram: float) -> float:
        """Return the first moment at which so much fits on the card; inf: none is known."""
        moments = sorted({self.moment, *(t.ends for t in self.tenants[i] if t.ends < inf)})
        return next((at for at in moments if self.room_at(i, share, at) >= vram), inf)

    def is_hopeful(self, kind: Kind, vram: float) -> bool:
        """Tell whether such a run fits once all has ended whose end is known.

        The answer is kept, so the first question must come before anything is started.
        """
        most = self._at_last.get(kind)
        if most is None:
            share, gpus, allowed = kind
            rooms = [self.room_at(i, share, AT_LAST) for i in self.allowed(allowed)]
            most = self._at_last[kind] = _nth_largest(rooms, gpus)
        return vram <= most

    def reserve(self, kind: Kind, vram: float) -> bool:
        """Keep room for a run that does not fit now, by `at`; not if no such moment is known."""
        share, gpus, allowed = kind
        moments = {i: self.moment_on(i, share, vram) for i in self.allowed(allowed)}
        at = -_nth_largest([-moment for moment in moments.values()], gpus)
        if at == inf:
            return False
        self.at = at
        for i, moment in moments.items():
            if moment <= self.at:
                self.claim[i] = self._room_beside(i, self.at) - vram if share else CLOSED
        self.slack = len(self.claim) - gpus
        self._bounds = ({}, {})
        return True

    def reserved(self, kind: Kind, vram: float) -> list[int]:
        """Return the cards that the reservation will most likely use.

        Those that are free last: that leaves most to others.
        """
        latest = sorted(self.claim, key=lambda i: (-self.moment_on(i, kind[0], vram), i))
        return sorted(latest[: kind[1]])

    # --- now ---

    def allowed(self, names: tuple[str, ...] | None) -> Sequence[int]:
        """Return the cards on an allow-list; all of them where there is no list."""
        if names is None:
            return self._all
        allowed = self._allowed.get(names)
        if allowed is None:
            allowed = self._allowed[names] = [
                i for i in self._all if is_allowed(self.cards[i].index, self.cards[i].uuid, names)
            ]
        return allowed

    def may_fit(self, kind: Kind, vram: float, ends: float) -> bool:
        """Look at the bound that an earlier refusal left: False is certain, True is not."""
        short = ends <= self.at
        bound = self._bounds[short].get(kind)
        if bound is None:
            bound = self._bounds[short][kind] = self._most(kind, short)
        return vram <= bound

    def find(self, kind: Kind, vram: float, ends: float) -> list[int] | None:
        """Find cards for a run, such that the reservation is not delayed by it; None if there are not enough.

        `vram` in MiB on each card; `ends`: when the run is over at the latest.
        """
        if not self.may_fit(kind, vram, ends):
            return None
        short = ends <= self.at
        share, gpus, allowed = kind
        room = self.now[share]
        fitting = [i for i in self.allowed(allowed) if room[i] >= vram]
        chosen = self._choose(fitting, share, gpus, vram, short) if len(fitting) >= gpus else None
        if chosen is None:
            self._bounds[short][kind] = self._most(kind, short)
        return chosen

    def take(self, cards: Iterable[int], share: bool, vram: float, ends: float) -> None:
        """Put a run there."""
        alone, shared = self.now
        for i in cards:
            self.tenants[i].append(Stay(ends, share, vram))
            alone[i] = CLOSED
            shared[i] = shared[i] - vram if share else CLOSED
            if i in self.claim and ends > self.at:
                self._dent(i, share, vram)

    def _dent(self, i: int, share: bool, vram: float) -> None:
        """Count a run against the reservation whose moment it outlasts, on one of its cards."""
        if share and vram <= self.claim[i]:
            self.claim[i] -= vram
        else:
            del self.claim[i]
            self.slack -= 1

    def is_full(self) -> bool:
        """Tell whether nothing at all can be put anywhere."""
        return max(self.now[False], default=CLOSED) == CLOSED and max(self.now[True], default=CLOSED) <= 0

    def _choose(
        self, fitting: list[int], share: bool, gpus: int, vram: float, short: bool
    ) -> list[int] | None:
        """Choose cards of one model if possible, in the order of preference."""
        fitting.sort(key=self._preferred_shared if share else self._preferred_alone)
        if short and self.claim:  # what a short run may use and a long one may not
            fitting.sort(key=lambda i: i not in self.claim)
        if gpus > 1:
            for model in dict.fromkeys(self.cards[i].name for i in fitting):
                alike = [i for i in fitting if self.cards[i].name == model]
                if (chosen := self._spare(alike, share, gpus, vram, short)) is not None:
                    return chosen
        return self._spare(fitting, share, gpus, vram, short)

    def _preferred_shared(self, i: int) -> tuple[bool, float, int]:
        """Prefer the fullest that fits, before a card that is empty."""
        return self.now[False][i] != CLOSED, self.now[True][i], i

    def _preferred_alone(self, i: int) -> tuple[float, int]:
        """Prefer the one that sharing runs miss least."""
        return self.now[True][i], i

    def _spare(
        self, fitting: list[int], share: bool, gpus: int, vram: float, short: bool
    ) -> list[int] | None:
        """Return the first cards that the reservation can spare; None if it cannot spare enough."""
        if short:
            return fitting[:gpus] if len(fitting) >= gpus else None
        harmless = [i for i in fitting if self._harmless(i, share) >= vram]
        more = gpus - len(harmless)
        if more <= 0:
            return harmless[:gpus]
        rest = [i for i in fitting if i not in harmless]
        return harmless + rest[:more] if more <= min(self.slack, len(rest)) else None

    def _harmless(self, i: int, share: bool) -> float:
        """Return the room for a long run that does not take the card from the reservation."""
        beside = self.claim.get(i, inf)
        room = self.now[share][i]
        return room if beside == inf else min(room, beside) if share else CLOSED

    def _most(self, kind: Kind, short: bool) -> float:
        """Return the largest need with which a run of that kind would still fit."""
        share, gpus, allowed = kind
        cards = self.allowed(allowed)
        most = _nth_largest([self.now[share][i] for i in cards], gpus)
        if short:
            return most
        return min(most, _nth_largest([self._harmless(i, share) for i in cards], gpus - self.slack))


def _nth_largest(values: list[float], n: int) -> float:
    """Return the n-th largest; CLOSED if there are fewer, no limit for the 0th."""
    if n <= 0:
        return inf
    return sorted(values, reverse=True)[n - 1] if n <= len(values) else CLOSED
