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


def published(dice: random.Random) -> float:
    """Edits as in published sessions: log-normal gains and losses, most of them small."""
    kind, size = dice.random(), dice.gauss(0, 1)
    if kind < 0.65:
        return 0.003 * math.exp(1.2 * size)
    return size * 0.0003 if kind < 0.85 else -0.001 * math.exp(size)


def small(dice: random.Random) -> float:
    """Edits at the end of the road: all effects are small, and 30% help."""
    return dice.gauss(0.001, 0.002)


def helping(dice: random.Random) -> float:
    """Edits of which two thirds help."""
    kind, size = dice.random(), abs(dice.gauss(0, 1))
    return size * 0.010 if kind < 0.3 else -size * 0.006


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
    heavy: bool = False  # the noise has the tails of Student's t with 4 degrees of freedom
    crashes: float = 0.0  # share of the edits that crash
    doubles: float = 0.0  # share of the edits that double the noise; half as many halve it


MIXED = Kind()
NO_OPS = Kind(effect=nothing)
REDRAWN = Kind(redraw=1.0, redrawn=(0.0,))
KEPT = Kind(redraw=0.0, kept=0.97)
HELPING = Kind(effect=helping)
PUBLISHED = Kind(effect=published)
SMALL = Kind(effect=small)
HEAVY = Kind(heavy=True)
CRASHING = Kind(crashes=0.08)
NOISIER = Kind(doubles=0.10)


@dataclass(frozen=True)
class Version:
    """One version of the script: what it is worth, and how each seed flatters it, in standard deviations."""

    truth: float
    luck: tuple[float, ...]
    noisier: float = 1.0  # × the noise of the first version
    crashes: bool = False


class World:
    """The edits and the luck of one night; with the same number every policy meets the same edits."""

    def __init__(self, kind: Kind, noise: float, number: int) -> None:
        """Draw the night of this number."""
        edits = random.Random(f"edits {number}")
        self.kind, self.noise = kind, noise
        self._edits = [(kind.effect(edits), self._share(edits)) for _ in range(2 * LAUNCHES)]
        others = random.Random(f"crashes and noise {number}")
        self._odd = [(others.random() < kind.crashes, self._noisier(others)) for _ in self._edits]
        self._dice = random.Random(f"luck {number}")
        self.first = Version(0.0, self._fresh())

    def edit(self, parent: Version, number: int) -> Version:
        """The version that edit `number` makes of its parent."""
        (effect, share), (crashes, noisier) = self._edits[number], self._odd[number]
        fresh = math.sqrt(1 - share * share)
        luck = (share * old + fresh * new for old, new in zip(parent.luck, self._fresh(), strict=True))
        return Version(parent.truth + effect, tuple(luck), parent.noisier * noisier, crashes)

    def value(self, version: Version, seed: int) -> float:
        """What a launch with this seed shows; the same again with the same seed."""
        return version.truth + self.noise * version.noisier * version.luck[seed]

    def value_of_a_new_seed(self, version: Version) -> float:
        """What a launch shows whose seed is nobody else's."""
        return version.truth + self.noise * version.noisier * self._draw()

    def _fresh(self) -> tuple[float, ...]:
        return tuple(self._draw() for _ in range(SEEDS))

    def _draw(self) -> float:
        """Draw luck with a standard deviation of 1."""
        luck = self._dice.gauss(0, 1)
        return luck / math.sqrt(self._dice.gammavariate(2.0, 1.0)) if self.kind.heavy else luck

    def _noisier(self, dice: random.Random) -> float:
        which = dice.random()
        doubles = self.kind.doubles
        return 2.0 if which < doubles else 0.5 if which < 1.5 * doubles else 1.0

    def _share(self, dice: random.Random) -> float:
        redraws, share = dice.random() < self.kind.redraw, dice.choice(self.kind.redrawn)
        return share if redraws else self.kind.kept
