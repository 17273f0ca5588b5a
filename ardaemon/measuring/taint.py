"""Tell whether a run was measured under fair conditions. Pure: samples in, the taint out.

A foreign compute process on the run's card taints the run at once. Heat and swapping taint it only if they
last: clocks that are held down by a fifth for a tenth of the time cost 2%, and two equal runs differ by about
as much.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ardaemon.core.measured import Holder, Sample, Taint

SUSTAINED = 0.1  # the least share of the looks
LOOKS_MIN = 3  # 15 s: one hot look at a short run does not make a share
SWAPPING_PAGES_S = 256.0  # 1 MiB/s; pages that nobody needs are swapped out more slowly, and harm no run
GRAPHICS_MB = 500.0  # a desktop uses less; a game or a renderer uses more, and computes as well


@dataclass
class Conditions:
    """The unfair conditions so far: counts of looks, and the first foreign process in words."""

    looks: int = 0
    throttled: int = 0
    swapping: int = 0
    foreign: str = ""

    def add(self, sample: Sample) -> None:
        """Add a sample, which may be several merged ones."""
        self.looks += sample.looks
        self.throttled += sample.throttled
        self.swapping += sample.swapping
        self.foreign = self.foreign or sample.foreign

    def taint(self) -> tuple[Taint | None, str]:
        """Return the taint, and why for a person; of several, the one that falsifies most."""
        if self.foreign:
            return "foreign_gpu_process", self.foreign
        if self._lasted(self.throttled):
            return "thermal_throttling", f"in {self.throttled} of {self.looks} looks"
        if self._lasted(self.swapping):
            return "swapping", f"in {self.swapping} of {self.looks} looks"
        return None, ""

    def _lasted(self, looks: int) -> bool:
        return looks >= LOOKS_MIN and looks >= SUSTAINED * self.looks


def computes(holder: Holder) -> bool:
    """Return whether the process computes on the card, rather than just draws a desktop."""
    return not holder.graphics or (holder.used_mb or 0.0) >= GRAPHICS_MB


def nameless(holder: Holder) -> bool:
    """Return whether nothing tells to whom the process belongs."""
    return not holder.known and holder.owner is None


@dataclass
class Newcomers:
    """Finds processes that came onto the run's cards.

    A pid that is not in /proc counts at the second look in a row: it may be of a process that has just ended.
    """

    own: str  # the attempt's folder
    alone: bool  # no other run of this daemon may be on the cards either
    passed: frozenset[int]  # pids that were there before, or that config.toml says to ignore
    unknown: frozenset[int] = frozenset()  # pids of the last look that were not in /proc

    def first(self, cards: Mapping[str, tuple[Holder, ...] | None]) -> Holder | None:
        """Return one newcomer, if there are any. Call once per look."""
        newcomers = [holder for there in cards.values() for holder in self._on(there or ())]
        before, self.unknown = self.unknown, frozenset(h.pid for h in newcomers if not h.known)
        return next((h for h in newcomers if h.known or h.pid in before), None)

    def _on(self, card: tuple[Holder, ...]) -> list[Holder]:
        # If no pid is known to be the run's, unknown pids may be: in a container NVML gives the host's pids.
        unsure = not any(holder.owner == self.own for holder in card)
        return [h for h in card if self._stranger(h) and not (unsure and nameless(h))]

    def _stranger(self, holder: Holder) -> bool:
        if holder.owner == self.own or holder.pid in self.passed or not computes(holder):
            return False
        return holder.owner is None or self.alone
