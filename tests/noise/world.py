"""Simulated nights: what edits do, what noise their runs have, and what is known of both only here.

All effects are made up: read differences between policies, not absolute figures. Lower is better. A launch
counts whatever it is for: an edit, a confirmation, a rerun of the best. An advance is *false* if its edit's
true effect is not an improvement.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

LAUNCHES = 150  # a night's: 6 minutes each
SEEDS = 60  # of the list, more than any version is launched
LEVELS = (0.0005, 0.002, 0.005, 0.010)  # noise: standard deviation of one launch over seeds

Effect = Callable[[random.Random], float]


def base(dice: random.Random) -> float:
    """An agent's edits: 70% hurt, 20% do next to nothing, 10% help."""
    kind, size = dice.random(), abs(dice.gauss(0, 1))
    if kind < 0.7:
        return size * 0.010
    return dice.gauss(0, 0.0005) if kind < 0.9 else -size * 0.006


def nothing(_: random.Random) -> float:
    """Edits that do nothing: whatever is kept is luck (A/A)."""
    return 0.0


@dataclass(frozen=True)
class Kind:
    """What the edits of a world do, and how much of a seed's luck they keep."""

    effect: Effect = base
    redraw: float = 0.3  # share of the edits that draw the luck anew
    redrawn: tuple[float, ...] = (0.0, 0.4)  # what these keep of it
    kept: float = 0.85  # what all others keep (measured: 0.80 to 0.87)


MIXED = Kind()
NO_OPS = Kind(effect=nothing)
REDRAWN = Kind(redraw=1.0, redrawn=(0.0,))
KEPT = Kind(redraw=0.0, kept=0.97)


@dataclass(frozen=True)
class Version:
    """One version of the script: what it is worth, and how each seed flatters it, in standard deviations."""

    truth: float
    luck: tuple[float, ...]


class World:
    """The edits and the luck of one night; with the same number every policy meets the same edits."""

    def __init__(self, kind: Kind, noise: float, number: int) -> None:
        """Draw the night of this number."""
        edits = random.Random(f"edits {number}")
        self.kind, self.noise = kind, noise
        self._edits = [(kind.effect(edits), self._share(edits)) for _ in range(2 * LAUNCHES)]
        self._dice = random.Random(f"luck {number}")
        self.first = Version(0.0, self._fresh())

    def edit(self, parent: Version, number: int) -> Version:
        """The version that edit `number` makes of its parent."""
        effect, share = self._edits[number]
        fresh = math.sqrt(1 - share * share)
        luck = (share * old + fresh * new for old, new in zip(parent.luck, self._fresh(), strict=True))
        return Version(parent.truth + effect, tuple(luck))

    def value(self, version: Version, seed: int) -> float:
        """What a launch with this seed shows; the same again with the same seed."""
        return version.truth + self.noise * version.luck[seed]

    def value_of_a_new_seed(self, version: Version) -> float:
        """What a launch shows whose seed is nobody else's."""
        return version.truth + self.noise * self._dice.gauss(0, 1)

    def _fresh(self) -> tuple[float, ...]:
        return tuple(self._dice.gauss(0, 1) for _ in range(SEEDS))

    def _share(self, dice: random.Random) -> float:
        redraws, share = dice.random() < self.kind.redraw, dice.choice(self.kind.redrawn)
        return share if redraws else self.kind.kept
