"""Was it measured under fair conditions? Pure: samples in, the taint out.

A foreign compute process on the run's card taints at once. Heat and swapping must last: clocks that are held
down by a fifth for a tenth of the time cost 2%, about what two equal runs differ by anyway.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ardaemon.core.measured import Holder, Sample, Taint

SUSTAINED = 0.1  # of the looks, at the least
LOOKS_MIN = 3  # 15 s: one hot look of a short run is no share
SWAPPING_PAGES_S = 256.0  # 1 MiB/s; pages that nobody needed go out more slowly, and unnoticed
GRAPHICS_MB = 500.0  # a desktop's; more is a game or a renderer, which computes as well


@dataclass
class Conditions:
    """What stood out so far."""

    looks: int = 0
    throttled: int = 0
    swapping: int = 0
    foreign: str = ""

    def add(self, sample: Sample) -> None:
        """One more sample, or several merged ones."""
        self.looks += sample.looks
        self.throttled += sample.throttled
        self.swapping += sample.swapping
        self.foreign = self.foreign or sample.foreign

    def taint(self) -> tuple[Taint | None, str]:
        """The taint and, for a person, why; what falsifies most comes first."""
        if self.foreign:
            return "foreign_gpu_process", self.foreign
        if self._lasted(self.throttled):
            return "thermal_throttling", f"in {self.throttled} of {self.looks} looks"
        if self._lasted(self.swapping):
            return "swapping", f"in {self.swapping} of {self.looks} looks"
        return None, ""

    def _lasted(self, found: int) -> bool:
        return found >= LOOKS_MIN and found >= SUSTAINED * self.looks


def computes(holder: Holder) -> bool:
    """Does it use the card for more than a picture?"""
    return not holder.graphics or (holder.used_mb or 0.0) >= GRAPHICS_MB


def nameless(holder: Holder) -> bool:
    """Nothing tells whose it is."""
    return not holder.known and holder.owner is None


@dataclass
class Newcomers:
    """Who came onto the run's cards. A pid that /proc does not know counts at the second look in a row."""

    own: str  # the attempt's folder
    alone: bool  # no other run of ours may be there either
    passed: frozenset[int]  # pids that were there before, or that the user told us to ignore
    unknown: frozenset[int] = frozenset()

    def first(self, cards: Mapping[str, tuple[Holder, ...] | None]) -> Holder | None:
        """One of them, if there are any; to be asked once per look."""
        found = [holder for there in cards.values() for holder in self._on(there or ())]
        before, self.unknown = self.unknown, frozenset(h.pid for h in found if not h.known)
        return next((h for h in found if h.known or h.pid in before), None)

    def _on(self, card: tuple[Holder, ...]) -> list[Holder]:
        # Where none is known to be the run's, unknown pids may be: in a container NVML tells the host's.
        unsure = not any(holder.owner == self.own for holder in card)
        return [h for h in card if self._stranger(h) and not (unsure and nameless(h))]

    def _stranger(self, holder: Holder) -> bool:
        if holder.owner == self.own or holder.pid in self.passed or not computes(holder):
            return False
        return holder.owner is None or self.alone
